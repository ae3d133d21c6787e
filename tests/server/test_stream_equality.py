"""A stream adds up to the answer that is not streamed, byte for byte, for random requests over all features.

ISOTOPE_STREAM_REQUESTS  how many (default: 32; 500 take some minutes)
"""
import os
import random
import re

import pytest

import answers
import tiny_models
from real_server import CHAT_MODEL, NAME, running

REQUESTS = int(os.environ.get("ISOTOPE_STREAM_REQUESTS", "32"))
KINDS = ["completion", "instruct", "qwen3", "ministral3"]

WORDS = ["Once upon a time", "Lily", "the little dog", "She said, \"", "é€😀", "In the park", "\n", "Tom and his mom"]
# Parts of words, so that they begin and end within tokens; some are long, some never come.
STOPS = ["e l", "ily", ".", "\n\n", "he ", "€", "ow th", "day, ", "never and nowhere", "</think>", "}\n"]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {
             "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}},
         {"type": "function", "function": {"name": "now"}}]
CALL = r'<tool_call>\n\{"name": "(weather|now)", "arguments": \{"city": "[A-Zé]{1,4}"\}\}\n</tool_call>'
# The instruct model knows no markup of reasoning and calls; patterns make it write some, broken ones too.
PATTERNS = [rf"<think>\n[a-z ,\n]{{5,40}}\n</think>\n\n[a-z ]{{0,9}}{CALL}", rf"[A-Za-z ]{{1,20}}\n{CALL}\n{CALL}",
            r"<think>[a-z <>/]{0,30}(</think>)?[a-zäöü€ ]{1,20}", r'<tool_call>\{"name": "?now"?[,:}] ?[a-z{}"]{0,20}</tool_call>',
            r'<tool_call>\n\{"arguments": \{"x": "(<|/|tool_call|>){0,6}"\}, "name": "now"\}( |\n|x)?(</tool_call>)?[a-z]{0,5}']


@pytest.fixture(scope="module")
def servers(server, tmp_path_factory):
    """By kind, started when first needed."""
    with (running("--load-format", "dummy", "--served-model-name", NAME,
                  model=tiny_models.qwen3(tmp_path_factory.mktemp("qwen3"))) as qwen3,
          running("--load-format", "dummy", "--served-model-name", NAME,
                  model=tiny_models.ministral3(tmp_path_factory.mktemp("ministral3"))) as ministral3):
        found = {"completion": server, "qwen3": qwen3, "ministral3": ministral3}
        if not CHAT_MODEL:
            yield found
            return
        with running("--tool-call-parser", "hermes", "--reasoning-parser", "qwen3", "--served-model-name", NAME,
                     model=CHAT_MODEL) as instruct:
            yield found | {"instruct": instruct}


def sampling(draw):
    """Fields of both kinds of requests, and those that OpenAI's client does not know."""
    fields = {"model": NAME, "seed": draw.randrange(1000), "temperature": draw.choice([0, 0.7, 1.0, 1.8]),
              "max_tokens": draw.randrange(1, 70)}
    body = {}
    if draw.random() < 0.3:
        fields["n"] = draw.randrange(2, 4)
    if draw.random() < 0.4:
        fields["stop"] = draw.sample(STOPS, draw.randrange(1, 4))
        body["include_stop_str_in_output"] = draw.random() < 0.4
    if draw.random() < 0.2:
        fields["frequency_penalty"] = draw.choice([-0.5, 0.5, 1.5])
    if draw.random() < 0.2:
        fields["logit_bias"] = {str(draw.randrange(3, 500)): draw.choice([-100, 3, 8]) for _ in range(draw.randrange(1, 9))}
    for name in ("skip_special_tokens", "ignore_eos"):
        if draw.random() < 0.2:
            body[name] = draw.random() < 0.5
    if draw.random() < 0.2:
        body["min_tokens"] = draw.randrange(fields["max_tokens"] + 1)
    return fields, body


