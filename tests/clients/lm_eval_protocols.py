#!/usr/bin/env python3
"""lm-evaluation-harness, unmodified, over each protocol that it speaks, against `isotope serve`:

    local-completions        GSM8K, 5 shots
    local-chat-completions   GSM8K, 5 shots as a conversation
    local-completions        log-likelihoods of GSM8K's worked answers (echo and logprobs), question by question compared
                             with those that transformers computes from the same checkpoint (--model hf)

    python3 -m venv /tmp/lm-eval && /tmp/lm-eval/bin/pip install -r tools/requirements-lm-eval.txt torch accelerate
    /tmp/lm-eval/bin/python tests/clients/lm_eval_protocols.py --model models/SmolLM2-135M-Instruct --data DIR --limit 8

DIR holds train.jsonl and test.jsonl. The model is a checkpoint that transformers loads, too. Ends with 1 if anything failed
or a log-likelihood is off by more than --tolerance, relatively: the checkpoint's BF16 is computed in different ways.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import lm_eval

ROOT = pathlib.Path(__file__).resolve().parents[2]
GSM8K = pathlib.Path(lm_eval.__file__).parent / "tasks/gsm8k/gsm8k.yaml"
FILES = "dataset_path: json\ndataset_name: null\ndataset_kwargs:\n  data_files:\n    train: {0}/train.jsonl\n    test: {0}/test.jsonl\n"
LIKELIHOOD = """task: worked_answers
output_type: loglikelihood
test_split: test
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{answer}}"
metric_list:
  - metric: acc
"""


@contextlib.contextmanager
def serving(binary, model, flags):
    command = [binary, "serve", "--model", model, "--port", "0", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        for line in process.stdout:
            if found := re.search(r"http://[\w.:]+:\d+", line):
                yield found[0]
                break
    finally:
        process.terminate()
        process.wait()


def run(kind, model_args, task, folder, limit, *flags):
    """The samples' results and the table that the harness prints."""
    output = folder / f"{kind}-{task}"
    command = [sys.executable, "-m", "lm_eval", "--model", kind, "--model_args",
               ",".join(f"{key}={value}" for key, value in model_args.items()), "--tasks", task, "--include_path",
               str(folder), "--limit", str(limit), "--log_samples", "--output_path", str(output), *flags]
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
    done = subprocess.run(command, env=offline, stdout=subprocess.PIPE, text=True, check=True)
    print(f"\n{kind}, {task}:\n{done.stdout.strip()}", flush=True)
    samples = [json.loads(line) for path in sorted(output.rglob("samples_*.jsonl")) for line in path.read_text().splitlines()]
    assert samples, f"{kind} logged no samples"
    return samples


def compare(ours, theirs, tolerance):
    """Log-likelihoods by question; the number of those that differ."""
    def by_question(samples):
        return {sample["doc_id"]: float(sample["resps"][0][0][0]) for sample in samples}

    ours, theirs = by_question(ours), by_question(theirs)
    assert ours.keys() == theirs.keys()
    worst = max(ours, key=lambda i: abs(ours[i] - theirs[i]) / abs(theirs[i]))
    off = sum(abs(ours[i] - theirs[i]) > tolerance * abs(theirs[i]) for i in ours)
    print(f"\n{len(ours)} log-likelihoods; the worst differs by {abs(ours[worst] - theirs[worst]) / abs(theirs[worst]):.2%} "
          f"({ours[worst]:.2f}, transformers {theirs[worst]:.2f}); {off} by more than {tolerance:.1%}")
    return off


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build/release/isotope"))
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--tolerance", type=float, default=0.01)
    parser.add_argument("engine_flags", nargs="*", help="after --: flags of isotope, such as --threads 2")
    flags = parser.parse_args()
    model, data = os.path.abspath(flags.model), os.path.abspath(flags.data)
    name = pathlib.Path(model).name
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        (folder / "gsm8k_local.yaml").write_text(f"include: {GSM8K}\ntask: gsm8k_local\ntag: null\n" + FILES.format(data))
        (folder / "worked_answers.yaml").write_text(LIKELIHOOD + FILES.format(data))
        with serving(flags.binary, model, flags.engine_flags) as url:
            common = {"model": name, "num_concurrent": 4, "max_retries": 1, "timeout": 3600}
            completions = common | {"base_url": f"{url}/v1/completions", "tokenizer": model, "tokenizer_backend": "huggingface"}
            chat = common | {"base_url": f"{url}/v1/chat/completions"}
            run("local-completions", completions, "gsm8k_local", folder, flags.limit)
            run("local-chat-completions", chat, "gsm8k_local", folder, flags.limit, "--apply_chat_template",
                "--fewshot_as_multiturn", "True")
            ours = run("local-completions", completions, "worked_answers", folder, flags.limit)
        theirs = run("hf", {"pretrained": model, "dtype": "bfloat16"}, "worked_answers", folder, flags.limit, "--device", "cpu")
    sys.exit(compare(ours, theirs, flags.tolerance) > 0)


if __name__ == "__main__":
    main()
