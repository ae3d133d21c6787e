"""Text, calls and thoughts in the forms of the three chat protocols, whole and streamed, through the clients that people use.
A pattern makes the small model write what a test needs."""
import json
import re

import anthropic
import pytest

from real_server import NAME, TEMPLATE, running

FIRST, SECOND = '{"where": "up"}', '{"where": "Zürich", "deep": {"x": [1, "</tool_call>"]}}'
CALLS = (f'<tool_call>\n{{"name": "look", "arguments": {FIRST}}}\n</tool_call>\n'
         f'<tool_call>\n{{"name": "look", "arguments": {SECOND}}}\n</tool_call>')
SCHEMA = {"type": "object", "properties": {"where": {"type": "string"}}}
USER = [{"role": "user", "content": "Where is it?"}]


def writes(text, **fields):
    return {"structured_outputs": {"regex": re.escape(text)}, **fields}


@pytest.fixture(scope="module")
def talker():
    with running("--served-model-name", NAME, "--chat-template", TEMPLATE, "--tool-call-parser", "hermes",
                 "--reasoning-parser", "qwen3") as server:
        yield server


@pytest.fixture(scope="module")
def claude(talker):
    return anthropic.Anthropic(base_url=talker.url, api_key="unused", max_retries=0, timeout=60)


def messages(client, text, **fields):
    tools = [{"name": "look", "input_schema": SCHEMA}]
    return dict(model=NAME, max_tokens=400, messages=USER, tools=tools, extra_body=writes(text), **fields)


def test_messages_with_calls(claude):
    answer = claude.messages.create(**messages(claude, "I look. " + CALLS))
    assert [block.type for block in answer.content] == ["text", "tool_use", "tool_use"]
    assert answer.content[0].text.strip() == "I look."
    assert [block.name for block in answer.content[1:]] == ["look", "look"]
    assert [block.input for block in answer.content[1:]] == [json.loads(FIRST), json.loads(SECOND)]
    assert answer.content[1].id != answer.content[2].id
    assert answer.stop_reason == "tool_use"
    with claude.messages.stream(**messages(claude, "I look. " + CALLS)) as stream:
        kinds = [(event.type, getattr(event, "index", None)) for event in stream]
        streamed = stream.get_final_message()
    assert [block.type for block in streamed.content] == ["text", "tool_use", "tool_use"]
    assert [block.input for block in streamed.content[1:]] == [block.input for block in answer.content[1:]]
    assert streamed.content[0].text == answer.content[0].text and streamed.stop_reason == "tool_use"
    starts = [kinds.index(("content_block_start", i)) for i in range(3)]
    stops = [kinds.index(("content_block_stop", i)) for i in range(3)]
    assert sorted(starts + stops) == [x for pair in zip(starts, stops) for x in pair]


def test_messages_with_a_call_that_was_cut_off(claude):
    # The text in front leaves only the pattern: a call alone could be any that the tool allows.
    fields = messages(claude, "I look. " + CALLS) | {"max_tokens": 48}
    answer = claude.messages.create(**fields)
    assert answer.stop_reason == "max_tokens"
    assert set(answer.content[1].input) == {"INVALID_JSON"}
    assert FIRST.startswith(answer.content[1].input["INVALID_JSON"])


def test_responses_with_calls(talker):
    client = talker.client()
    fields = dict(model=NAME, input=USER, max_output_tokens=400, extra_body=writes("I look. " + CALLS),
                  tools=[{"type": "function", "name": "look", "parameters": SCHEMA, "strict": False}])
    answer = client.responses.create(**fields)
    assert [item.type for item in answer.output] == ["message", "function_call", "function_call"]
    assert answer.output_text.strip() == "I look." and answer.status == "completed"
    assert [item.arguments for item in answer.output[1:]] == [FIRST, SECOND]
    with client.responses.stream(**fields) as stream:
        events = list(stream)
        streamed = stream.get_final_response()
    assert streamed.output_text == answer.output_text
    assert [item.arguments for item in streamed.output[1:]] == [FIRST, SECOND]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    for index in [1, 2]:
        parts = [event.delta for event in events if event.type == "response.function_call_arguments.delta"
                 and event.output_index == index]
        done = [event for event in events if event.type == "response.function_call_arguments.done"
                and event.output_index == index]
        assert "".join(parts) == done[0].arguments == streamed.output[index].arguments
    # What came out goes in again, with what the tools said.
    results = [{"type": "function_call_output", "call_id": item.call_id, "output": "there"} for item in answer.output[1:]]
    again = client.responses.create(**fields | {
        "input": [*USER, *[item.to_dict() for item in answer.output], *results], "extra_body": writes("There!")})
    assert again.output_text == "There!"


def test_chat_with_calls(talker):
    fields = dict(model=NAME, messages=USER, max_tokens=400, extra_body=writes("I look. " + CALLS),
                  tools=[{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}])
    answer = talker.client().chat.completions.create(**fields).choices[0]
    assert answer.finish_reason == "tool_calls" and answer.message.content.strip() == "I look."
    assert [call.function.arguments for call in answer.message.tool_calls] == [FIRST, SECOND]
    calls = {}
    for chunk in talker.client().chat.completions.create(stream=True, **fields):
        for call in chunk.choices[0].delta.tool_calls or []:
            name, arguments = calls.get(call.index, ("", ""))
            calls[call.index] = (name + (call.function.name or ""), arguments + (call.function.arguments or ""))
    assert calls == {0: ("look", FIRST), 1: ("look", SECOND)}


# The template ends the prompt with this word, and so the model begins in thought.
THINKS = {"temperature": 0, "chat_template_kwargs": {"greeting": "<think>"}}


def test_thoughts(talker, claude):
    chat = talker.client().chat.completions.create(model=NAME, messages=USER, max_tokens=20, extra_body=THINKS)
    thoughts = chat.choices[0].message.reasoning_content
    assert thoughts and not chat.choices[0].message.content
    answer = claude.messages.create(model=NAME, messages=USER, max_tokens=20, extra_body=THINKS)
    assert [(block.type, block.thinking) for block in answer.content] == [("thinking", thoughts)]
    assert answer.usage.output_tokens_details.thinking_tokens == 20
    with claude.messages.stream(model=NAME, messages=USER, max_tokens=20, extra_body=THINKS) as stream:
        assert stream.get_final_message().content[0].thinking == thoughts
    fields = dict(model=NAME, input=USER, max_output_tokens=20, extra_body=THINKS)
    response = talker.client().responses.create(**fields)
    assert [item.type for item in response.output] == ["reasoning"]
    assert response.output[0].content[0].text == thoughts
    assert response.usage.output_tokens_details.reasoning_tokens == 20
    events = list(talker.client().responses.create(stream=True, **fields))
    assert "".join(event.delta for event in events if event.type == "response.reasoning_text.delta") == thoughts
    assert events[-1].response.output[0].content == response.output[0].content
