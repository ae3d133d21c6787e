"""Reasoning, split off answers: with Qwen3's and Ministral's real templates and tokenizers on models that know nothing,
whose reasoning ends because it must."""
import httpx
import pytest

import answers
import tiny_models
from real_server import running

USER = [{"role": "user", "content": "1+1?"}]


@pytest.fixture(scope="module", params=["qwen3", "ministral3"])
def family(request, tmp_path_factory):
    model = getattr(tiny_models, request.param)(tmp_path_factory.mktemp(request.param))
    with running("--load-format", "dummy", "--served-model-name", "tiny", model=model) as started:
        started.name = request.param
        yield started


@pytest.fixture(scope="module")
def unsplit_server(tmp_path_factory):
    model = tiny_models.qwen3(tmp_path_factory.mktemp("unsplit"))
    with running("--load-format", "dummy", "--served-model-name", "tiny", "--reasoning-parser", "none",
                 model=model) as started:
        yield started


def chat(server, body=None, **fields):
    fields = {"model": "tiny", "messages": USER, "temperature": 1.0, "max_tokens": 60, "seed": 3,
              "logit_bias": opening(server)} | fields
    return server.client().chat.completions.create(extra_body={"ignore_eos": True, **(body or {})}, **fields)


def opening(server):
    """Makes Ministral begin with its reasoning; Qwen3 is in it anyway."""
    return {"34": 5} if getattr(server, "name", "") == "ministral3" else {}


def test_budget_closes_reasoning(family):
    answer = chat(family, {"thinking_budget": 10})
    message = answer.choices[0].message
    if family.name == "qwen3":
        assert message.reasoning_content and message.reasoning == message.reasoning_content
        # The budget, and the line end and the tag that close it.
        assert 10 < answer.usage.completion_tokens_details.reasoning_tokens <= 12 + 3
        assert message.content
    assert answer.usage.completion_tokens == 60


def test_vllms_name_for_the_budget(family):
    fields = [chat(family, {name: 12}).choices[0].message for name in ("thinking_budget", "thinking_token_budget")]
    assert fields[0] == fields[1]


def test_without_end_all_is_reasoning(family):
    if family.name != "qwen3":
        pytest.skip("Ministral may answer at once")
    answer = chat(family, logit_bias={"151668": -100})
    assert answer.choices[0].message.content is None
    assert answer.choices[0].message.reasoning_content
    assert answer.usage.completion_tokens_details.reasoning_tokens == 60
    assert answer.choices[0].finish_reason == "length"


def test_thinking_switched_off(family):
    for body in ({"enable_thinking": False}, {"chat_template_kwargs": {"enable_thinking": False}},
                 {"reasoning_effort": "none"}, {"thinking_budget": 0}):
        answer = chat(family, body, logit_bias={})
        assert getattr(answer.choices[0].message, "reasoning_content", None) is None
        assert answer.choices[0].message.content
        assert answer.usage.completion_tokens_details.reasoning_tokens == 0


def test_switch_reaches_the_template(family):
    def prompt(**fields):
        tokens = httpx.post(family.url + "/tokenize", json={"messages": USER, **fields}).json()["tokens"]
        return httpx.post(family.url + "/detokenize", json={"tokens": tokens}).json()["prompt"]
    if family.name == "qwen3":
        assert prompt(enable_thinking=False).endswith("<think>\n\n</think>\n\n")
        assert prompt(reasoning_effort="none") == prompt(enable_thinking=False)
        assert prompt(reasoning_effort="high") == prompt()


def test_reasoning_can_be_left_out(family):
    shown, hidden = (chat(family, {"thinking_budget": 10, "include_reasoning": show}) for show in (True, False))
    assert hidden.choices[0].message.content == shown.choices[0].message.content
    assert getattr(hidden.choices[0].message, "reasoning_content", None) is None
    assert hidden.usage.completion_tokens_details == shown.usage.completion_tokens_details


def test_streamed_is_what_is_not_streamed(family):
    for seed in range(4):
        fields = {"body": {"thinking_budget": 5 + 7 * seed}, "seed": seed, "n": 2, "logprobs": True}
        whole = chat(family, **fields)
        choices, usage = answers.from_stream(chat(family, stream=True, stream_options={"include_usage": True}, **fields))
        assert choices == [answers.from_whole(choice) for choice in whole.choices]
        assert usage.completion_tokens_details == whole.usage.completion_tokens_details


def test_structured_output_begins_after_reasoning(family):
    answer = chat(family, {"thinking_budget": 10, "ignore_eos": False,
                           "structured_outputs": {"regex": "[0-9]{3} apples"}})
    content = answer.choices[0].message.content
    assert len(content) == 10 and content[:3].isdigit() and content.endswith(" apples")
    if family.name == "qwen3":
        assert answer.choices[0].message.reasoning_content


def test_no_parser_leaves_the_text_as_it_is(unsplit_server):
    message = chat(unsplit_server).choices[0].message
    assert message.content and getattr(message, "reasoning_content", None) is None


@pytest.mark.parametrize("field,value", [("reasoning_effort", "hard"), ("thinking_budget", -1), ("enable_thinking", "no"),
                                         ("include_reasoning", 1)])
def test_refusals_name_the_field(family, field, value):
    answer = httpx.post(family.url + "/v1/chat/completions", json={"messages": USER, field: value})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field
