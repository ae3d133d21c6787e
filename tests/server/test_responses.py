"""/v1/responses through OpenAI's own client, unmodified."""
import httpx
import openai
import pytest

from real_server import NAME
from test_completions import CASE, LOGPROB_TOLERANCE, PROMPT, expected_text

BOS = {"add_special_tokens": True}


def respond(client, content=PROMPT, **fields):
    return client.responses.create(
        **{"model": NAME, "input": content, "temperature": 0, "max_output_tokens": 30, "extra_body": BOS, **fields})


def test_answer(client):
    response = respond(client)
    assert response.id.startswith("resp_") and response.object == "response" and response.model == NAME
    assert response.output_text == expected_text(CASE, len(response.output_text)) != ""
    assert response.status == "incomplete" and response.incomplete_details.reason == "max_output_tokens"
    message = response.output[0]
    assert len(response.output) == 1 and message.type == "message" and message.status == "incomplete"
    assert response.usage.output_tokens == 30
    assert response.usage.total_tokens == response.usage.input_tokens + 30
    assert response.created_at <= response.completed_at
    assert response._request_id == response.id.removeprefix("resp_")


def test_an_answer_that_ends_by_itself(client):
    response = respond(client, extra_body={**BOS, "stop": "named"})
    text = expected_text(CASE, 200)
    assert response.output_text == text[:text.index("named")]
    assert response.status == "completed" and response.incomplete_details is None
    assert response.output[0].status == "completed"


def test_what_was_asked_is_repeated(client):
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}]
    response = respond(client, instructions="Be brief.", metadata={"a": "b"}, top_p=0.5, tools=tools, user="u",
                       max_output_tokens=1, store=True, truncation="disabled", reasoning={"effort": None},
                       safety_identifier="s", prompt_cache_key="p", include=["reasoning.encrypted_content"])
    assert response.instructions == "Be brief." and response.metadata == {"a": "b"}
    assert response.top_p == 0.5 and response.temperature == 0 and response.max_output_tokens == 1
    assert response.tools[0].name == "f" and response.tool_choice == "auto"
    assert response.user == "u" and response.prompt_cache_key == "p" and response.safety_identifier == "s"
    assert response.to_dict()["store"] is False and response.background is False


def test_streamed_is_what_is_not_streamed(client):
    fields = {"temperature": 1.0, "max_output_tokens": 60, "extra_body": {"seed": 3}, "top_logprobs": 2,
              "include": ["message.output_text.logprobs"]}
    whole = respond(client, **fields)
    events = list(respond(client, stream=True, **fields))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert kinds[-4:] == ["output_text.done", "content_part.done", "output_item.done", "incomplete"]
    assert set(kinds[4:-4]) == {"output_text.delta"}
    deltas = events[4:-4]
    assert "".join(event.delta for event in deltas) == whole.output_text == events[-4].text
    last = events[-1].response
    text, streamed_text = whole.output[0].content[0], last.output[0].content[0]
    assert streamed_text == text and len(text.logprobs) == 60
    assert {event.item_id for event in deltas} == {last.output[0].id}
    assert events[2].item.content == [] and events[0].response.status == "in_progress"
    assert last.usage.output_tokens == whole.usage.output_tokens and last.status == whole.status


def test_clients_own_accumulation(client):
    with client.responses.stream(model=NAME, input=PROMPT, temperature=0, max_output_tokens=20,
                                 extra_body={**BOS, "stop": "named"}) as stream:
        final = stream.get_final_response()
    assert final.output_text == respond(client, extra_body={**BOS, "stop": "named"}).output_text


def test_logprobs(client):
    text = respond(client, include=["message.output_text.logprobs"], top_logprobs=3).output[0].content[0]
    assert [entry.logprob for entry in text.logprobs] == pytest.approx(
        CASE["greedy_logprobs"][:30], abs=LOGPROB_TOLERANCE)
    assert all(len(entry.top_logprobs) == 3 for entry in text.logprobs)


def test_answers_can_be_sent_back(client):
    """Without a memory on this side, a conversation is what the client sends: output items come back as they were."""
    first = respond(client, max_output_tokens=5)
    items = [{"role": "user", "content": PROMPT}, *[item.to_dict() for item in first.output],
             {"role": "user", "content": [{"type": "input_text", "text": " and"}]}]
    chat = client.chat.completions.create(
        model=NAME, temperature=0, max_tokens=12, extra_body=BOS,
        messages=[{"role": "user", "content": PROMPT}, {"role": "assistant", "content": first.output_text},
                  {"role": "user", "content": " and"}])
    assert respond(client, items, max_output_tokens=12).output_text == chat.choices[0].message.content


def test_errors(client, server):
    with pytest.raises(openai.BadRequestError) as caught:
        respond(client, max_output_tokens=5000)
    assert caught.value.code == "context_length_exceeded" and caught.value.param == "max_output_tokens"
    for fields, param in [({"previous_response_id": "resp_1"}, "previous_response_id"), ({"background": True}, "background"),
                          ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
                          ({"tools": [{"type": "web_search"}]}, "tools[0].type"), ({"truncation": "auto"}, "truncation")]:
        with pytest.raises(openai.BadRequestError) as caught:
            respond(client, **fields)
        assert caught.value.param == param and param in caught.value.message
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.retrieve("resp_1")
    assert "stores nothing" in caught.value.message
    refused = httpx.post(server.url + "/v1/embeddings", json={"input": "x"})
    assert refused.status_code == 404 and "/v1/chat/completions" in refused.json()["error"]["message"]


def test_a_client_that_is_out_of_patience(client, server):
    with pytest.raises(openai.APITimeoutError):
        respond(client.with_options(timeout=openai.Timeout(10, read=0.005)), max_output_tokens=400, extra_body={"ignore_eos": True})
    server.wait_until_idle()
