"""`isotope eval` on real models: in process and against a server, interrupted and resumed, against transformers' figures.

What decides a score (prompts, filters, statistics) is held to the harness's code by the unit tests; here it must reach the
user through the program. The long form, 200 questions beside the harness itself, is tools/compare_with_lm_eval.py.
"""
import json
import lzma
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from serving import serving  # noqa: E402

DATA = ROOT / "tests/data"
BINARY = os.environ.get("ISOTOPE_BINARY", str(ROOT / "build/release/isotope"))
STORIES = DATA / "stories260K"
CHAT_MODEL = os.environ.get("ISOTOPE_CHAT_MODEL", "")
SMALL = ["--num-fewshot", "0", "--max-gen-toks", "16", "--limit", "8"]


def evaluate(*arguments, code=0):
    done = subprocess.run([BINARY, "eval", *map(str, arguments)], capture_output=True, text=True, timeout=600)
    assert done.returncode == code, done.stderr
    return done


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gsm8k")
    for name in ["train.jsonl", "test.jsonl"]:
        (folder / name).write_bytes(lzma.decompress((DATA / f"gsm8k/{name}.xz").read_bytes()))
    return folder


@pytest.fixture(scope="session")
def url():
    with serving(BINARY, str(STORIES)) as url:
        yield url


@pytest.fixture(scope="session")
def by_engine(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("engine") / "run.jsonl"
    evaluate("gsm8k", "--model", STORIES, "--data", data, *SMALL, "--output", output)
    return output


def test_a_server_gives_the_engines_answers(data, url, by_engine, tmp_path):
    output = tmp_path / "run.jsonl"
    evaluate("gsm8k", "--base-url", url + "/v1", "--data", data, *SMALL, "--output", output)
    ours, theirs = ({line["index"]: line for line in lines(path)[1:]} for path in (by_engine, output))
    assert len(ours) == 8 and ours == theirs
    report = json.loads(evaluate("compare", by_engine, output, "--json", "-").stdout)
    assert report["questions"] == report["same_answers"] == 8
    assert report["results"]["strict-match"]["mcnemar_p"] == 1


def test_an_interrupted_run_is_resumed(data, by_engine, tmp_path):
    whole = by_engine.read_text().splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    cut.write_text("".join(whole[:4]) + whole[4][:20])
    flags = ["--model", STORIES, "--data", data, *SMALL, "--output", cut]
    assert "is there already" in evaluate("gsm8k", *flags, code=1).stderr
    evaluate("gsm8k", *flags, "--resume")
    assert cut.read_text().startswith("".join(whole[:4]))
    assert sorted(cut.read_text().splitlines()) == sorted(by_engine.read_text().splitlines())
    refused = evaluate("gsm8k", *flags, "--resume", "--dtype", "bf16", code=1).stderr
    assert "other settings" in refused and str(cut) in refused


def test_an_interrupted_text_is_resumed(url, tmp_path):
    flags = ["perplexity", DATA / "eval/perplexity.txt", "--base-url", url, "--context-length", "200", "--output"]
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    report = json.loads(evaluate(*flags, whole, "--json", "-").stdout)
    kept = whole.read_text().splitlines(keepends=True)
    cut.write_text("".join(kept[:4]) + kept[4][:20])
    resumed = json.loads(evaluate(*flags, cut, "--resume", "--json", "-").stdout)
    assert cut.read_text().startswith("".join(kept[:4])) and len(lines(cut)) == len(kept)
    assert resumed["tokens"] == report["tokens"]
    assert resumed["nll_per_token"] == pytest.approx(report["nll_per_token"], abs=1e-12)
    first = json.loads(evaluate(*flags, cut, "--resume", "--limit", "2", "--json", "-").stdout)
    assert first["windows"] == 2 and first["tokens"] < report["tokens"]
    assert "other settings" in evaluate(*flags, cut, "--resume", "--stride", "50", code=1).stderr
    assert "--output" in evaluate(*flags[:-1], "--resume", code=1).stderr


def test_errors_say_what_to_do(data, tmp_path):
    missing = evaluate("gsm8k", "--model", STORIES, "--data", tmp_path, code=1).stderr
    assert "curl" in missing and "test.jsonl" in missing
    assert "--base-url" in evaluate("gsm8k", "--data", data, code=1).stderr
    assert "512 tokens" in evaluate("perplexity", DATA / "eval/perplexity.txt", "--model", STORIES, code=1).stderr
    unreachable = evaluate("gsm8k", "--base-url", "http://127.0.0.1:1", "--data", data, code=1).stderr
    assert "127.0.0.1:1/v1/models: cannot connect" in unreachable
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"task": "chess", "settings": {}}\n')
    assert "'task' is \"chess\"" in evaluate("compare", broken, broken, code=1).stderr


def check_perplexity(expected, tolerance, folder, *model):
    output = folder / f"{len(list(folder.iterdir()))}.jsonl"
    report = json.loads(evaluate("perplexity", DATA / "eval/perplexity.txt", *model, "--context-length",
                                 expected["context_length"], "--stride", expected["stride"], "--json", "-",
                                 "--output", output).stdout)
    assert report["tokens"] == expected["tokens"]
    assert report["nll_per_token"] == pytest.approx(expected["nll_per_token"], abs=tolerance)
    assert report["bits_per_byte"] == pytest.approx(expected["bits_per_byte"], abs=tolerance)
    assert report["perplexity"] == pytest.approx(expected["perplexity"], rel=2 * tolerance)
    windows = sorted(lines(output)[1:], key=lambda window: window["index"])
    assert len(windows) == len(expected["windows"])
    for window, nll in zip(windows, expected["windows"]):
        # Windows have few tokens: rounding averages out less than over the text.
        assert window["nll"] == pytest.approx(nll, abs=10 * tolerance * (window["end"] - window["scored"]))


REFERENCES = json.loads((DATA / "eval/perplexity.json").read_text())


@pytest.mark.parametrize("expected", [entry for entry in REFERENCES if entry["model"] == "stories260K"],
                         ids=lambda entry: f"{entry['context_length']}-{entry['stride']}")
def test_perplexity_is_transformers(expected, url, tmp_path):
    check_perplexity(expected, 2e-3, tmp_path, "--model", STORIES)
    check_perplexity(expected, 2e-3, tmp_path, "--base-url", url)


def test_perplexity_of_the_default_model_is_transformers(tmp_path):
    folder = CHAT_MODEL.removesuffix("-FP8")
    expected = [entry for entry in REFERENCES if entry["model"] == pathlib.Path(folder).name]
    if not expected or not pathlib.Path(folder).exists():
        pytest.skip("the default model's BF16 form is not there")
    check_perplexity(expected[0], 5e-3, tmp_path, "--model", folder)


def test_five_shot_prompts_reach_the_default_model(data, tmp_path):
    if not CHAT_MODEL:
        pytest.skip("ISOTOPE_CHAT_MODEL is not set")
    output = tmp_path / "run.jsonl"
    shown = evaluate("gsm8k", "--model", CHAT_MODEL, "--data", data, "--limit", "2", "--output", output).stdout
    assert "5-shot, 2 of 1319 questions" in shown
    hashes = json.loads((DATA / "gsm8k/prompt-sha256.json").read_text())
    rows = sorted(lines(output)[1:], key=lambda row: row["index"])
    assert [row["prompt_sha256"] for row in rows] == hashes[:2]
    for row in rows:
        found = re.findall(r"#### (\-?[0-9\.\,]+)", row["answer"])
        assert row["strict-match"]["extracted"] == (found[0] if found else "[invalid]")
