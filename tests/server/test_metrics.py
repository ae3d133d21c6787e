"""/metrics as Prometheus' own parser reads it: vLLM's names, labels and buckets, and counts that add up."""
import json
import pathlib

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from real_server import NAME, running

WANTED = json.loads((pathlib.Path(__file__).parents[1] / "data/metrics/vllm-metrics.json").read_text())


def scrape(server):
    answer = httpx.get(server.url + "/metrics", timeout=30)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.name not in families, "a metric stands there twice"
        families[family.name] = family
    return families


def value(families, name, **labels):
    found = [s.value for family in families.values() for s in family.samples
             if s.name == name and labels.items() <= s.labels.items()]
    assert len(found) == 1, (name, labels, found)
    return found[0]


@pytest.fixture(scope="module")
def after_traffic():
    """A server that has answered, and what it says about it."""
    with running("--served-model-name", 'a "quoted\\ name') as server:
        client = server.client()
        before = scrape(server)
        fields = {"model": 'a "quoted\\ name', "temperature": 0}
        client.completions.create(prompt="Once upon a time", max_tokens=7, n=2, **fields)
        client.completions.create(prompt="Once upon a time", max_tokens=1, **fields)
        client.completions.create(prompt="Once upon a time", max_tokens=50, stop=["."], **fields)
        with pytest.raises(openai.APIStatusError) as caught:
            client.completions.create(prompt="Once", max_tokens=400, extra_body={"timeout": 1e-6, "ignore_eos": True},
                                      **fields)
        assert caught.value.status_code == 504
        server.wait_until_idle()
        yield before, scrape(server)


def bounds(entry, context=512):
    if entry["buckets"] != "1-2-5":
        return entry["buckets"]
    return [m * 10**e for e in range(8) for m in (1, 2, 5) if m * 10**e <= context]


@pytest.mark.parametrize("entry", WANTED, ids=lambda entry: entry["name"])
def test_vllm_metrics(after_traffic, entry):
    families = after_traffic[1]
    name = entry["name"]
    family = families[name.removesuffix("_total") if entry["type"] == "counter" else name]
    assert family.type == entry["type"]
    assert family.documentation
    for sample in family.samples:
        assert sample.labels["model_name"] == 'a "quoted\\ name'
        if name != "vllm:cache_config_info":
            assert sample.labels["engine"] == "0"
        assert set(entry.get("labels", [])) <= set(sample.labels)
    if entry["type"] == "histogram":
        buckets = {float(s.labels["le"]): s.value for s in family.samples if s.name == name + "_bucket"}
        assert list(buckets) == [*map(float, bounds(entry)), float("inf")]
        assert list(buckets.values()) == sorted(buckets.values())
        assert buckets[float("inf")] == value(families, name + "_count")


def test_counts_add_up(after_traffic):
    before, after = after_traffic

    def grown(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    ends = {reason: grown("vllm:request_success_total", finished_reason=reason)
            for reason in ("stop", "length", "abort", "error")}
    assert ends == {"stop": 1, "length": 3, "abort": 1, "error": 0}
    assert sum(ends.values()) == grown("isotope:requests_submitted_total")
    assert grown("isotope:requests_timed_out_total") == 1
    assert grown("vllm:request_params_n_count") == 4
    assert grown("vllm:request_params_n_sum") == 5
    assert grown("vllm:request_generation_tokens_count") == 4
    assert grown("vllm:request_generation_tokens_sum") <= grown("vllm:generation_tokens_total")
    assert grown("vllm:time_to_first_token_seconds_count") == 4
    # Prompts: 5 answers, of which the last was over before it began.
    each = grown("vllm:request_prompt_tokens_sum") / 4
    assert grown("vllm:prompt_tokens_total") == 4 * each
    # Each token but the first of an answer follows another.
    assert grown("vllm:inter_token_latency_seconds_count") == grown("vllm:generation_tokens_total") - 4
    assert value(after, "vllm:num_requests_running") == 0
    assert value(after, "isotope:waiting_tokens") == 0


def test_process_metrics(after_traffic):
    families = after_traffic[1]
    for name in ("process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_start_time_seconds",
                 "process_cpu_seconds_total", "process_virtual_memory_bytes"):
        assert value(families, name) > 0
    assert value(families, "isotope:build_info", family="llama") == 1


def test_metrics_need_no_key_and_no_model_name(server):
    assert value(scrape(server), "vllm:num_requests_running", model_name=NAME) >= 0
