"""LangChain's ChatOpenAI, unmodified: over chat completions and over responses."""
import asyncio

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI, OpenAI

from real_server import NAME
from test_completions import CASE, PROMPT, expected_text

BOS = {"add_special_tokens": True}


def model(server, **fields):
    return ChatOpenAI(**{"model": NAME, "base_url": server.url + "/v1", "api_key": "unused", "temperature": 0,
                         "max_tokens": 30, "max_retries": 0, "timeout": 60, "extra_body": BOS, **fields})


@pytest.mark.parametrize("responses", [False, True])
def test_invoke_and_stream(server, responses):
    chat = model(server, use_responses_api=responses)
    answer = chat.invoke(PROMPT)
    assert answer.text == expected_text(CASE, len(answer.text)) != ""
    assert answer.usage_metadata["output_tokens"] == 30
    whole = None
    for chunk in chat.stream(PROMPT, **({} if responses else {"stream_usage": True})):
        whole = chunk if whole is None else whole + chunk
    assert whole.text == answer.text
    assert whole.usage_metadata["total_tokens"] == answer.usage_metadata["total_tokens"]


def test_conversation(server):
    messages = [SystemMessage("Once"), HumanMessage(" upon"), AIMessage(" a"), HumanMessage(" time")]
    answer = model(server).invoke(messages)
    assert answer.content == expected_text(CASE, len(answer.content)) != ""
    assert answer.response_metadata["finish_reason"] == "length"


def test_many_at_a_time(server):
    answers = model(server).batch([PROMPT] * 8)
    assert len({answer.content for answer in answers}) == 1
    again = asyncio.run(model(server).ainvoke(PROMPT))
    assert again.content == answers[0].content


def test_completions(server):
    text = OpenAI(model=NAME, base_url=server.url + "/v1", api_key="unused", temperature=0, max_tokens=30).invoke(PROMPT)
    assert text == expected_text(CASE, len(text)) != ""


def test_errors(server):
    with pytest.raises(openai.BadRequestError):
        model(server, max_tokens=9999).invoke(PROMPT)
    with pytest.raises(openai.NotFoundError):
        model(server, model="gpt").invoke(PROMPT)
