"""/v1/messages through Anthropic's own client, unmodified."""
import json

import anthropic
import httpx
import pytest

from real_server import NAME
from test_completions import CASE, PROMPT, expected_text

# The client no longer knows temperature; the protocol's servers of older models do.
GREEDY = {"temperature": 0, "add_special_tokens": True}


@pytest.fixture(scope="session")
def claude(server):
    return anthropic.Anthropic(base_url=server.url, api_key="unused", max_retries=0, timeout=60)


def ask(client, content=PROMPT, **fields):
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    return client.messages.create(
        **{"model": NAME, "max_tokens": 30, "messages": messages, "extra_body": GREEDY, **fields})


def test_answer(claude):
    message = ask(claude)
    assert message.id.startswith("msg_") and message.type == "message" and message.role == "assistant"
    assert message.model == NAME
    assert [block.type for block in message.content] == ["text"]
    text = message.content[0].text
    assert text == expected_text(CASE, len(text)) != ""
    assert message.stop_reason == "max_tokens" and message.stop_sequence is None
    assert message.usage.output_tokens == 30
    assert message._request_id == message.id.removeprefix("msg_")


def test_usage_counts_the_prompt_once(claude):
    ask(claude)  # so that the prefix cache holds some of it
    counted = claude.messages.count_tokens(model=NAME, messages=[{"role": "user", "content": PROMPT * 20}])
    usage = ask(claude, PROMPT * 20, extra_body={}).usage
    assert usage.input_tokens + usage.cache_read_input_tokens == counted.input_tokens > 0
    again = ask(claude, PROMPT * 20, extra_body={}).usage
    assert again.cache_read_input_tokens > 0
    assert again.input_tokens + again.cache_read_input_tokens == counted.input_tokens


def test_stop_sequence(claude):
    message = ask(claude, stop_sequences=["never", "named"])
    text = expected_text(CASE, 200)
    assert message.content[0].text == text[:text.index("named")]
    assert message.stop_reason == "stop_sequence" and message.stop_sequence == "named"


def test_an_answer_may_fill_the_context(claude):
    message = ask(claude, max_tokens=32000, extra_body={"ignore_eos": True})
    assert message.stop_reason == "model_context_window_exceeded"
    assert message.usage.input_tokens + message.usage.cache_read_input_tokens + message.usage.output_tokens == 512


def test_streamed_is_what_is_not_streamed(claude):
    fields = {"max_tokens": 60, "extra_body": {"temperature": 1.0, "seed": 11}}
    whole = ask(claude, **fields)
    events = list(ask(claude, stream=True, **fields))
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds[1] == "content_block_start" and kinds[-3] == "content_block_stop"
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert "".join(event.delta.text for event in events[2:-3]) == whole.content[0].text
    assert events[-2].delta.stop_reason == whole.stop_reason
    assert events[-2].usage.output_tokens == whole.usage.output_tokens
    with claude.messages.stream(model=NAME, messages=[{"role": "user", "content": PROMPT}], **fields) as stream:
        final = stream.get_final_message()
    assert final.content[0].text == whole.content[0].text and final.stop_reason == whole.stop_reason


def test_pings_are_sent_but_not_seen(server):
    body = {"model": NAME, "max_tokens": 2, "stream": True, "messages": [{"role": "user", "content": "x"}]}
    lines = httpx.post(server.url + "/v1/messages", json=body).text.split("\n")
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert names[:2] == ["message_start", "ping"]
    for line in lines:
        if line.startswith("data: "):
            assert json.loads(line[6:])["type"] == names.pop(0)


def test_a_last_word_of_the_assistant_is_continued(claude):
    message = ask(claude, [{"role": "user", "content": "Once upon "}, {"role": "assistant", "content": "a time"}])
    text = message.content[0].text
    assert text == expected_text(CASE, len(text)) != ""


def test_conversations_reach_the_template(claude, server):
    """Counts are those of the same conversation as a chat completion."""
    tools = [{"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}]
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Once"}, {"type": "text", "text": "upon"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "a time"},
                                          {"type": "tool_use", "id": "t1", "name": "look", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "there was"}]}]
    counted = claude.messages.count_tokens(model=NAME, system="Be brief.", tools=tools, messages=messages)
    same = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Once\nupon"},
            {"role": "assistant", "content": "a time",
             "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "t1", "content": "there was"}]
    assert counted.input_tokens == httpx.post(server.url + "/tokenize", json={"messages": same}).json()["count"]


def test_errors_have_the_protocols_form(claude, server):
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(claude, extra_body={"temperature": -1})
    body = caught.value.body
    assert body["type"] == "error" and body["error"]["type"] == "invalid_request_error"
    assert body["error"]["message"].startswith("temperature") and body["request_id"] == caught.value.request_id
    with pytest.raises(anthropic.NotFoundError) as caught:
        ask(claude, model="claude")
    assert caught.value.body["error"]["type"] == "not_found_error" and NAME in str(caught.value)
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(claude, "word " * 5000)
    assert "512" in str(caught.value)
    with pytest.raises(anthropic.BadRequestError):
        ask(claude, [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "x"}}]}])
    refused = httpx.get(server.url + "/v1/messages")
    assert refused.status_code == 405 and refused.json()["type"] == "error"


def test_a_client_that_is_out_of_patience(claude, server):
    with pytest.raises(anthropic.APITimeoutError):
        ask(claude.with_options(timeout=anthropic.Timeout(10, read=0.005)), max_tokens=400, extra_body={"ignore_eos": True})
    server.wait_until_idle()
