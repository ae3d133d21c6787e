"""/v1/chat/completions through OpenAI's own client: the protocol with a trivial template on the model that a reference
knows, and sense with an instruct model."""
import pytest

from real_server import NAME
from test_completions import CASE, LOGPROB_TOLERANCE, PROMPT, expected_text


def chat(client, content=PROMPT, **fields):
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    return client.chat.completions.create(
        **{"model": NAME, "messages": messages, "temperature": 0, "max_tokens": 30, **fields})


# The template adds no BOS, and the reference's prompts begin with one.
BOS = {"add_special_tokens": True}


def test_answer(client):
    answer = chat(client, extra_body=BOS)
    message = answer.choices[0].message
    assert message.role == "assistant"
    assert message.content == expected_text(CASE, len(message.content)) != ""
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 30
    assert answer.usage.ttft_ms > 0 and answer.usage.tpot_ms > 0


def test_default_length_is_what_the_context_leaves(client):
    answer = chat(client, max_tokens=None, extra_body={"ignore_eos": True})
    assert answer.usage.total_tokens == 512
    assert answer.choices[0].finish_reason == "length"


def test_max_completion_tokens(client):
    assert chat(client, max_tokens=None, max_completion_tokens=7).usage.completion_tokens == 7


def test_content_parts(client):
    parts = [{"type": "text", "text": "Once upon"}, {"type": "text", "text": "a time"}]
    by_parts = chat(client, [{"role": "user", "content": parts}])
    assert by_parts.choices[0].message.content == chat(client, "Once upon\na time").choices[0].message.content


def test_streamed_is_what_is_not_streamed(client):
    fields = {"temperature": 1.0, "seed": 5, "n": 2, "logprobs": True, "top_logprobs": 2}
    whole = chat(client, **fields).choices
    texts, tokens, ends, roles = ["", ""], [[], []], [None, None], [[], []]
    usage = None
    for chunk in chat(client, stream=True, stream_options={"include_usage": True}, **fields):
        assert chunk.object == "chat.completion.chunk"
        usage = chunk.usage
        for choice in chunk.choices:
            roles[choice.index].append(choice.delta.role)
            texts[choice.index] += choice.delta.content or ""
            tokens[choice.index] += choice.logprobs.content
            ends[choice.index] = choice.finish_reason or ends[choice.index]
    assert texts == [choice.message.content for choice in whole]
    assert tokens == [choice.logprobs.content for choice in whole]
    assert ends == ["length", "length"]
    for each in roles:
        assert each[0] == "assistant" and not any(each[1:])
    assert usage.completion_tokens == 60


def test_logprobs(client):
    content = chat(client, logprobs=True, top_logprobs=3, extra_body=BOS).choices[0].logprobs.content
    assert [entry.logprob for entry in content] == pytest.approx(
        CASE["greedy_logprobs"][:30], abs=LOGPROB_TOLERANCE)
    for entry in content:
        assert bytes(entry.bytes).decode() == entry.token
        assert len(entry.top_logprobs) == 3
        assert entry.top_logprobs[0].token == entry.token
        assert entry.top_logprobs[0].logprob == entry.logprob


def test_stop(client):
    choice = chat(client, stop="named", extra_body=BOS).choices[0]
    text = expected_text(CASE, 200)
    assert choice.message.content == text[:text.index("named")]
    assert choice.finish_reason == "stop"


def test_template_arguments_reach_the_template(client, http):
    def prompt(**fields):
        messages = [{"role": "user", "content": "Hi"}]
        tokens = http.post("/tokenize", json={"messages": messages, **fields}).json()["tokens"]
        return http.post("/detokenize", json={"tokens": tokens}).json()["prompt"]

    assert prompt(chat_template_kwargs={"greeting": "there"}) == "Hi there"
    assert prompt() == "Hi"


def test_continue_final_message(client):
    messages = [{"role": "user", "content": "Once upon "}, {"role": "assistant", "content": "a time"}]
    continued = chat(client, messages, extra_body={**BOS, "continue_final_message": True})
    text = continued.choices[0].message.content
    assert text == expected_text(CASE, len(text)) != ""


# From here on with a model that can talk.


@pytest.fixture
def talker(chat_server):
    client = chat_server.client()
    model = client.models.list().data[0].id

    def talk(**fields):
        messages = [{"role": "user", "content": "What is the capital of France?"}]
        return client.chat.completions.create(
            **{"model": model, "messages": messages, "temperature": 0, "max_tokens": 40, **fields})

    return talk


def test_instruct_model_answers_and_ends(talker):
    choice = talker(max_tokens=200).choices[0]
    assert "Paris" in choice.message.content
    assert choice.finish_reason == "stop"
    assert "<|" not in choice.message.content


def test_instruct_model_streams(talker):
    whole = talker().choices[0].message.content
    chunks = list(talker(stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert len(chunks) > 3


def test_instruct_model_sampling(talker):
    fields = {"temperature": 0.8, "n": 2, "logprobs": True, "top_logprobs": 4}
    first, again = talker(seed=1, **fields), talker(seed=1, **fields)
    assert [c.message.content for c in first.choices] == [c.message.content for c in again.choices]
    assert all(len(e.top_logprobs) == 4 for c in first.choices for e in c.logprobs.content)


def test_instruct_model_stops(talker):
    choice = talker(stop=["aris"]).choices[0]
    assert choice.message.content.endswith("P")
    assert choice.finish_reason == "stop"
