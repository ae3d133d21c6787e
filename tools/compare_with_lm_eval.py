#!/usr/bin/env python3
"""Runs GSM8K twice, by lm-evaluation-harness against `isotope serve` and by `isotope eval gsm8k`, and compares question by
question: prompt, answer, both extracted answers, both verdicts. Ends with 1 if anything differs.

    python3 -m venv /tmp/lm-eval && /tmp/lm-eval/bin/pip install -r tools/requirements-lm-eval.txt
    /tmp/lm-eval/bin/python tools/compare_with_lm_eval.py --model models/SmolLM2-135M-Instruct-FP8 --data DIR --limit 200

DIR holds train.jsonl and test.jsonl (docs/evaluation.md says where from). The task is the harness's own gsm8k.yaml, read
from these files instead of the hub. With --by both, ours runs on the engine in process and against the server.

The harness sends text, not tokens: transformers 5.23 builds some tokenizers from their class instead of tokenizer.json (for
SmolLM2 without the splitting of digits), so that its tokens, and then answers, would be others.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import lm_eval

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILTERS = ["strict-match", "flexible-extract"]


def start_server(binary, model, flags):
    command = [binary, "serve", "--model", model, "--port", "0", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if found := re.search(r"http://[\w.:]+:\d+", line):
            return process, found[0].replace("0.0.0.0", "127.0.0.1")
    sys.exit(f"{' '.join(command)} ended with {process.wait()}")


def run_harness(url, model, data, limit, concurrency, folder):
    own = pathlib.Path(lm_eval.__file__).parent / "tasks/gsm8k/gsm8k.yaml"
    (folder / "gsm8k_local.yaml").write_text(
        f"include: {own}\ntask: gsm8k_local\ntag: null\ndataset_path: json\ndataset_name: null\n"
        f"dataset_kwargs:\n  data_files:\n    train: {data}/train.jsonl\n    test: {data}/test.jsonl\n")
    model_args = {"model": pathlib.Path(model).name, "base_url": f"{url}/v1/completions", "tokenizer": model,
                  "tokenizer_backend": "huggingface", "tokenized_requests": False, "num_concurrent": concurrency,
                  "max_retries": 1, "timeout": 3600}
    command = [sys.executable, "-m", "lm_eval", "--model", "local-completions", "--model_args",
               ",".join(f"{key}={value}" for key, value in model_args.items()), "--tasks", "gsm8k_local",
               "--include_path", str(folder), "--limit", str(limit), "--log_samples", "--output_path", str(folder / "out")]
    subprocess.run(command, check=True, env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf")})


def read_harness(folder):
    """{doc_id: {"sha256", "answer", filter: (extracted, verdict)}}"""
    rows = {}
    for path in sorted((folder / "out").rglob("samples_gsm8k_local_*.jsonl")):
        for line in path.read_text().splitlines():
            sample = json.loads(line)
            row = rows.setdefault(sample["doc_id"], {})
            row["sha256"] = hashlib.sha256(sample["arguments"]["gen_args_0"]["arg_0"].encode()).hexdigest()
            row["answer"] = sample["resps"][0][0]
            row[sample["filter"]] = (sample["filtered_resps"][0], bool(sample["exact_match"]))
    return rows


def run_ours(binary, arguments, data, limit, output):
    output.unlink(missing_ok=True)
    subprocess.run([binary, "eval", "gsm8k", *arguments, "--data", data, "--limit", str(limit), "--output", str(output)],
                   check=True)
    rows = {}
    for line in output.read_text().splitlines()[1:]:
        entry = json.loads(line)
        rows[entry["index"]] = {"sha256": entry["prompt_sha256"], "answer": entry["answer"]} | {
            name: (entry[name]["extracted"], entry[name]["correct"]) for name in FILTERS}
    return rows


def compare(title, theirs, ours):
    differing = 0
    for index in sorted(theirs.keys() | ours.keys()):
        a, b = theirs.get(index, {}), ours.get(index, {})
        for field in ["sha256", "answer", *FILTERS]:
            if a.get(field) != b.get(field) or a.get(field) is None:
                differing += 1
                print(f"question {index}: {field}: harness {a.get(field)!r}, ours {b.get(field)!r}")
    for name in FILTERS:
        print(f"{title}: {name}: harness {sum(row[name][1] for row in theirs.values())} correct, "
              f"ours {sum(row[name][1] for row in ours.values())}, of {len(theirs)}")
    print(f"{title}: {differing} differences in {len(theirs)} prompts, answers, extracted answers and verdicts")
    return differing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build/release/isotope"))
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--by", choices=["engine", "url", "both"], default="both")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for both logs; a harness run that lies there is used again")
    parser.add_argument("engine_flags", nargs="*", help="after --: flags of isotope, such as --threads 2")
    flags = parser.parse_args()
    data, model = os.path.abspath(flags.data), os.path.abspath(flags.model)
    with tempfile.TemporaryDirectory() as temporary:
        folder = flags.keep.resolve() if flags.keep else pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        server, url = start_server(flags.binary, model, flags.engine_flags)
        try:
            if not read_harness(folder):
                run_harness(url, model, data, flags.limit, flags.concurrency, folder)
            theirs = read_harness(folder)
            differing = 0
            if flags.by != "engine":
                ours = run_ours(flags.binary, ["--base-url", url, "--concurrency", str(flags.concurrency)], data,
                                flags.limit, folder / "url.jsonl")
                differing += compare("by URL", theirs, ours)
        finally:
            server.terminate()
            server.wait()
        if flags.by != "url":
            ours = run_ours(flags.binary, ["--model", model, *flags.engine_flags], data, flags.limit,
                            folder / "engine.jsonl")
            differing += compare("engine", theirs, ours)
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
