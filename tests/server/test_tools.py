"""Tool calls through OpenAI's own client: both families' syntax with their real tokenizers and templates on models that
know nothing, so that every call is the work of the grammar and the parser; and a model whose markers are plain text."""
import json

import jsonschema
import openai
import pytest

import answers
from real_server import CHAT_MODEL, running

WEATHER = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12},
                                            "unit": {"enum": ["c", "f"]}}, "required": ["city", "unit"],
           "additionalProperties": False}
ADD = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99}, "b": {"type": "boolean"}},
       "required": ["a", "b"], "additionalProperties": False}
SCHEMAS = {"get_weather": WEATHER, "add": ADD, "get_time": {"type": "object", "maxProperties": 0}}
TOOLS = [{"type": "function", "function": {"name": name, "description": name, "parameters": SCHEMAS[name]}}
         for name in ("get_weather", "add")]
TOOLS.append({"type": "function", "function": {"name": "get_time"}})
USER = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture(scope="module")
def hermes_server():
    """An instruct model that writes calls when a grammar makes it, with markers that are no tokens."""
    if not CHAT_MODEL:
        pytest.skip("ISOTOPE_CHAT_MODEL is not set")
    with running("--tool-call-parser", "hermes", "--reasoning-parser", "qwen3", "--enable-auto-tool-choice",
                 "--served-model-name", "tiny", model=CHAT_MODEL) as started:
        yield started


def chat(server, **fields):
    fields = {"model": "tiny", "messages": USER, "tools": TOOLS, "temperature": 1.5, "max_tokens": 300, "seed": 1} | fields
    return server.client().chat.completions.create(**fields)


def no_thinking(**more):
    return {"extra_body": {"enable_thinking": False, **more}}


def check_calls(choice, names=tuple(SCHEMAS)):
    assert choice.message.content is None
    assert choice.message.tool_calls
    for call in choice.message.tool_calls:
        assert call.type == "function" and call.id
        assert call.function.name in names
        jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])
    ids = [call.id for call in choice.message.tool_calls]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("seed", range(6))
def test_required_calls_are_well_formed(family, seed):
    choice = chat(family, tool_choice="required", seed=seed, **no_thinking()).choices[0]
    check_calls(choice)
    assert choice.finish_reason == "tool_calls"


def test_named_choice_is_one_call_of_that_name(family):
    for name in SCHEMAS:
        named = {"type": "function", "function": {"name": name}}
        choice = chat(family, tool_choice=named, **no_thinking()).choices[0]
        check_calls(choice, [name])
        assert len(choice.message.tool_calls) == 1
        assert choice.finish_reason == "tool_calls"


def test_a_call_after_reasoning(family):
    answer = chat(family, tool_choice="required", temperature=1.0, extra_body={"thinking_budget": 20})
    check_calls(answer.choices[0])
    if family.name == "qwen3":  # Ministral's models may leave reasoning out
        assert answer.choices[0].message.reasoning_content
        assert 0 < answer.usage.completion_tokens_details.reasoning_tokens <= 23
    assert answer.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("choice", ["required", "auto"])
def test_streamed_is_what_is_not_streamed(family, choice):
    fields = {"tool_choice": choice, "n": 2, "logprobs": True, "max_tokens": 120, **no_thinking()}
    whole = chat(family, **fields)
    choices, usage = answers.from_stream(chat(family, stream=True, stream_options={"include_usage": True}, **fields))
    assert choices == [answers.from_whole(choice) for choice in whole.choices]
    assert usage.completion_tokens == whole.usage.completion_tokens


def test_parallel_calls_can_be_refused(family):
    for seed in range(4):
        fields = {"tool_choice": "required", "seed": seed, **no_thinking()}
        assert len(chat(family, parallel_tool_calls=False, **fields).choices[0].message.tool_calls) == 1


def test_calls_and_results_go_back_into_the_prompt(family):
    first = chat(family, tool_choice="required", parallel_tool_calls=False, **no_thinking()).choices[0].message
    call = first.tool_calls[0]
    history = USER + [first.model_dump(exclude_none=True),
                      {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}]
    prompt = family_prompt(family, history)
    marker = "<tool_call>" if family.name == "qwen3" else "[TOOL_CALLS]"
    assert prompt.count(marker + ("\n{\"name\": \"" if family.name == "qwen3" else "") + call.function.name) == 1
    assert "21 degrees" in prompt
    assert chat(family, messages=history, max_tokens=5).usage.completion_tokens == 5


