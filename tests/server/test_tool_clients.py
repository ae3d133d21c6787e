"""Tools as each client offers them, unmodified: choices, streams, classes of pydantic as functions, and the way back of a result.
The models know nothing, so every call is the work of the grammar and the parser."""
import anthropic
import openai
import pydantic
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from test_tools import SCHEMAS, TOOLS

HOT = {"seed": 3, "enable_thinking": False}


class Add(pydantic.BaseModel):
    """Adds two numbers."""
    a: int
    b: int


@tool
def look_up(word: str, most: int) -> str:
    """Looks a word up."""
    return f"{word}: {most}"


USER = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture
def claude(family):
    return anthropic.Anthropic(base_url=family.url, api_key="unused", max_retries=0, timeout=60)


def asked(**fields):
    tools = [{"name": name, "input_schema": {"type": "object", **schema}} for name, schema in SCHEMAS.items()]
    return dict(model="tiny", max_tokens=300, tools=tools, messages=USER, extra_body={"temperature": 1.5, **HOT}) | fields


@pytest.mark.parametrize("choice, names", [({"type": "any"}, set(SCHEMAS)), ({"type": "tool", "name": "add"}, {"add"}),
                                           ({"type": "any", "disable_parallel_tool_use": True}, set(SCHEMAS))])
def test_anthropic(claude, choice, names):
    fields = asked(tool_choice=choice)
    message = claude.messages.create(**fields)
    assert message.stop_reason == "tool_use"
    calls = [block for block in message.content if block.type == "tool_use"]
    assert calls and calls == message.content and {call.name for call in calls} <= names
    assert all(set(call.input) <= set(SCHEMAS[call.name].get("properties", {})) for call in calls)
    if choice != {"type": "any"}:
        assert len(calls) == 1
    with claude.messages.stream(**fields) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    assert "input_json" in kinds
    assert [(block.name, block.input) for block in streamed.content] == [(call.name, call.input) for call in calls]
    assert streamed.stop_reason == "tool_use" and streamed.usage.output_tokens == message.usage.output_tokens

    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "21"} for call in calls]
    history = [*USER, {"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
    assert claude.messages.create(**fields | {"messages": history, "tool_choice": {"type": "none"}, "max_tokens": 3}).content


def test_openai_functions_of_pydantic(family):
    client = family.client()
    fields = dict(model="tiny", messages=USER, tools=[openai.pydantic_function_tool(Add)], tool_choice="required", temperature=1.5,
                  max_tokens=300, extra_body=HOT)
    calls = client.chat.completions.parse(**fields).choices[0].message.tool_calls
    assert calls and all(isinstance(call.function.parsed_arguments, Add) for call in calls)
    with client.chat.completions.stream(**fields) as stream:
        kinds = {event.type for event in stream}
        streamed = stream.get_final_completion().choices[0].message.tool_calls
    assert {"tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"} <= kinds
    assert [call.function.parsed_arguments for call in streamed] == [call.function.parsed_arguments for call in calls]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "add"}])
def test_openai_responses(family, choice):
    client = family.client()
    tools = [{"type": "function", **entry["function"]} for entry in TOOLS]
    fields = dict(model="tiny", input=USER, tools=tools, tool_choice=choice, max_output_tokens=300, temperature=1.5, extra_body=HOT)
    response = client.responses.create(**fields)
    assert response.status == "completed"
    assert {item.type for item in response.output} == {"function_call"}
    if choice != "required":
        assert [item.name for item in response.output] == ["add"]
    with client.responses.stream(**fields) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert "response.function_call_arguments.delta" in kinds
    assert [(item.name, item.arguments) for item in final.output] == [(item.name, item.arguments) for item in response.output]
    results = [{"type": "function_call_output", "call_id": item.call_id, "output": "21"} for item in response.output]
    again = client.responses.create(**fields | {"input": [*USER, *response.output, *results], "tool_choice": "none",
                                                "max_output_tokens": 3})
    assert again.usage.input_tokens > 0


def chain(family, **fields):
    return ChatOpenAI(**{"model": "tiny", "base_url": family.url + "/v1", "api_key": "unused", "temperature": 1.5, "max_tokens": 300,
                         "max_retries": 0, "timeout": 60, "extra_body": HOT, **fields})


@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize("choice, names", [("any", {"look_up", "Add"}), ("required", {"look_up", "Add"}), (True, {"look_up"}),
                                           ("Add", {"Add"})])
def test_langchain_bind_tools(family, choice, names, responses):
    tools = [look_up] if choice is True else [look_up, Add]
    bound = chain(family, use_responses_api=responses).bind_tools(tools, tool_choice=choice)
    answer = bound.invoke("Look it up.")
    assert answer.tool_calls and not answer.invalid_tool_calls
    assert {call["name"] for call in answer.tool_calls} <= names
    for call in answer.tool_calls:
        Add(**call["args"]) if call["name"] == "Add" else look_up.invoke(call["args"])
    whole = None
    for chunk in bound.stream("Look it up."):
        whole = chunk if whole is None else whole + chunk
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [(call["name"], call["args"]) for call in answer.tool_calls]
    results = [ToolMessage("21", tool_call_id=call["id"]) for call in answer.tool_calls]
    history = [HumanMessage("Look it up."), answer, *results]
    assert chain(family, use_responses_api=responses, max_tokens=3).invoke(history).usage_metadata["output_tokens"] == 3


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
@pytest.mark.parametrize("strict", [None, True])
def test_langchain_structured_output(family, method, strict):
    structured = chain(family).with_structured_output(Add, method=method, strict=strict, include_raw=True)
    answer = structured.invoke("Add something.")
    assert answer["parsing_error"] is None and isinstance(answer["parsed"], Add)


def test_langchain_json_mode(family):
    answer = chain(family, max_tokens=60).with_structured_output(None, method="json_mode").invoke("Some JSON, please.")
    assert isinstance(answer, dict)


def test_patience_has_an_end(family):
    """A client that gives up gets its own error, and leaves nothing behind."""
    soon = openai.Timeout(10, read=0.005)
    with pytest.raises(openai.APITimeoutError):
        family.client().with_options(timeout=soon).chat.completions.create(
            model="tiny", messages=USER, tools=TOOLS, max_tokens=2000, extra_body={"ignore_eos": True})
    with pytest.raises(openai.APITimeoutError):
        chain(family, timeout=soon, max_tokens=2000, extra_body={"ignore_eos": True}).invoke("Go on.")
    with pytest.raises(openai.APIStatusError) as late:  # the server's own patience
        family.client().chat.completions.create(model="tiny", messages=USER, max_tokens=2000,
                                                extra_body={"ignore_eos": True, "timeout": 0.05})
    assert late.value.status_code == 504
    family.wait_until_idle()
