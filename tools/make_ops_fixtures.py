"""Makes tests/data/ops/*.json: what PyTorch and transformers answer to the operations' test inputs.

Run: python tools/make_ops_fixtures.py   (needs torch and transformers; CPU suffices)
Inputs are functions of their indices (noise below, the same in the C++ tests), so files hold answers only.
"""
import json
import math
import pathlib

import torch

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "ops"


def noise(stream, index):
    """Multiples of 1/128 in [-1, 1), as src/ops/testing/noise.h."""
    mask = 0xFFFFFFFF
    x = (index.to(torch.int64) * 2654435761 + stream * 40503 + 12345) & mask
    x ^= x >> 16
    x = (x * 2246822519) & mask
    x ^= x >> 13
    x = (x * 3266489917) & mask
    x ^= x >> 16
    return ((x & 255) - 128).to(torch.float64) / 128


def digits(tensor, count=8):
    return [float(f"{v:.{count}g}") for v in tensor.flatten().tolist()]


def attention_case(heads, kv_heads, dim, first, rows):
    context = first + rows
    q = 2 * noise(0, torch.arange(context * heads * dim)).view(context, heads, dim)[first:]
    k = noise(1, torch.arange(context * kv_heads * dim)).view(context, kv_heads, dim)
    v = noise(2, torch.arange(context * kv_heads * dim)).view(context, kv_heads, dim)
    mask = torch.arange(context)[None, :] <= torch.arange(first, context)[:, None]
    out = torch.nn.functional.scaled_dot_product_attention(
        q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1), attn_mask=mask, enable_gqa=True)
    return {"heads": heads, "kv_heads": kv_heads, "head_dim": dim, "first": first, "rows": rows,
            "output": digits(out.transpose(0, 1))}


def attention():
    return {"cases": [attention_case(4, 2, 16, 0, 13), attention_case(3, 1, 64, 300, 3),
                      attention_case(9, 3, 64, 0, 1), attention_case(8, 2, 128, 255, 2)]}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, make in {"attention": attention}.items():
        (OUT / f"{name}.json").write_text(json.dumps(make()) + "\n")


if __name__ == "__main__":
    main()
