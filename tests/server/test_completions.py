"""/v1/completions through OpenAI's own client. The expected tokens, texts and log-probabilities are those of
tests/data/stories260K/reference.json, computed elsewhere in double precision."""
import json

import pytest

from real_server import NAME, ROOT

CASES = json.loads((ROOT / "tests/data/stories260K/reference.json").read_text())["cases"]
CASE = CASES[1]
PROMPT = CASE["prompt"]
assert PROMPT == "Once upon a time"
# KV in BF16 against double precision.
LOGPROB_TOLERANCE = 0.05


def expected_text(case, characters):
    return case["greedy_text_with_prompt"][len(case["prompt"]):][:characters]


def complete(client, **fields):
    return client.completions.create(**{"model": NAME, "prompt": PROMPT, "temperature": 0, **fields})


@pytest.mark.parametrize("case", CASES[1:], ids=lambda case: case["prompt"])
def test_greedy_text_is_the_references(client, case):
    answer = complete(client, prompt=case["prompt"], max_tokens=60)
    text = answer.choices[0].text
    assert len(text) > 60
    assert text == expected_text(case, len(text))
    assert answer.choices[0].finish_reason == "length"
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert answer.model == NAME


def test_default_is_sixteen_tokens(client):
    assert complete(client).usage.completion_tokens == 16


def test_token_id_prompts(client):
    by_text = complete(client, max_tokens=20)
    by_ids = complete(client, prompt=CASE["ids"], max_tokens=20)
    assert by_ids.choices[0].text == by_text.choices[0].text
    assert by_ids.usage.prompt_tokens == by_text.usage.prompt_tokens == len(CASE["ids"])


def test_lists_of_prompts(client):
    texts = complete(client, prompt=[case["prompt"] for case in CASES[1:]], max_tokens=20)
    ids = complete(client, prompt=[case["ids"] for case in CASES[1:]], max_tokens=20)
    assert [choice.index for choice in texts.choices] == list(range(len(CASES) - 1))
    for case, a, b in zip(CASES[1:], texts.choices, ids.choices):
        assert a.text == b.text == expected_text(case, len(a.text))
    assert texts.usage.prompt_tokens == sum(len(case["ids"]) for case in CASES[1:])
    assert texts.usage.completion_tokens == 20 * (len(CASES) - 1)


def test_token_ids_are_returned(client):
    answer = complete(client, max_tokens=30, extra_body={"return_token_ids": True})
    assert answer.choices[0].token_ids == CASE["greedy_ids"][:30]
    assert answer.choices[0].prompt_token_ids == CASE["ids"]


def test_usage_has_counts_and_times(client):
    answer = complete(client, max_tokens=30)
    usage = answer.usage
    assert usage.prompt_tokens == len(CASE["ids"])
    assert usage.completion_tokens == 30
    assert usage.total_tokens == usage.prompt_tokens + 30
    assert usage.prompt_tokens_details.cached_tokens >= 0
    assert 0 < usage.ttft_ms < 60_000
    assert 0 < usage.tpot_ms < 60_000


def test_streamed_is_what_is_not_streamed(client):
    fields = {"max_tokens": 200, "temperature": 1.0, "seed": 7, "logprobs": 2}
    whole = complete(client, **fields).choices[0]
    chunks = list(complete(client, stream=True, stream_options={"include_usage": True}, **fields))
    # In pieces; how many depends on the machine, because tokens that are ready together share an event.
    assert len(chunks) > 3
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 200
    assert chunks[-1].usage.ttft_ms > 0
    choices = [chunk.choices[0] for chunk in chunks[:-1]]
    assert "".join(choice.text for choice in choices) == whole.text
    assert [token for choice in choices for token in choice.logprobs.tokens] == whole.logprobs.tokens
    assert [x for choice in choices for x in choice.logprobs.text_offset] == whole.logprobs.text_offset
    assert [choice.finish_reason for choice in choices] == [None] * (len(choices) - 1) + ["length"]


def test_streams_several_choices(client):
    fields = {"prompt": [PROMPT, "Lily"], "n": 2, "max_tokens": 20, "temperature": 1.0, "seed": 3}
    whole = complete(client, **fields).choices
    texts, ends = [""] * 4, [None] * 4
    for chunk in complete(client, stream=True, **fields):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            ends[choice.index] = choice.finish_reason or ends[choice.index]
    assert texts == [choice.text for choice in whole]
    assert ends == [choice.finish_reason for choice in whole]


