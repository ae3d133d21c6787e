"""lm-evaluation-harness, unmodified, against `isotope serve` on local files: what the programs that compare the two share.

No program itself; needs tools/requirements-lm-eval.txt.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

import lm_eval

from serving import serving  # noqa: F401: for those who import this

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Rows of a task from DIR/train.jsonl and DIR/test.jsonl instead of the hub.
LOCAL_FILES = ("dataset_path: json\ndataset_name: null\ndataset_kwargs:\n  data_files:\n"
               "    train: {data}/train.jsonl\n    test: {data}/test.jsonl\n")


def argument_parser(description, limit):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.environ.get("ISOTOPE_BINARY", str(ROOT / "build/release/isotope")),
                        help="default: $ISOTOPE_BINARY, or build/release/isotope")
    parser.add_argument("--model", required=True, type=os.path.abspath, help="folder of the model")
    parser.add_argument("--data", required=True, type=os.path.abspath, help="folder with train.jsonl and test.jsonl")
    parser.add_argument("--limit", type=int, default=limit, help="the first so many questions (%(default)s)")
    parser.add_argument("engine_flags", nargs="*", help="after --: flags of isotope, such as --threads 2")
    return parser


def write_gsm8k(folder, data):
    """The harness's own task gsm8k as `gsm8k_local`, reading these files."""
    own = pathlib.Path(lm_eval.__file__).parent / "tasks/gsm8k/gsm8k.yaml"
    (folder / "gsm8k_local.yaml").write_text(f"include: {own}\ntask: gsm8k_local\ntag: null\n" + LOCAL_FILES.format(data=data))


def server_arguments(url, endpoint, model, concurrency):
    """--model_args of the harness's models behind a URL."""
    return {"model": pathlib.Path(model).name, "base_url": url + endpoint, "num_concurrent": concurrency, "max_retries": 1,
            "timeout": 3600}


def completions_arguments(url, model, concurrency, send_tokens):
    """--model_args of local-completions. By default it sends tokens; but transformers 5.23 builds some tokenizers from their
    class instead of tokenizer.json (for SmolLM2 without the splitting of digits), so that its tokens, and then answers, are
    others than those of the text."""
    return server_arguments(url, "/v1/completions", model, concurrency) | {
        "tokenizer": model, "tokenizer_backend": "huggingface", "tokenized_requests": send_tokens}


def run_harness(kind, model_args, task, folder, limit, *flags):
    """Runs a task that lies in `folder`. Its samples are what read_samples() then finds."""
    command = [sys.executable, "-m", "lm_eval", "--model", kind, "--model_args",
               ",".join(f"{key}={value}" for key, value in model_args.items()), "--tasks", task, "--include_path",
               str(folder), "--limit", str(limit), "--log_samples", "--output_path", str(output_folder(kind, task, folder)),
               *flags]
    subprocess.run(command, env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf")}, check=True)


def output_folder(kind, task, folder):
    return folder / f"{kind}-{task}"


def read_samples(kind, task, folder):
    """All that a run of the harness logged; one a question and filter. Empty if there was no run."""
    return [json.loads(line) for path in sorted(output_folder(kind, task, folder).rglob("samples_*.jsonl"))
            for line in path.read_text().splitlines()]