def test_reasoning_goes_back_into_the_prompt(family):
    for field in ("reasoning_content", "reasoning"):
        history = USER + [{"role": "assistant", "content": None, field: "I look at the clock.", "tool_calls": [
            {"id": "abcdefghi", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "abcdefghi", "content": "noon"}]
        expected = {"qwen3": "<think>\nI look at the clock.\n</think>", "ministral3": "[THINK]I look at the clock.[/THINK]"}
        assert expected[family.name] in family_prompt(family, history)


def family_prompt(server, messages):
    import httpx
    tokens = httpx.post(server.url + "/tokenize", json={"messages": messages, "tools": TOOLS}).json()["tokens"]
    return httpx.post(server.url + "/detokenize", json={"tokens": tokens}).json()["prompt"]


def test_none_offers_no_tools(family):
    answer = chat(family, tool_choice="none", max_tokens=20, **no_thinking())
    assert answer.choices[0].message.tool_calls is None
    assert answer.usage.prompt_tokens < chat(family, max_tokens=1).usage.prompt_tokens


def test_strict_functions_bind_calls_of_their_own_accord(family):
    tools = [{"type": "function", "function": {"name": "add", "parameters": ADD, "strict": True}}]
    bias = {"qwen3": {"151657": 100}, "ministral3": {"9": 100}}[family.name]  # to make it call at once
    choice = chat(family, tools=tools, parallel_tool_calls=False, logit_bias=bias, **no_thinking()).choices[0]
    check_calls(choice, ["add"])


def allowed_tools(mode, *names):
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def test_some_tools_may_be_called_and_all_are_shown(family):
    bias = {"qwen3": {"151657": 100}, "ministral3": {"9": 100}}[family.name]  # to make it call of its own accord
    prompts = set()
    for seed in range(4):
        for mode in ("required", "auto"):
            answer = chat(family, tool_choice=allowed_tools(mode, "add", "get_time"), seed=seed, logit_bias=bias,
                          parallel_tool_calls=False, **no_thinking())
            assert {call.function.name for call in answer.choices[0].message.tool_calls} <= {"add", "get_time"}
            if mode == "required":
                check_calls(answer.choices[0], ["add", "get_time"])
            prompts.add(answer.usage.prompt_tokens)
    assert prompts == {chat(family, max_tokens=1, **no_thinking()).usage.prompt_tokens}
    response = family.client().responses.create(
        model="tiny", input="The weather?", tools=[{"type": "function", **tool["function"]} for tool in TOOLS], max_output_tokens=300,
        tool_choice={"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "add"}]}, **no_thinking())
    assert {item.name for item in response.output} == {"add"}


def test_refusals_name_the_field(family):
    wrong = [({"tool_choice": "maybe"}, "tool_choice"),
             ({"tool_choice": {"type": "function", "function": {"name": "nobody"}}}, "tool_choice"),
             ({"tools": [], "tool_choice": "required"}, "tool_choice"),
             ({"tools": [{"type": "function", "function": {"name": "two words"}}]}, "tools[0].function.name"),
             ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "strange"}}}],
               "tool_choice": "required"}, "tools[0].function.parameters")]
    for fields, param in wrong:
        with pytest.raises(openai.BadRequestError) as error:
            chat(family, **fields)
        assert error.value.param == param, error.value.message


def regex_answer(server, pattern, **fields):
    return chat(server, temperature=1.0, extra_body={"structured_outputs": {"regex": pattern}}, **fields)


def test_text_around_calls(hermes_server):
    call = r'<tool_call>\n\{"name": "add", "arguments": \{"a": [0-9], "b": true\}\}\n</tool_call>'
    for stream in (False, True):
        answer = regex_answer(hermes_server, rf"<think>\nLet me see\n</think>\n\nI add [a-z]{{3}}\.\n{call}\n{call}",
                              stream=stream)
        choice = answers.from_stream(answer)[0][0] if stream else answers.from_whole(answer.choices[0])
        assert choice["reasoning"] == "Let me see"
        assert choice["content"].startswith("I add ") and choice["content"].endswith(".")
        assert [call["name"] for call in choice["calls"]] == ["add", "add"]
        assert all(json.loads(call["arguments"])["b"] is True for call in choice["calls"])
        assert choice["finish"] == "tool_calls"


def test_malformed_calls_are_text(hermes_server):
    answer = regex_answer(hermes_server, r"<tool_call>\n\{'name': 'add'\}\n</tool_call>")
    assert answer.choices[0].message.content == "<tool_call>\n{'name': 'add'}\n</tool_call>"
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].finish_reason == "stop"


def test_a_second_call_ends_the_answer_if_only_one_is_wanted(hermes_server):
    call = r'<tool_call>\n\{"name": "get_time"\}\n</tool_call>'
    answer = regex_answer(hermes_server, rf"{call}\n{call}", parallel_tool_calls=False)
    assert len(answer.choices[0].message.tool_calls) == 1
    assert answer.choices[0].finish_reason == "tool_calls"


def test_without_tools_markup_is_text(hermes_server):
    answer = regex_answer(hermes_server, r'<tool_call>\{"name": "f"\}</tool_call>', tools=openai.NOT_GIVEN)
    assert answer.choices[0].message.content == '<tool_call>{"name": "f"}</tool_call>'


def test_without_a_parser_calls_cannot_be_required(chat_server):
    with pytest.raises(openai.BadRequestError) as error:
        chat(chat_server, model=None, tool_choice="required")
    assert error.value.param == "tool_choice" and "--tool-call-parser" in error.value.message
