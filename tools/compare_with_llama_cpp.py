#!/usr/bin/env python3
"""Isotope beside llama.cpp on the CPU: the same model, threads, prompt and answer, in turns.

    compare_with_llama_cpp.py MODEL GGUF LLAMA_BENCH [--threads N] [--rounds N] [--json FILE]

MODEL is a folder for Isotope (FP8, say), GGUF the same model as llama.cpp has it (Q8_0), LLAMA_BENCH its program of that name, built for
this machine (GGML_NATIVE=ON). How to come by both: docs/performance.md. A round is one run of each program, one after the other, so that
a machine that is now faster and now slower is so for both; medians over the rounds are compared. Both compute a prompt of 512 tokens, and
64 tokens of an answer behind one.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROMPT, ANSWER = 512, 64


def output_of(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def isotope(args):
    """Tokens a second: (prefill, decode), and the read bandwidth in GB/s."""
    result = output_of(args.binary, "bench", "latency", "--model", args.model, "--threads", args.threads, "--device", "cpu",
                       "--lm-head-dtype", args.lm_head_dtype, "--batch-size", 1, "--input-len", PROMPT, "--output-len", ANSWER,
                       "--num-iters", 1, "--json", "-")
    figures = result["results"][0]
    return PROMPT / figures["ttft_ms"] * 1e3, 1e3 / figures["tpot_mean_ms"], result["read_bytes_per_s"] / 1e9


def llama_cpp(args):
    """Tokens a second: (prefill, decode), each with or without its flash attention, whichever is faster."""
    def rate(*flags):
        runs = output_of(args.llama_bench, "-m", args.gguf, "-t", args.threads, "-r", 1, "-fa", "0,1", "-o", "json", *flags)
        return max(run["avg_ts"] for run in runs)
    return rate("-p", PROMPT, "-n", 0), rate("-p", 0, "-n", ANSWER, "-d", PROMPT)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("gguf", type=pathlib.Path)
    parser.add_argument("llama_bench", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--lm-head-dtype", default="auto", help="fp8: 8 bits as llama.cpp's Q8_0 has them (default: %(default)s)")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/isotope")
    parser.add_argument("--json", type=pathlib.Path, help="every round's figures")
    args = parser.parse_args()
    rounds = []
    for number in range(args.rounds):
        ours, theirs = isotope(args), llama_cpp(args)
        rounds.append({"isotope": ours[:2], "llama.cpp": theirs, "read_gb_per_s": ours[2]})
        print(f"round {number + 1}: reads {ours[2]:.1f} GB/s; prefill {ours[0]:.0f} and {theirs[0]:.0f}, "
              f"decode {ours[1]:.1f} and {theirs[1]:.1f} tokens/s", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rounds, indent=1))
    print(f"\nmedians of {args.rounds} rounds, {args.threads} threads; tokens/s\n{'':28}{'Isotope':>9}{'llama.cpp':>11}{'ratio':>16}")
    for i, what in enumerate((f"prefill of {PROMPT} tokens", f"decode behind {PROMPT} tokens")):
        ours, theirs = ([each[name][i] for each in rounds] for name in ("isotope", "llama.cpp"))
        ratios = sorted(a / b for a, b in zip(ours, theirs))
        print(f"{what:28}{statistics.median(ours):9.1f}{statistics.median(theirs):11.1f}"
              f"{statistics.median(ratios):8.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
