#!/usr/bin/env python3
"""Runs GSM8K twice, by lm-evaluation-harness against `isotope serve` and by `isotope eval gsm8k`, and compares question by
question: prompt, answer, both extracted answers, both verdicts. Ends with 1 if anything differs.

    python3 -m venv /tmp/lm-eval && /tmp/lm-eval/bin/pip install -r tools/requirements-lm-eval.txt
    /tmp/lm-eval/bin/python tools/compare_with_lm_eval.py --model models/SmolLM2-135M-Instruct-FP8 --data DIR --limit 200

DIR holds train.jsonl and test.jsonl (docs/evaluation.md says where from). The task is the harness's own gsm8k.yaml, read
from these files instead of the hub. With --by both, ours runs on the engine in process and against the server. Prompts are also
held to the vectors in tests/data/gsm8k, if the files are the published ones.
"""
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

from lm_eval_runs import ROOT, argument_parser, completions_arguments, read_samples, run_harness, serving, write_gsm8k

FILTERS = ["strict-match", "flexible-extract"]
HARNESS = ("local-completions", "gsm8k_local")


def read_harness(folder):
    """{doc_id: {"sha256", "answer", filter: (extracted, verdict)}}"""
    rows = {}
    for sample in read_samples(*HARNESS, folder):
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
    print(f"{title}: {differing} differences in {len(theirs)} prompts, answers, extracted answers and verdicts", flush=True)
    return differing


def compare_with_vectors(theirs):
    vectors = json.loads((ROOT / "tests/data/gsm8k/prompt-sha256.json").read_text())
    same = sum(row["sha256"] == vectors[index] for index, row in theirs.items() if index < len(vectors))
    print(f"vectors: {same} of {len(theirs)} prompts of the harness have the hash of tests/data/gsm8k/prompt-sha256.json")
    return len(theirs) - same


def main():
    parser = argument_parser(__doc__, limit=200)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--by", choices=["engine", "url", "both"], default="both")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for both logs; a harness run that lies there is used again")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = flags.keep.resolve() if flags.keep else pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        differing = 0
        with serving(flags.binary, flags.model, flags.engine_flags) as url:
            if not read_harness(folder):
                write_gsm8k(folder, flags.data)
                run_harness(HARNESS[0], completions_arguments(url, flags.model, flags.concurrency, send_tokens=False),
                            HARNESS[1], folder, flags.limit)
            theirs = read_harness(folder)
            differing += compare_with_vectors(theirs)
            if flags.by != "engine":
                ours = run_ours(flags.binary, ["--base-url", url, "--concurrency", str(flags.concurrency)], flags.data,
                                flags.limit, folder / "url.jsonl")
                differing += compare("by URL", theirs, ours)
        if flags.by != "url":
            ours = run_ours(flags.binary, ["--model", flags.model, *flags.engine_flags], flags.data, flags.limit,
                            folder / "engine.jsonl")
            differing += compare("engine", theirs, ours)
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
