"""Makes tests/data/ops/*.json: what PyTorch and transformers answer to the operations' test inputs.

Run: python tools/make_ops_fixtures.py   (needs torch and transformers; CPU suffices)
Inputs are functions of their indices (noise below, the same in the C++ tests), so files hold answers only.
"""
import json
import pathlib

import torch
from transformers import LlamaConfig, LogitsProcessorList, Ministral3Config, Qwen3Config
from transformers import MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper
from transformers import TopKLogitsWarper, TopPLogitsWarper
from transformers.models.ministral3 import modeling_ministral3 as ministral3
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

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


def rope_case(config, positions, norm=False, beta=0.0, original=1):
    dim, heads, kv_heads = config.head_dim, config.num_attention_heads, config.num_key_value_heads
    rope = ministral3.Ministral3RotaryEmbedding(config)
    width = (heads + 2 * kv_heads) * dim
    qkv = (2 * noise(5, torch.arange(len(positions) * width))).to(torch.float32).view(1, len(positions), width)
    q = qkv[..., :heads * dim].view(1, len(positions), heads, dim)
    k = qkv[..., heads * dim:(heads + kv_heads) * dim].view(1, len(positions), kv_heads, dim)
    if norm:
        normed = []
        for x, stream in ((q, 6), (k, 7)):
            layer = Qwen3RMSNorm(dim, eps=1e-6)
            layer.weight.data = (1 + 0.5 * noise(stream, torch.arange(dim))).to(torch.float32)
            normed.append(layer(x))
        q, k = normed
    ids = torch.tensor([positions])
    cos, sin = rope(qkv, ids)
    q, k = ministral3.apply_rotary_pos_emb(q.transpose(1, 2), k.transpose(1, 2), cos, sin)
    if beta:
        q = q * ministral3.get_llama_4_attn_scale(ids, beta, original)
    return {"heads": heads, "kv_heads": kv_heads, "head_dim": dim, "norm": norm, "beta": beta, "original": original,
            "attention_factor": float(rope.attention_scaling), "positions": positions,
            "frequencies": digits(rope.inv_freq, 9),
            "q": digits(q.transpose(1, 2), 7), "k": digits(k.transpose(1, 2), 7)}


def rope_store():
    sizes = dict(hidden_size=48, num_hidden_layers=1, intermediate_size=64, vocab_size=32)
    llama = LlamaConfig(num_attention_heads=3, num_key_value_heads=1, head_dim=16, **sizes)
    qwen = Qwen3Config(num_attention_heads=2, num_key_value_heads=1, head_dim=64, **sizes)
    yarn = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 16.0, "original_max_position_embeddings": 16,
            "beta_fast": 32.0, "beta_slow": 1.0, "max_position_embeddings": 256}
    ministral = Ministral3Config(num_attention_heads=2, num_key_value_heads=2, head_dim=32,
                                 rope_parameters=yarn, max_position_embeddings=256, **sizes)
    with torch.no_grad():
        return {"cases": [rope_case(llama, [0, 3, 40]), rope_case(qwen, [0, 7, 100], norm=True),
                          rope_case(ministral, [2, 15, 16, 250], beta=0.1, original=16)]}


def sample_case(name, prompt=(), output=(), bias=(), temperature=1.0, top_k=0, top_p=1.0, min_p=0.0,
                repetition=1.0, presence=0.0, frequency=0.0):
    logits = 2 * noise(9, torch.arange(24)).to(torch.float32)
    scores = logits.clone()[None]
    ids = torch.tensor([list(prompt) + list(output)], dtype=torch.long)
    if repetition != 1.0:
        scores = RepetitionPenaltyLogitsProcessor(repetition)(ids, scores)
    for token in set(output):  # OpenAI's definition: https://platform.openai.com/docs/api-reference/chat
        scores[0, token] -= frequency * list(output).count(token) + presence
    for token, value in bias:
        scores[0, token] += value
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_k:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    if min_p:
        warpers.append(MinPLogitsWarper(min_p))
    probabilities = warpers(ids, scores).double().softmax(-1)
    return {"name": name, "logits": digits(logits), "prompt": list(prompt), "output": list(output),
            "bias_ids": [t for t, _ in bias], "bias_values": [v for _, v in bias], "temperature": temperature,
            "top_k": top_k, "top_p": top_p, "min_p": min_p, "repetition_penalty": repetition,
            "presence_penalty": presence, "frequency_penalty": frequency, "probabilities": digits(probabilities)}


def sample():
    output = (3, 3, 3, 20, 7)
    return {"cases": [
        sample_case("plain"), sample_case("temperature", temperature=0.6), sample_case("top_k", top_k=5),
        sample_case("top_p", top_p=0.7), sample_case("min_p", min_p=0.2),
        sample_case("all filters", temperature=1.3, top_k=12, top_p=0.8, min_p=0.15),
        sample_case("repetition", prompt=(0, 1, 2, 3), output=output, repetition=1.4),
        sample_case("presence", output=output, presence=0.8), sample_case("frequency", output=output, frequency=0.4),
        sample_case("all penalties", prompt=(5, 3), output=output, repetition=1.2, presence=0.3, frequency=0.2,
                    bias=((11, 1.5), (4, -0.5)), top_k=15)]}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, make in {"attention": attention, "rope_store": rope_store, "sample": sample}.items():
        (OUT / f"{name}.json").write_text(json.dumps(make()) + "\n")


if __name__ == "__main__":
    main()
