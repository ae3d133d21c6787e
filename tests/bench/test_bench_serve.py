"""`isotope bench serve` against a server whose every delay is scripted.

The metrics are computed again with numpy: once from the raw event times that the program wrote down, where they must agree to
rounding, and once from the times at which the server wrote the events, where they must agree to a few milliseconds.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from fake_server import FakeServer
from vllm_figures import figures_of_times, figures_of_result

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("ISOTOPE_BINARY", str(ROOT / "build/release/isotope"))
STORIES = ROOT / "tests/data/stories260K"
LATE = 0.04  # seconds that a loaded machine may take from a write to its reading


@pytest.fixture
def fake():
    server = FakeServer()
    yield server
    server.stop()


def command(fake, tmp_path, prompts, *flags):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(prompts) + "\n")
    return [BINARY, "bench", "serve", "--base-url", fake.url, "--dataset-name", "prompts-file", "--dataset-path", str(path),
            "--num-prompts", str(len(prompts)), "--num-warmups", "0", "--output-len", "8", *flags]


def bench(fake, tmp_path, prompts, *flags, code=0):
    done = subprocess.run(command(fake, tmp_path, prompts, "--json", "-", "--save-detailed", *flags), capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_metrics_are_vllms(fake, tmp_path):
    result = bench(fake, tmp_path, ["steady"] * 12 + ["slow"] * 6 + ["one_token"] * 2, "--max-concurrency", "5", "--goodput",
                   "ttft:120", "tpot:60")
    assert (result["completed"], result["failed"], result["success_rate"]) == (20, 0, 1)
    assert result["output_lens"] == [len(times) for times in result["event_times"]]
    assert result["total_output_tokens"] == 12 * 8 + 6 * 4 + 2
    assert result["total_input_tokens"] == 20 * 7

    # From the program's own raw times: the same to rounding.
    expected = figures_of_result(result, goodput={"ttft": 120, "tpot": 60})
    assert {name: result[name] for name in expected} == pytest.approx(expected, rel=1e-9, abs=1e-9)

    # From the times at which the server wrote them: the same but for the way between.
    sent = fake.exchanges
    server = figures_of_times([e.events[0] - e.received for e in sent], [e.events[-1] - e.received for e in sent],
                              [np.diff(e.events) for e in sent], [len(e.events) for e in sent])
    for name in ("mean_ttft_ms", "median_ttft_ms", "mean_e2el_ms", "mean_itl_ms", "median_itl_ms", "mean_tpot_ms"):
        assert result[name] == pytest.approx(server[name], abs=LATE * 1000), name
    assert result["mean_itl_ms"] == pytest.approx(server["mean_itl_ms"], rel=0.1)
    assert fake.peak == 5 and fake.connections <= 6  # kept alive


def test_every_form_of_stream(fake, tmp_path):
    result = bench(fake, tmp_path, ["torn"])
    assert result["generated_texts"] == [" ü0 ü1 ü2"] and result["output_lens"] == [3]
    assert len(result["event_times"][0]) == 4  # the event with finish_reason alone counts, as in vLLM
    result = bench(fake, tmp_path, ["torn"], "--token-events", "text")
    assert len(result["event_times"][0]) == 3

    result = bench(fake, tmp_path, ["llama_cpp"], "--endpoint", "/v1/chat/completions")
    assert result["output_lens"] == [4] and result["input_lens"] == [7] and result["total_cached_tokens"] == 3
    assert result["mean_server_ttft_ms"] == 100 and result["mean_server_tpot_ms"] == 20
    assert result["mean_ttft_ms"] < 60 < 95 < bench(fake, tmp_path, ["llama_cpp"], "--endpoint", "/v1/chat/completions",
                                                    "--token-events", "text")["mean_ttft_ms"]
    body = fake.exchanges[-1].body
    assert body["max_completion_tokens"] == 8 and body["messages"] == [{"role": "user", "content": "llama_cpp"}]


def test_tokens_are_counted_without_usage(fake, tmp_path):
    result = bench(fake, tmp_path, ["no_usage"])
    assert result["output_lens"] == [5]
    with_tokenizer = bench(fake, tmp_path, ["no_usage"], "--tokenizer", str(STORIES))
    assert with_tokenizer["output_lens"][0] > 5 and with_tokenizer["input_lens"][0] > 0
    done = subprocess.run(command(fake, tmp_path, ["no_usage"]), capture_output=True, text=True, timeout=60)
    assert "no usage for 1 answers" in done.stdout


def test_errors_are_counted_and_grouped(fake, tmp_path):
    bad = ["cut", "error_event", "unfinished", "too_many", "too_many", "broken", "whole", "silent", "gone", "garbage",
           "no_json", "huge_length"]
    result = bench(fake, tmp_path, ["steady"] * 4 + bad, "--timeout", "1")
    assert (result["completed"], result["failed"]) == (4, len(bad))
    assert result["success_rate"] == pytest.approx(4 / 16)
    errors = result["error_counts"]
    assert sum(errors.values()) == len(bad)
    assert errors["HTTP 429 Too Many Requests: queue full"] == 2
    assert errors["HTTP 500 Internal Server Error: oops second line"] == 1
    assert errors["error event: the engine stopped"] == 1
    assert errors["the stream ended without finish_reason or [DONE]"] == 1
    assert errors["the server does not stream: its answer is application/json"] == 1
    assert errors["no byte for 1 s"] == 1
    assert errors["connection closed without an answer"] == 1
    assert errors["connection closed in the middle of the answer"] == 2  # cut, huge_length
    assert sum(message.startswith("malformed HTTP answer") for message in errors) == 1
    assert [bool(e) for e in result["errors"]].count(True) == len(bad)
    # Those that failed are in no latency.
    assert result["mean_ttft_ms"] == pytest.approx(50, abs=LATE * 1000)
    bench(fake, tmp_path, ["broken"], code=1)


def test_what_a_server_says_is_made_printable(fake, tmp_path):
    errors = bench(fake, tmp_path, ["odd_reason", "odd_type"], code=1)["error_counts"]  # a report that is JSON in UTF-8
    assert errors == {"HTTP 503 Busy\ufffd:  \ufffd ": 1, "the server does not stream: its answer is text/\u00ff": 1}


def test_a_stream_without_an_end_has_failed(fake, tmp_path):
    result = bench(fake, tmp_path, ["steady", "endless"])
    assert (result["completed"], result["failed"]) == (1, 1)
    assert "more than 1048576 token events" in list(result["error_counts"])[0]


def test_connections_that_the_server_closed_are_not_used_again(fake, tmp_path):
    result = bench(fake, tmp_path, ["closes_late"] * 10, "--max-concurrency", "1")
    assert result["completed"] == 10 and fake.connections >= 10


def test_rate_and_queue(fake, tmp_path):
    result = bench(fake, tmp_path, ["one_token"] * 40, "--request-rate", "40", "--seed", "3")
    assert max(result["start_times"]) == pytest.approx(1, abs=0.1)  # 40 / 40 per second, as vLLM scales
    gaps = np.diff(sorted(result["start_times"]))
    assert np.std(gaps) > 0.5 * np.mean(gaps)
    assert result["request_rate"] == 40 and bench(fake, tmp_path, ["one_token"])["request_rate"] == "inf"


def test_sweep_table_and_plots(fake, tmp_path):
    flags = ["--max-concurrency", "1,4", "--plot", str(tmp_path / "a.svg"), "--plot", str(tmp_path / "a.html"), "--json",
             str(tmp_path / "a.json"), "--label", "a <b> & \"c\"", "--api-key", "secret"]
    done = subprocess.run(command(fake, tmp_path, ["isotope"] * 8, *flags), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "8 of 8 requests succeeded (100.0 %)" in done.stdout and "server's own TTFT" in done.stdout
    results = json.loads((tmp_path / "a.json").read_text())["results"]
    assert [r["max_concurrency"] for r in results] == [1, 4]
    assert "generated_texts" not in results[0]
    assert results[0]["mean_ttft_ms"] == pytest.approx(50, abs=LATE * 1000)
    assert re.search("^Authorization: Bearer secret\r$", fake.exchanges[0].head, re.M)
    svg = ElementTree.fromstring((tmp_path / "a.svg").read_text())
    name = "{http://www.w3.org/2000/svg}"
    assert svg.find(f"{name}title").text == 'a <b> & "c"'
    assert len(svg.findall(f".//{name}circle")) == 8
    page = (tmp_path / "a.html").read_text()
    ElementTree.fromstring(page.split("\n", 1)[1])
    assert re.findall(r"https?://[^\"< ]+", page.replace(fake.url, "")) == ["http://www.w3.org/2000/svg"]


def test_interruption_reports_what_was_measured(fake, tmp_path):
    process = subprocess.Popen(command(fake, tmp_path, ["steady"] * 2 + ["forever"] * 2, "--json", str(tmp_path / "a.json")),
                               stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while fake.open != 2 or len(fake.exchanges) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "2 of 2 requests succeeded" in out and "interrupted: 2 were cut, 0 not sent" in out
    result = json.loads((tmp_path / "a.json").read_text())
    assert (result["completed"], result["failed"], result["interrupted"]) == (2, 0, True)


def test_many_streams_at_once(fake, tmp_path):
    result = bench(fake, tmp_path, ["slow"] * 300)
    assert result["completed"] == 300 and fake.peak == 300
    assert result["max_concurrent_requests"] == 300


@pytest.mark.parametrize("flags, message", [
    (["--base-url", "https://a"], "speaks no TLS"),
    (["--base-url", "localhost:1"], "expected http://HOST"),
    (["--base-url", "http://127.0.0.1:1"], "cannot connect"),
    (["--base-url", "http://127.0.0.1:1", "--goodput", "ttfb:5"], "ttft, tpot or e2el"),
    (["--base-url", "http://127.0.0.1:1", "--plot", "a.png"], ".svg or .html"),
    (["--base-url", "http://127.0.0.1:1", "--dataset-name", "gsm8k", "--model", "m"], "--dataset-path"),
    (["--base-url", "http://127.0.0.1:1", "--model", "m"], "the warm-up request"),
])
def test_mistakes_are_explained(flags, message):
    done = subprocess.run([BINARY, "bench", "serve", *flags], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and message in done.stderr


def test_throughput(tmp_path):
    done = subprocess.run([BINARY, "bench", "throughput", "--model", str(STORIES), "--num-prompts", "9", "--input-len", "20",
                           "--output-len", "5", "--json", str(tmp_path / "a.json")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "a.json").read_text())
    assert (result["num_requests"], result["prompt_tokens"], result["output_tokens"]) == (9, 180, 45)
    assert result["total_num_tokens"] == 225
    assert result["tokens_per_second"] == pytest.approx(225 / result["elapsed_time"])
    assert "output" in done.stdout
    (tmp_path / "p.jsonl").write_text('{"prompt": "Once upon a time", "output_tokens": 4}\n{"prompt": "The dog"}\n')
    done = subprocess.run([BINARY, "bench", "throughput", "--model", str(STORIES), "--num-prompts", "2", "--dataset-name",
                           "prompts-file", "--dataset-path", str(tmp_path / "p.jsonl"), "--output-len", "6", "--json", "-"],
                          capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["output_tokens"] == 12
