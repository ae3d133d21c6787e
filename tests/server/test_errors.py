"""What clients get wrong: OpenAI's exceptions, and hostile bodies, after each of which the server still serves."""
import json

import httpx
import openai
import pytest

from real_server import NAME
from test_completions import PROMPT, complete


def test_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        complete(client, model="gpt-4")
    assert caught.value.status_code == 404
    assert caught.value.code == "model_not_found"
    assert NAME in caught.value.message


def test_bad_field_is_a_bad_request(client):
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, temperature=-1)
    assert caught.value.param == "temperature"
    assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError):
        complete(client, temperature=-1, stream=True)


def test_too_long_names_the_numbers(client):
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, max_tokens=600)
    assert caught.value.code == "context_length_exceeded"
    assert "512" in caught.value.message and "600" in caught.value.message
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, prompt=[403] * 513)
    assert "513" in caught.value.message and "512" in caught.value.message
    with pytest.raises(openai.BadRequestError):
        complete(client, prompt="word " * 200_000)


COMPLETION = "/v1/completions"
CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "x"}]


def with_field(name, value):
    return (COMPLETION, {"prompt": "x", name: value}, name)


def with_chat_field(name, value, param=None):
    return (CHAT, {"messages": USER, name: value}, param or name)


# (path, body or raw bytes, what the message must name)
HOSTILE = [
    with_field("temperature", -0.1), with_field("temperature", "1"), with_field("temperature", [1]),
    with_field("temperature", True), with_field("temperature", {}), with_field("temperature", 1e9),
    with_field("top_p", 0), with_field("top_p", -1), with_field("top_p", 2), with_field("min_p", 1.5),
    with_field("top_k", -5), with_field("top_k", 0.5), with_field("top_k", 2**40),
    with_field("repetition_penalty", -1), with_field("repetition_penalty", 0),
    with_field("presence_penalty", 3), with_field("frequency_penalty", -3),
    with_field("max_tokens", -1), with_field("max_tokens", 2.5), with_field("max_tokens", 2**63),
    with_field("max_tokens", 2**70), with_field("max_tokens", "all"), with_field("max_tokens", 100_000),
    with_field("min_tokens", -1), with_field("min_tokens", 10**12),
    with_field("n", 0), with_field("n", -1), with_field("n", 129), with_field("n", 1.5),
    with_field("best_of", 0), with_field("best_of", 129), with_field("logprobs", 21), with_field("logprobs", -1),
    with_field("logprobs", "5"), with_field("prompt_logprobs", 1000),
    with_field("stop", 1), with_field("stop", [""]), with_field("stop", ["x"] * 65),
    with_field("stop", [None]), with_field("stop_token_ids", [-1]), with_field("stop_token_ids", [512]),
    with_field("stop_token_ids", "2"), with_field("logit_bias", {"a": 1}),
    with_field("logit_bias", {"9999999999": 1}), with_field("logit_bias", {"1": 1000}),
    with_field("logit_bias", {"1": "1"}), with_field("logit_bias", [[1, 1]]),
    with_field("seed", 1.5), with_field("seed", 2**64), with_field("seed", "x"),
    with_field("stream", 1), with_field("echo", "no"), with_field("ignore_eos", 0),
    with_field("suffix", "end"), with_field("stream_options", {"include_usage": True}),
    with_field("model", 1), with_field("guided_json", 5),
    (COMPLETION, {}, "prompt"), (COMPLETION, {"prompt": None}, "prompt"),
    (COMPLETION, {"prompt": []}, "prompt"), (COMPLETION, {"prompt": [[]]}, "prompt[0]"),
    (COMPLETION, {"prompt": [1, "x"]}, "prompt[1]"), (COMPLETION, {"prompt": ["x", 1]}, "prompt[1]"),
    (COMPLETION, {"prompt": [512]}, "prompt[0]"), (COMPLETION, {"prompt": [-1]}, "prompt[0]"),
    (COMPLETION, {"prompt": [[1, 2**40]]}, "prompt[0][1]"), (COMPLETION, {"prompt": 7}, "prompt"),
    (COMPLETION, {"prompt": ["x"] * 1025}, "prompt"),
    (COMPLETION, {"prompt": "x", "max_tokens": 4, "min_tokens": 5}, "min_tokens"),
    (COMPLETION, {"prompt": "x", "n": 3, "best_of": 2}, "best_of"),
    (COMPLETION, {"prompt": "x", "best_of": 2, "stream": True}, "best_of"),
    (COMPLETION, {"prompt": ["x"] * 100, "best_of": 20}, "best_of"),
    (CHAT, {}, "messages"), (CHAT, {"messages": []}, "messages"), (CHAT, {"messages": "x"}, "messages"),
    (CHAT, {"messages": [1]}, "messages[0]"),
    (CHAT, {"messages": [{"role": "user"}]}, "messages[0].content"),
    (CHAT, {"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
    (CHAT, {"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
    with_chat_field("tool_choice", "required"), with_chat_field("functions", [{"name": "f"}]),
    with_chat_field("tools", [{}], "tools[0]"), with_chat_field("top_logprobs", 3),
    with_chat_field("response_format", {"type": "xml"}),
    with_chat_field("chat_template_kwargs", "x"), with_chat_field("max_completion_tokens", -1),
    ("/tokenize", {}, "prompt"), ("/tokenize", {"prompt": 1}, "prompt"),
    ("/detokenize", {}, "tokens"), ("/detokenize", {"tokens": [-1]}, "tokens[0]"),
    ("/detokenize", {"tokens": "x"}, "tokens"),
    # Not even JSON, or not the kind of JSON that can be a request.
    (COMPLETION, b"", "body"), (COMPLETION, b"{", "body"), (COMPLETION, b"[]", "body"),
    (COMPLETION, b"null", "body"), (COMPLETION, b'"x"', "body"), (COMPLETION, b"{} {}", "body"),
    (COMPLETION, b'{"prompt": "x", "temperature": NaN}', "temperature"),
    (COMPLETION, b'{"prompt": "x", "temperature": Infinity}', "temperature"),
    (COMPLETION, b'{"prompt": "x", "temperature": 1e999}', "temperature"),
    (COMPLETION, b'{"prompt": "\xff\xfe"}', "prompt"), (COMPLETION, b'{"prompt": "\\ud800"}', "prompt"),
    (COMPLETION, b'{"prompt": "x\x00y"}', "prompt"), (COMPLETION, b"\xef\xbb\xbf{}", "body"),
    (COMPLETION, b"[" * 100_000, "nested"), (COMPLETION, b'{"a":' * 100_000, "nested"),
    (CHAT, b'{"messages": [{"role": "user", "content": "' + b"\xc3" * 100 + b'"}]}', "messages"),
]


@pytest.mark.parametrize("path, body, name", HOSTILE, ids=[str(i) for i in range(len(HOSTILE))])
def test_hostile_bodies_are_refused_by_name(server, http, path, body, name):
    submitted = server.metric("isotope:requests_submitted_total")
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = http.post(path, content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert name in error["message"]
    assert http.get("/health").status_code == 200
    assert server.metric("isotope:requests_submitted_total") == submitted, "the engine saw it"


def test_whole_numbers_may_be_written_as_floats(http):
    answer = http.post(COMPLETION, json={"prompt": [1.0, 403.0], "max_tokens": 2.0})
    assert answer.json()["usage"]["completion_tokens"] == 2


def test_paths_and_methods(http):
    assert http.get("/nothing").status_code == 404
    assert http.get("/v1/engines").json()["error"]["type"] == "invalid_request_error"
    refused = http.get(COMPLETION)
    assert refused.status_code == 405 and refused.headers["Allow"] == "POST"
    assert http.post("/health").status_code == 405
    refused = http.post(COMPLETION, content=b'{"prompt": "x"}', headers={"Content-Type": "text/plain"})
    assert refused.status_code == 415
    assert "application/json" in refused.json()["error"]["message"]


def test_models_and_version(client, http):
    models = client.models.list().data
    assert [model.id for model in models] == [NAME]
    assert models[0].max_model_len == 512
    assert client.models.retrieve(NAME).object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")
    assert http.get("/version").json()["version"]
    assert http.head("/health").status_code == 200 and http.head("/health").content == b""


def test_tokenize_and_back(http):
    answer = http.post("/tokenize", json={"prompt": PROMPT}).json()
    assert answer["tokens"] == [1, 403, 407, 261, 378]
    assert answer["count"] == 5 and answer["max_model_len"] == 512
    bare = http.post("/tokenize", json={"prompt": PROMPT, "add_special_tokens": False}).json()
    assert bare["tokens"] == [403, 407, 261, 378]
    assert http.post("/detokenize", json={"tokens": bare["tokens"]}).json()["prompt"] == PROMPT
