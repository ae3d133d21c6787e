#!/usr/bin/env python3
"""Makes tests/data/weights/*.safetensors with other people's code: the layout of files by the reference safetensors
library, FP8 rounding by ml_dtypes.

  pip install numpy ml_dtypes safetensors==0.8.0
  python tools/make_weights_fixtures.py
"""

from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "data" / "weights"
TYPES = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn,
         "I32": np.int32, "I64": np.int64, "U8": np.uint8, "F64": np.float64}


def save(name, arrays, metadata):
    """`arrays`: name -> (format dtype, array)."""
    save_file({key: array.astype(TYPES[dtype]) for key, (dtype, array) in arrays.items()}, FOLDER / name, metadata)


def layout_file():
    """Every dtype that we write, awkward sizes, a scalar, an empty tensor, names that need escapes."""
    def count(*shape):
        return np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape)
    save("layout.safetensors", {
        "model.layers.0.mlp.up_proj.weight": ("F8_E4M3", count(3, 5)),
        "model.layers.0.mlp.up_proj.weight_scale_inv": ("F32", count(1, 1) + 0.5),
        "model.layers.0.self_attn.q_proj.weight": ("F8_E4M3", -count(7)),
        "scalar": ("BF16", np.array(0.375)),
        "half": ("F16", count(2, 3) / 8),
        "embedding": ("BF16", count(4, 3)),
        "positions": ("I64", count(3)),
        "ids": ("I32", -count(2, 2)),
        "bytes": ("U8", count(5)),
        "nothing": ("F32", count(0, 4)),
        "quote\"back\\slash": ("F32", count(2)),
        "größe": ("F32", count(1, 1, 1, 2)),
    }, {"format": "pt"})


def foreign_file():
    """A tensor that this program does not represent, beside one that it does."""
    save("foreign.safetensors", {"double": ("F64", np.ones(2)), "single": ("F32", np.ones(2))}, None)


def quantize(weight, block_rows, block_columns):
    """Codes and scales with one scale per block of the given size."""
    n, k = weight.shape
    codes = np.zeros((n, k), ml_dtypes.float8_e4m3fn)
    scales = np.ones((-(-n // block_rows), -(-k // block_columns)), np.float32)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            area = np.s_[i * block_rows:(i + 1) * block_rows, j * block_columns:(j + 1) * block_columns]
            absmax = np.abs(weight[area]).max()
            if absmax > 0:
                scales[i, j] = absmax / np.float32(448)
            codes[area] = (weight[area] / scales[i, j]).astype(ml_dtypes.float8_e4m3fn)
    return codes, scales


def quantized_file():
    """Matrices with partial edge blocks, outliers and an all-zero block, quantized in the three layouts."""
    random = np.random.default_rng(20250101)
    arrays = {}
    for dtype, n, k in (("BF16", 130, 131), ("F32", 5, 260), ("F16", 129, 7)):
        weight = random.normal(0, 0.02, (n, k))
        weight[random.integers(n, size=6), random.integers(k, size=6)] *= 60
        weight[128:, 128:] = 0
        weight = weight.astype(TYPES[dtype])
        exact = weight.astype(np.float32)
        arrays[f"{dtype}.weight"] = (dtype, weight)
        for layout, rows, columns in (("block", 128, 128), ("row", 1, k), ("tensor", n, k)):
            codes, scales = quantize(exact, rows, columns)
            arrays[f"{dtype}.{layout}.codes"] = ("F8_E4M3", codes)
            arrays[f"{dtype}.{layout}.scales"] = ("F32", scales)
    save("quantized.safetensors", arrays, None)


def rounding_file():
    """FP32 numbers around every decision of the rounding to E4M3, and their codes."""
    codes = np.arange(0, 0x7F, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    middles = (codes[1:] + codes[:-1]) / 2
    values = np.concatenate([codes, middles, np.nextafter(middles, np.float32(np.inf)),
                             np.nextafter(middles, np.float32(0)), np.float32([1e-10, 449.0, 463.9, 2.0**-10])])
    values = np.concatenate([values, -values]).astype(np.float32)
    save("rounding.safetensors", {"values": ("F32", values),
                                  "codes": ("F8_E4M3", values.astype(ml_dtypes.float8_e4m3fn))}, None)


def native_file():
    """A mistral-native layer's q and k, and their rows as transformers' convert_ministral3_weights_to_hf.py orders
    them (heads of 6 elements: 4 query heads, 2 KV heads)."""
    def permute(weight, heads):
        rows, columns = weight.shape
        return weight.reshape(heads, rows // heads // 2, 2, columns).transpose(0, 2, 1, 3).reshape(rows, columns)
    wq = np.arange(24 * 3, dtype=np.float32).reshape(24, 3)
    wk = -np.arange(12 * 3, dtype=np.float32).reshape(12, 3)
    save("native.safetensors", {
        "layers.0.attention.wq.weight": ("F8_E4M3", wq % 16), "layers.0.attention.wq.qscale_weight": ("BF16", np.array(0.5)),
        "layers.0.attention.wq.qscale_act": ("BF16", np.array(0.25)), "layers.0.attention.wk.weight": ("F32", wk),
        "layers.0.attention.wv.weight": ("F32", wk), "layers.0.attention.wo.weight": ("F32", wk.T),
        "layers.0.attention.wq.fake_quantizer.scale": ("F32", np.array(1.0)),
        "vision_encoder.transformer.layers.0.attention.wq.weight": ("F32", wk),
        "patch_merger.merging_layer.weight": ("F32", wk), "tok_embeddings.weight": ("F32", wk),
    }, None)
    save("native-expected.safetensors",
         {"q": ("F8_E4M3", permute(wq % 16, 4)), "k": ("F32", permute(wk, 2)), "v": ("F32", wk)}, None)


if __name__ == "__main__":
    layout_file()
    foreign_file()
    quantized_file()
    rounding_file()
    native_file()
