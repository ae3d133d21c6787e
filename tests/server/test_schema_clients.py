"""Answers that must follow a JSON schema, asked for as each client asks: as a class of pydantic."""
from typing import Literal

import anthropic
import openai
import pydantic
import pytest
from langchain_openai import ChatOpenAI

from real_server import NAME


class Way(pydantic.BaseModel):
    where: Literal["up", "down"]
    steps: int
    passing: list[Literal["tree", "house"]]


USER = [{"role": "user", "content": "Where is it?"}]
HOT = {"temperature": 1.5, "seed": 1}


def test_chat_completions(client):
    answer = client.chat.completions.parse(model=NAME, messages=USER, max_tokens=100, response_format=Way, **HOT)
    assert isinstance(answer.choices[0].message.parsed, Way)
    with client.chat.completions.stream(model=NAME, messages=USER, max_tokens=100, response_format=Way, **HOT) as stream:
        streamed = stream.get_final_completion()
    assert streamed.choices[0].message.parsed == answer.choices[0].message.parsed


def test_responses(client):
    fields = dict(model=NAME, input=USER, max_output_tokens=100, text_format=Way, temperature=1.5, extra_body={"seed": 1})
    answer = client.responses.parse(**fields)
    assert isinstance(answer.output_parsed, Way) and answer.status == "completed"
    assert answer.text.format.type == "json_schema"
    with client.responses.stream(**fields) as stream:
        assert stream.get_final_response().output_parsed == answer.output_parsed


def test_messages(server):
    client = anthropic.Anthropic(base_url=server.url, api_key="unused", max_retries=0, timeout=60)
    answer = client.messages.parse(model=NAME, messages=USER, max_tokens=100, output_format=Way, extra_body=HOT)
    assert isinstance(answer.parsed_output, Way) and answer.stop_reason == "end_turn"


@pytest.mark.parametrize("responses", [False, True])
def test_langchain(server, responses):
    chat = ChatOpenAI(model=NAME, base_url=server.url + "/v1", api_key="unused", max_tokens=100, temperature=1.5,
                      max_retries=0, use_responses_api=responses)
    assert isinstance(chat.with_structured_output(Way, method="json_schema").invoke("Where is it?"), Way)


def test_a_schema_that_cannot_be_obeyed_is_refused_by_its_protocols_name(client, server):
    bad = {"type": "object", "properties": {"x": {"type": "colour"}}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=NAME, input=USER, text={"format": {"type": "json_schema", "name": "x", "schema": bad}})
    assert caught.value.param.startswith("text.format")
    claude = anthropic.Anthropic(base_url=server.url, api_key="unused", max_retries=0, timeout=60)
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude.messages.create(model=NAME, messages=USER, max_tokens=9,
                               output_config={"format": {"type": "json_schema", "schema": bad}})
    assert caught.value.body["error"]["message"].startswith("output_config.format")
