"""Who may ask, from where, and under which path: keys, request ids, web pages of other origins, proxies."""
import anthropic
import httpx
import openai
import pytest

from real_server import NAME, running
from test_completions import complete

PAGE = "https://chat.example.org"


@pytest.fixture(scope="module")
def guarded():
    with running("--served-model-name", NAME, "alias/of it", "--api-key", "sesame", "mellon", "--root-path", "/llm/",
                 "--allowed-origins", f'["{PAGE}", "http://localhost:3000"]', "--allow-credentials") as server:
        yield server


def test_each_key_opens(guarded):
    for key in ["sesame", "mellon"]:
        assert complete(guarded.client(key), max_tokens=1).usage.completion_tokens == 1
        models = httpx.get(guarded.url + "/v1/models", headers={"x-api-key": key})
        assert models.status_code == 200
    for key in ["wrong", "sesam", "sesame2", "sesamemellon"]:
        with pytest.raises(openai.AuthenticationError):
            guarded.client(key).models.list()
        with pytest.raises(anthropic.AuthenticationError):
            anthropic.Anthropic(base_url=guarded.url, api_key=key, max_retries=0).messages.create(
                model=NAME, max_tokens=1, messages=[{"role": "user", "content": "x"}])
    assert httpx.post(guarded.url + "/tokenize", json={"prompt": "x"}).status_code == 401
    for path in ["/health", "/version", "/metrics"]:
        assert httpx.get(guarded.url + path).status_code == 200


def test_every_name_is_the_model(guarded):
    client = guarded.client("sesame")
    assert [model.id for model in client.models.list()] == [NAME, "alias/of it"]
    answer = complete(client, model="alias/of it", max_tokens=1)
    assert answer.model == "alias/of it"
    assert client.models.retrieve("alias/of it").root.endswith("stories260K")
    with pytest.raises(openai.NotFoundError) as caught:
        complete(client, model="alias")
    assert NAME in caught.value.message and "alias/of it" in caught.value.message
    models = anthropic.Anthropic(base_url=guarded.url, api_key="sesame").models.list()
    assert [model.id for model in models] == [NAME, "alias/of it"]
    assert models.data[0].created_at.year > 2000 and models.data[0].display_name == NAME


def test_paths_with_and_without_the_root(guarded):
    for path in ["/v1/models", "/llm/v1/models"]:
        assert httpx.get(guarded.url + path, headers={"x-api-key": "sesame"}).status_code == 200
    assert httpx.get(guarded.url + "/llmv1/models").status_code == 404


def test_request_ids(http):
    made = http.get("/health").headers["X-Request-Id"]
    assert len(made) == 32 and http.get("/health").headers["X-Request-Id"] != made
    answer = http.post("/v1/completions", json={"prompt": "x", "max_tokens": 1}, headers={"X-Request-Id": "trace-7"})
    assert answer.headers["X-Request-Id"] == "trace-7" and answer.json()["id"] == "cmpl-trace-7"
    for bad in ["x" * 129, "a b", 'a"b', "a\tb"]:
        refused = http.get("/health", headers={"X-Request-Id": bad})
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "X-Request-Id"


def preflight(server, origin, method="POST", headers="authorization,content-type", path="/v1/chat/completions"):
    return httpx.options(server.url + path, headers={"Origin": origin, "Access-Control-Request-Method": method,
                                                     "Access-Control-Request-Headers": headers})


def test_pages_of_allowed_origins(guarded):
    allowed = preflight(guarded, PAGE)  # browsers send no key here
    assert allowed.status_code == 200 and allowed.content == b""
    assert allowed.headers["Access-Control-Allow-Origin"] == PAGE
    assert allowed.headers["Access-Control-Allow-Credentials"] == "true"
    assert allowed.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
    assert "POST" in allowed.headers["Access-Control-Allow-Methods"]
    answer = httpx.get(guarded.url + "/v1/models", headers={"Origin": PAGE})
    assert answer.status_code == 401 and answer.headers["Access-Control-Allow-Origin"] == PAGE
    streamed = httpx.post(guarded.url + "/v1/completions", headers={"Origin": PAGE, "x-api-key": "sesame"},
                          json={"prompt": "x", "max_tokens": 2, "stream": True})
    assert streamed.headers["Access-Control-Allow-Origin"] == PAGE and "[DONE]" in streamed.text


def test_pages_of_other_origins(guarded, server):
    for started, origin in [(guarded, "https://evil.example"), (guarded, PAGE + ".evil"), (server, PAGE)]:
        refused = preflight(started, origin)
        assert refused.status_code == 403 and "--allowed-origins" in refused.json()["error"]["message"]
        assert "Access-Control-Allow-Origin" not in refused.headers
    answer = httpx.get(server.url + "/v1/models", headers={"Origin": PAGE})
    assert answer.status_code == 200 and "Access-Control-Allow-Origin" not in answer.headers


def test_content_types_are_not_guessed(http):
    assert http.get("/health").headers["X-Content-Type-Options"] == "nosniff"
    assert http.get("/nothing").headers["X-Content-Type-Options"] == "nosniff"
