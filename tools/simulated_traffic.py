#!/usr/bin/env python3
"""What the decode kernels of one layer and of the head load on the simulated gfx1201, against the bytes that they must.

  source tools/simulated_gpu.sh
  tools/simulated_traffic.py --model tests/data/configs/Qwen3-8B-FP8.config.json --batch-size 1 --context 549

Runs `isotope bench latency` with random weights and one layer on the simulated card and reads the last step's launches from
ISOTOPE_SIM_REPORT. Memory bytes are the lines of 128 bytes that a launch loads from and has not written, each once; ideal bytes are the weights, or
the live keys and values. Ends with 1 if a product or attention loads more than 1.03 times the ideal, or if a 16-byte load is not
coalesced. In flight is what a wave asks memory for before it waits for the first of it, times the waves that registers and LDS let a
workgroup processor (WGP) have at once. Nothing of this is a time.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIMIT = 1.03
BANDWIDTH = 640e9  # bytes a second of a Radeon RX 9070 XT, from its data sheet
PRODUCTS = ("linear_decode", "linear_wide")


def last_step(config, batch, context, kv):
    """Launches of the last decode step of a model of one layer."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
        report = path / "report.jsonl"
        command = [str(ROOT / "build/release/isotope"), "--log-level", "error", "bench", "latency", "--device", "hip",
                   "--load-format", "dummy", "--model", str(path / "config.json"), "--max-model-len", str(context + 64),
                   "--batch-size", str(batch), "--max-num-seqs", str(batch), "--input-len", str(context - 1),
                   "--output-len", "3", "--num-iters", "1", "--kv-cache-dtype", kv]
        subprocess.run(command, check=True, env=os.environ | {"ISOTOPE_SIM_REPORT": str(report)}, stdout=subprocess.DEVNULL)
        launches = [json.loads(line) for line in report.read_text().splitlines()]
    launches = [launch for launch in launches if "kernel" in launch]
    begin = max(i for i, launch in enumerate(launches) if launch["kernel"].startswith("embed"))
    return launches[begin:]


def ideals(config, batch, context, kv):
    """Bytes that must be loaded, by name, in the order in which a step comes to them."""
    hidden, heads, kv_heads = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
    head = config.get("head_dim", hidden // heads)
    inner = config["intermediate_size"]
    size = 1 if config.get("quantization_config") else 2
    products = {"qkv": (heads + 2 * kv_heads) * head * hidden * size, "o": heads * head * hidden * size,
                "gate_up": 2 * inner * hidden * size, "down": inner * hidden * size}
    live = batch * (context + 1) * kv_heads * 2
    return products, live * (head * 2 if kv == "bf16" else head + 4)


def waves_at_once(launch):
    """Of a workgroup processor: the smallest of what registers and LDS leave, as jit::occupancy counts."""
    registers = -(-max(1, launch["vgprs"]) // 24) * 24
    of_group = -(-launch["threads"] // 32)
    groups = min(16, 1536 // registers) * 4 // of_group
    if launch["lds"]:
        groups = min(groups, 128 * 1024 // (-(-launch["lds"] // 1024) * 1024))
    return groups * of_group


def rows_of(launches, config, batch, context, kv):
    products, live = ideals(config, batch, context, kv)
    names = iter([*products.items(), ("lm_head", None)])
    for launch in launches:
        kernel, name, ideal = launch["kernel"], launch["kernel"], None
        if kernel in PRODUCTS:
            name, ideal = next(names)
            if ideal is None:  # FP8 or BF16, as its bytes tell
                values = config["vocab_size"] * config["hidden_size"]
                ideal = values * (2 if launch["distinct_lines"] * 128 > 1.5 * values else 1)
        elif kernel.startswith("attention_decode"):
            name, ideal = "attention", live
        yield name, ideal, launch


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=pathlib.Path, help="config.json")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--context", type=int, default=549)
    parser.add_argument("--kv-cache-dtype", choices=("bf16", "fp8"), default="bf16")
    options = parser.parse_args()
    if "ISOTOPE_HIP_LIBRARY" not in os.environ:
        sys.exit("source tools/simulated_gpu.sh first")
    config = json.loads(options.model.read_text())
    shape = (config, options.batch_size, options.context, options.kv_cache_dtype)
    bad = []
    total = 0
    print("| kernel | ideal MB | memory MB | ratio | loads of 16 bytes a lane, coalesced | other loads | wave instructions | KiB in flight a WGP |")
    print("|---|---|---|---|---|---|---|---|")
    for name, ideal, launch in rows_of(last_step(*shape), *shape):
        memory = launch["distinct_lines"] * 128
        total += memory
        wide, coalesced = launch["loads_by_width"].get("16", (0, 0))
        others = sum(count for width, (count, _) in launch["loads_by_width"].items() if width != "16")
        ratio = f"{memory / ideal:.3f}" if ideal else ""
        print(f"| {name} | {f'{ideal / 1e6:.3f}' if ideal else ''} | {memory / 1e6:.3f} | {ratio} | "
              f"{wide}, {coalesced} | {others} | {sum(launch['instructions'].values())} | "
              f"{launch['most_in_flight'] * waves_at_once(launch) / 1024:.0f} |")
        if ideal and (memory > LIMIT * ideal or wide != coalesced):
            bad.append(name)
    print(f"\nAt {BANDWIDTH / 1e9:.0f} GB/s these bytes would take {total / BANDWIDTH * 1e6:.0f} us (simulated: bytes, not time).")
    if bad:
        sys.exit("above the limit: " + ", ".join(bad))


if __name__ == "__main__":
    main()