def test_seed_and_n(client):
    fields = {"n": 3, "max_tokens": 30, "temperature": 1.5}
    first = [choice.text for choice in complete(client, seed=11, **fields).choices]
    again = [choice.text for choice in complete(client, seed=11, **fields).choices]
    other = [choice.text for choice in complete(client, seed=12345, **fields).choices]
    assert first == again != other
    assert len(set(first)) == 3


def test_logprobs_are_the_references(client):
    logprobs = complete(client, max_tokens=30, logprobs=5).choices[0].logprobs
    assert logprobs.token_logprobs == pytest.approx(CASE["greedy_logprobs"][:30], abs=LOGPROB_TOLERANCE)
    for token, logprob, top in zip(logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs):
        assert len(top) == 5
        assert max(top.values()) == top[token] == logprob
        assert sum(2.718281828**x for x in top.values()) <= 1.001
    text = complete(client, max_tokens=30).choices[0].text
    for token, offset in zip(logprobs.tokens, logprobs.text_offset):
        assert text[offset:].startswith(token)


def test_logprobs_without_alternatives(client):
    logprobs = complete(client, max_tokens=3, logprobs=0, temperature=2.0, seed=1).choices[0].logprobs
    for token, logprob, top in zip(logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs):
        assert top == {token: logprob}


def test_tokens_as_ids(client):
    answer = complete(client, max_tokens=5, logprobs=1, extra_body={"return_tokens_as_token_ids": True})
    assert answer.choices[0].logprobs.tokens == [f"token_id:{id}" for id in CASE["greedy_ids"][:5]]


def test_echo_with_prompt_logprobs(client):
    # The greedy continuation as a prompt: the reference knows the log-probabilities of its tokens.
    prompt = CASE["ids"] + CASE["greedy_ids"][:20]
    answer = complete(client, prompt=prompt, max_tokens=1, echo=True, logprobs=2)
    choice = answer.choices[0]
    assert choice.text == CASE["greedy_text_with_prompt"][:len(choice.text)]
    logprobs = choice.logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(prompt) + 1
    assert logprobs.token_logprobs[0] is None and logprobs.top_logprobs[0] is None
    assert logprobs.token_logprobs[len(CASE["ids"]):] == pytest.approx(
        CASE["greedy_logprobs"][:21], abs=LOGPROB_TOLERANCE)
    for token, offset in list(zip(logprobs.tokens, logprobs.text_offset))[2:]:
        assert choice.text[offset:].startswith(token)


def test_echo_without_new_tokens(client):
    choice = complete(client, max_tokens=0, echo=True, logprobs=0).choices[0]
    assert choice.text == PROMPT
    assert len(choice.logprobs.tokens) == len(CASE["ids"])
    streamed = list(complete(client, max_tokens=0, echo=True, stream=True))
    assert "".join(chunk.choices[0].text for chunk in streamed) == PROMPT


def test_echo_streamed(client):
    chunks = complete(client, max_tokens=20, echo=True, stream=True)
    text = "".join(chunk.choices[0].text for chunk in chunks)
    assert text == complete(client, max_tokens=20, echo=True).choices[0].text
    assert text == CASE["greedy_text_with_prompt"][:len(text)] and len(text) > len(PROMPT)


def test_prompt_logprobs(client):
    prompt = CASE["ids"] + CASE["greedy_ids"][:5]
    answer = complete(client, prompt=prompt, max_tokens=1, extra_body={"prompt_logprobs": 2})
    entries = answer.choices[0].prompt_logprobs
    assert len(entries) == len(prompt) and entries[0] is None
    for id, entry, expected in zip(CASE["greedy_ids"], entries[len(CASE["ids"]):],
                                   CASE["greedy_logprobs"]):
        assert entry[str(id)]["rank"] == 1
        assert entry[str(id)]["logprob"] == pytest.approx(expected, abs=LOGPROB_TOLERANCE)
        assert len(entry) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("stop", ["girl named", "rl nam", "."])
def test_stop_strings_span_tokens(client, stop, stream):
    reference = expected_text(CASE, 200)
    answer = complete(client, max_tokens=60, stop=["never to be seen", stop], stream=stream)
    choices = [chunk.choices[0] for chunk in answer] if stream else answer.choices
    assert "".join(choice.text for choice in choices) == reference[:reference.index(stop)]
    assert choices[-1].finish_reason == "stop"
    assert choices[-1].stop_reason == stop