def completion_request(draw):
    fields, body = sampling(draw)
    fields["prompt"] = " ".join(draw.sample(WORDS, draw.randrange(1, 4)))
    fields["echo"] = draw.random() < 0.2
    if draw.random() < 0.3:
        fields["logprobs"] = draw.randrange(4)
    return fields, body


def chat_request(draw, kind):
    fields, body = sampling(draw)
    fields["messages"] = [{"role": "user", "content": " ".join(draw.sample(WORDS, draw.randrange(1, 4)))}]
    if draw.random() < 0.3:
        fields["logprobs"] = True
    if draw.random() < 0.6:
        fields["tools"] = TOOLS
        fields["parallel_tool_calls"] = draw.random() < 0.7
        if draw.random() < 0.5:
            fields["tool_choice"] = draw.choice(["auto", "none", "required", {"type": "function", "function": {"name": "now"}}])
            fields["max_tokens"] += 100
    if draw.random() < 0.5:
        body["thinking_budget"] = draw.randrange(30)
    if draw.random() < 0.3:
        body["enable_thinking"] = draw.random() < 0.5
    if draw.random() < 0.2:
        body["include_reasoning"] = False
    if kind == "instruct" and draw.random() < 0.7 and fields.get("tool_choice") != "required":
        body["structured_outputs"] = {"regex": draw.choice(PATTERNS)}
        fields["max_tokens"] += 150
    elif draw.random() < 0.15:
        body["structured_outputs"] = draw.choice([{"choice": ["yes", "no", "é€"]}, {"regex": "[a-zé]{3,9}"},
                                                  {"json": {"type": "object", "properties": {"a": {"type": "boolean"}}}}])
    return fields, body


def compare_completion(create, fields, body):
    whole = create(**fields, extra_body=body)
    texts = [""] * len(whole.choices)
    ends, tokens, usage = {}, {}, None
    for chunk in create(**fields, extra_body=body, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            assert choice.index not in ends, "nothing follows the end"
            texts[choice.index] += choice.text
            if choice.logprobs:
                tokens.setdefault(choice.index, []).extend(zip(choice.logprobs.tokens, choice.logprobs.token_logprobs))
            if choice.finish_reason:
                ends[choice.index] = (choice.finish_reason, choice.stop_reason)
    for choice in whole.choices:
        assert texts[choice.index] == choice.text
        assert ends[choice.index] == (choice.finish_reason, choice.stop_reason)
        if choice.logprobs:
            assert tokens.get(choice.index, []) == list(zip(choice.logprobs.tokens, choice.logprobs.token_logprobs))
    assert usage.completion_tokens == whole.usage.completion_tokens


def compare_chat(create, fields, body):
    whole = create(**fields, extra_body=body)
    choices, usage = answers.from_stream(
        create(**fields, extra_body=body, stream=True, stream_options={"include_usage": True}))
    expected = [answers.from_whole(choice) for choice in whole.choices]
    for choice in expected:
        if not choice.get("tokens"):
            choice.pop("tokens", None)
    assert choices == expected
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert usage.completion_tokens_details == whole.usage.completion_tokens_details
    return expected


@pytest.mark.parametrize("number", range(REQUESTS))
def test_random_request(servers, number):
    kind = KINDS[number % len(KINDS)]
    if kind not in servers:
        pytest.skip("ISOTOPE_CHAT_MODEL is not set")
    draw = random.Random(f"{kind} {number}")
    client = servers[kind].client()
    if kind == "completion":
        compare_completion(client.completions.create, *completion_request(draw))
        return
    fields, body = chat_request(draw, kind)
    for choice in compare_chat(client.chat.completions.create, fields, body):
        # Calls that had to be made were made, unless the answer was cut off.
        if fields.get("tool_choice") == "required" and choice["finish"] == "tool_calls":
            assert choice["calls"] and not re.search(r"\S", choice["content"])
