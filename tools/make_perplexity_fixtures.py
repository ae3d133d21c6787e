#!/usr/bin/env python3
"""Writes tests/data/eval/perplexity.txt and perplexity.json: the perplexity that transformers gives in FP32.

    pip install -r tools/requirements-parity.txt
    python3 tools/make_perplexity_fixtures.py models/SmolLM2-135M-Instruct tests/data/stories260K

The text is made of the first GSM8K training questions and answers (MIT licence, see tests/data/gsm8k/LICENSE). Windows are
those of transformers' guide to perplexity: `stride` tokens from one to the next, the tokens that an earlier window has
counted masked. Sums of log-likelihoods are kept, and divided by the number of tokens that count.
"""
import json
import lzma
import math
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests/data"
WINDOWS = {"SmolLM2-135M-Instruct": [(512, 256)], "stories260K": [(256, 128), (256, 256), (200, 30)]}


def write_text():
    rows = lzma.decompress((DATA / "gsm8k/train.jsonl.xz").read_bytes()).decode().splitlines()[:12]
    rows = [json.loads(row) for row in rows]
    text = "".join(f"Question: {row['question']}\nAnswer: {row['answer']}\n\n" for row in rows)
    (DATA / "eval/perplexity.txt").write_text(text)
    return text


def window_sums(model, ids, context, stride):
    """(sum of -log p, tokens that count) of each window."""
    sums, counted = [], 0
    for begin in range(0, len(ids), stride):
        end = min(begin + context, len(ids))
        target = torch.tensor(ids[begin:end])
        with torch.no_grad():
            logits = model(target[None]).logits[0].double()
        first = max(counted, begin + 1) - begin
        losses = torch.nn.functional.cross_entropy(logits[first - 1:-1], target[first:], reduction="none")
        if len(losses):
            sums.append((losses.sum().item(), len(losses)))
        counted = end
        if end == len(ids):
            break
    return sums


def main():
    torch.set_num_threads(1)
    text = write_text()
    results = []
    for folder in map(pathlib.Path, sys.argv[1:]):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        ids = tokenizer(text)["input_ids"]
        plain = tokenizer(text, add_special_tokens=False)["input_ids"]
        for context, stride in WINDOWS[folder.name]:
            sums = window_sums(model, ids, context, stride)
            tokens = sum(count for _, count in sums)
            nll = sum(total for total, _ in sums) / tokens
            results.append({"model": folder.name, "context_length": context, "stride": stride, "tokens": tokens,
                            "windows": [total for total, _ in sums], "nll_per_token": nll, "perplexity": math.exp(nll),
                            "bits_per_byte": nll / math.log(2) * len(plain) / len(text.encode())})
            print(results[-1])
    (DATA / "eval/perplexity.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