def test_stop_string_included(client):
    reference = expected_text(CASE, 200)
    answer = complete(client, max_tokens=60, stop="named", extra_body={"include_stop_str_in_output": True})
    assert answer.choices[0].text == reference[:reference.index("named") + len("named")]


def test_stop_token_ids(client):
    stop = CASE["greedy_ids"][6]
    count = CASE["greedy_ids"].index(stop) + 1
    answer = complete(client, max_tokens=60, extra_body={"stop_token_ids": [stop]})
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.stop_reason) == ("stop", stop)
    assert answer.usage.completion_tokens == count
    assert choice.text == complete(client, max_tokens=count - 1).choices[0].text
    later = complete(client, max_tokens=60, extra_body={"stop_token_ids": [stop], "min_tokens": 20})
    assert later.usage.completion_tokens > 20


def test_ignore_eos_and_logit_bias(client):
    eos = 2
    ended = complete(client, max_tokens=30, logit_bias={str(eos): 100})
    assert ended.choices[0].finish_reason == "stop" and ended.choices[0].text == ""
    assert ended.choices[0].stop_reason is None
    assert ended.usage.completion_tokens == 1
    forced = complete(client, max_tokens=30, logit_bias={str(eos): 100}, extra_body={"ignore_eos": True})
    assert forced.choices[0].finish_reason == "length"
    banned = complete(client, max_tokens=1, logit_bias={str(CASE["greedy_ids"][0]): -100},
                      extra_body={"return_token_ids": True})
    assert banned.choices[0].token_ids[0] != CASE["greedy_ids"][0]


def test_concurrent_requests_get_their_own_answers(client):
    from concurrent.futures import ThreadPoolExecutor

    def ask(i):
        case = CASES[1 + i % (len(CASES) - 1)]
        text = complete(client, prompt=case["prompt"], max_tokens=10 + i).choices[0].text
        return text == expected_text(case, len(text))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(48)))


def test_best_of_gives_the_likeliest(client):
    """The candidates are the choices of the same seed; their rank is the mean of their logprobs."""
    fields = {"temperature": 1.5, "seed": 8, "max_tokens": 12, "stop": ".", "logprobs": 1}
    candidates = complete(client, n=6, **fields)

    def mean(choice):
        return sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs)

    ranked = sorted(candidates.choices, key=mean, reverse=True)
    assert ranked[:2] != candidates.choices[:2]
    best = complete(client, n=2, best_of=6, **fields)
    assert [choice.text for choice in best.choices] == [choice.text for choice in ranked[:2]]
    assert [choice.index for choice in best.choices] == [0, 1]
    assert best.usage.completion_tokens == candidates.usage.completion_tokens, "all of them cost something"
    unseen = complete(client, best_of=6, **{**fields, "logprobs": None})
    assert [(choice.text, choice.logprobs) for choice in unseen.choices] == [(ranked[0].text, None)]
    two = complete(client, prompt=[PROMPT, "One day"], best_of=6, **fields)
    assert [choice.index for choice in two.choices] == [0, 1] and two.choices[0].text == ranked[0].text


def test_usage_in_every_chunk(client):
    options = {"include_usage": True, "include_obfuscation": True, "continuous_usage_stats": True}
    chunks = list(complete(client, max_tokens=40, stream=True, extra_body={"ignore_eos": True},
                           stream_options=options))
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts == sorted(counts) and counts[-1] == 40 and chunks[-1].choices == []
    assert all(chunk.usage.prompt_tokens == 5 for chunk in chunks)


def test_fields_that_mean_nothing_here(client):
    """Accepted, as there is nothing to obey; a service tier is answered with the only one there is."""
    answer = complete(client, max_tokens=1, user="u", extra_body={
        "store": True, "metadata": {"a": "b"}, "safety_identifier": "s", "prompt_cache_key": "k",
        "prompt_cache_retention": "24h", "service_tier": "flex", "never_heard_of": 1})
    assert answer.service_tier == "default"
    assert answer.system_fingerprint.startswith("fp_")
    plain = complete(client, max_tokens=1)
    assert "service_tier" not in plain.to_dict() and plain.system_fingerprint == answer.system_fingerprint
