#!/usr/bin/env python3
"""Makes the parity fixtures: small random checkpoints and what transformers computes from them.

Each fixture is a folder NAME/ with config.json and safetensors as a release of that kind has them, and
reference.json:
  prompts[].ids            the prompt
  prompts[].logprobs       log-softmax of prompt token i + 1 after tokens 0..i
  prompts[].greedy_ids     the greedy continuation
  prompts[].greedy_logprobs, .greedy_gaps   of each of its tokens: logprob, and top-1 minus top-2 logit

The reference is the checkpoint's definition in FP32: weights are dequantized here by the formats' rules, and
run by transformers' own modelling code (eager attention, FP32, no quantized kernels). Everything is seeded:
the same versions of the packages give the same files.

Weights are random, but scaled so that mistakes show: attention is neither flat nor one-hot, both blocks of a
layer move the residual stream as far as it is long, and quantization blocks differ in magnitude by up to 6
times, so that a swapped scale, a wrong rotation or a lost position changes the answer visibly. Sharper attention
would only make the fixtures more sensitive to the rounding of K and V than trained models are.

usage: make_parity_fixtures.py TARGET_DIR [NAME...]
needs: pip install -r tools/requirements-parity.txt
"""

import argparse
import copy
import json
import math
import pathlib
import zlib

import torch
import transformers
from safetensors.torch import save_file

E4M3_MAX = 448.0
BLOCK = 128
PROMPT_LENGTHS = (1, 7, 40, 150)
GREEDY_TOKENS = 24
# What o_proj and down_proj multiply inputs of unit variance by, and the spread of the logits.
ATTENTION_GAIN, MLP_GAIN, LOGIT_STD = 1.0, 1.2, 1.6


# ---------------------------------------------------------------------------------------------- weights


def random_matrix(generator, rows, columns, std):
    """N(0, std²), with magnitudes that differ between 128x128 blocks and, less, between rows."""
    weight = torch.randn(rows, columns, generator=generator) * std
    blocks = torch.empty(math.ceil(rows / BLOCK), math.ceil(columns / BLOCK))
    blocks.uniform_(math.log(0.4), math.log(2.4), generator=generator).exp_()
    blocks /= blocks.square().mean().sqrt()
    by_row = torch.empty(rows, 1).uniform_(0.7, 1.3, generator=generator)
    return weight * expand_blocks(blocks, rows, columns) * by_row


def expand_blocks(scales, rows, columns):
    return scales.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)[:rows, :columns]


def norm_weight(generator, size, center=1.0):
    return torch.empty(size).uniform_(0.7 * center, 1.3 * center, generator=generator)


def random_weights(text, qk_gain, generator):
    """Tensors of a decoder under the names of a text model, in FP32. Linear layers are [out, in]."""
    hidden, inter, dim = text["hidden_size"], text["intermediate_size"], text["head_dim"]
    q_size, kv_size = text["num_attention_heads"] * dim, text["num_key_value_heads"] * dim
    layers = text["num_hidden_layers"]
    qk_norm = text["model_type"] == "qwen3"
    qk_std = (1.0 if qk_norm else qk_gain) / math.sqrt(hidden)
    tensors = {"model.embed_tokens.weight": torch.randn(text["vocab_size"], hidden, generator=generator)}
    for i in range(layers):
        prefix = f"model.layers.{i}."
        for name, rows, columns, std in (
            ("self_attn.q_proj", q_size, hidden, qk_std),
            ("self_attn.k_proj", kv_size, hidden, qk_std),
            ("self_attn.v_proj", kv_size, hidden, 1 / math.sqrt(hidden)),
            ("self_attn.o_proj", hidden, q_size, ATTENTION_GAIN / math.sqrt(q_size)),
            ("mlp.gate_proj", inter, hidden, 1 / math.sqrt(hidden)),
            ("mlp.up_proj", inter, hidden, 1 / math.sqrt(hidden)),
            ("mlp.down_proj", hidden, inter, MLP_GAIN / math.sqrt(inter)),
        ):
            tensors[prefix + name + ".weight"] = random_matrix(generator, rows, columns, std)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[prefix + name + ".weight"] = norm_weight(generator, hidden)
        if qk_norm:
            for name in ("self_attn.q_norm", "self_attn.k_norm"):
                tensors[prefix + name + ".weight"] = norm_weight(generator, dim, qk_gain)
    tensors["model.norm.weight"] = norm_weight(generator, hidden)
    tensors["lm_head.weight"] = torch.randn(text["vocab_size"], hidden, generator=generator)
    # The two largest of some hundred such logits mostly differ by more than 0.25.
    tensors["lm_head.weight"] *= LOGIT_STD / math.sqrt(hidden)
    return tensors


def is_layer_linear(name):
    return "_proj." in name and name.endswith(".weight")


# ---------------------------------------------------------------------------------------------- formats
#
# Each quantizer returns what the checkpoint stores and the FP32 matrix that this means.


def to_e4m3(weight, scale):
    return (weight / scale).clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn)


def quantize_block(weight, scale_dtype):
    rows, columns = weight.shape
    padded = torch.zeros(math.ceil(rows / BLOCK) * BLOCK, math.ceil(columns / BLOCK) * BLOCK)
    padded[:rows, :columns] = weight.abs()
    largest = padded.view(padded.shape[0] // BLOCK, BLOCK, padded.shape[1] // BLOCK, BLOCK).amax((1, 3))
    scales = (largest / E4M3_MAX).to(scale_dtype)
    expanded = expand_blocks(scales.float(), rows, columns)
    stored = to_e4m3(weight, expanded)
    return {"weight": stored, "weight_scale_inv": scales}, stored.float() * expanded


def quantize_row(weight):
    scales = (weight.abs().amax(1, keepdim=True) / E4M3_MAX).to(torch.bfloat16)
    stored = to_e4m3(weight, scales.float())
    return {"weight": stored, "weight_scale": scales}, stored.float() * scales.float()


def quantize_tensor(weight):
    scale = (weight.abs().amax() / E4M3_MAX).to(torch.bfloat16)
    stored = to_e4m3(weight, scale.float())
    tensors = {
        "weight": stored,
        "weight_scale_inv": scale,
        # Only W8A8 arithmetic reads it; equal for the projections that share an input.
        "activation_scale": torch.tensor(0.0125, dtype=torch.bfloat16),
    }
    return tensors, stored.float() * scale.float()


def store(tensors, quantizer, quantizes):
    """(tensors on disk, FP32 tensors that they mean): BF16, or `quantizer` for the names it `quantizes`."""
    disk, meaning = {}, {}
    for name, tensor in tensors.items():
        if quantizes(name):
            parts, meaning[name] = quantizer(tensor)
            disk.update({name.removesuffix("weight") + part: value for part, value in parts.items()})
        else:
            disk[name] = tensor.to(torch.bfloat16)
            meaning[name] = disk[name].float()
    return disk, meaning


# ---------------------------------------------------------------------------------------------- configurations

FP8_BLOCK = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]}
FP8_STATIC = {
    "activation_scheme": "static",
    "dequantize": False,
    "modules_to_not_convert": ["model.vision_tower", "model.multi_modal_projector", "lm_head"],
    "quant_method": "fp8",
    "weight_block_size": None,
}
FP8_ROW = {  # compressed-tensors, as its FP8-dynamic recipes write it
    "config_groups": {
        "group_0": {
            "input_activations": {"dynamic": True, "num_bits": 8, "strategy": "token", "symmetric": True, "type": "float"},
            "output_activations": None,
            "targets": ["Linear"],
            "weights": {"dynamic": False, "num_bits": 8, "strategy": "channel", "symmetric": True, "type": "float"},
        }
    },
    "format": "float-quantized",
    "ignore": [],
    "kv_cache_scheme": None,
    "quant_method": "compressed-tensors",
    "quantization_status": "compressed",
}
YARN = {
    "beta_fast": 4.0,
    "beta_slow": 1.0,
    "factor": 16.0,
    "llama_4_scaling_beta": 0.3,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "original_max_position_embeddings": 32,
    "rope_theta": 10000.0,
    "rope_type": "yarn",
    "type": "yarn",
}


def shape(hidden, layers, heads, kv_heads, dim, inter, vocab):
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": dim,
        "intermediate_size": inter,
        "vocab_size": vocab,
    }


def text_config(model_type, architecture, dims, tied, **more):
    """A configuration in the spelling of transformers 4."""
    return {
        "architectures": [architecture],
        "attention_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        **dims,
        "max_position_embeddings": 512,
        "model_type": model_type,
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        **more,
    }


def qwen3(dims, tied=False, **more):
    more = {"rope_theta": 1000000, "sliding_window": None, "use_sliding_window": False, "max_window_layers": 2, **more}
    return text_config("qwen3", "Qwen3ForCausalLM", dims, tied, **more)


def llama(dims, tied=False, **more):
    return text_config("llama", "LlamaForCausalLM", dims, tied, mlp_bias=False, rms_norm_eps=1e-5, **more)


def new_spelling(config, rope_parameters):
    """The same in the spelling of transformers 5."""
    config = {key: value for key, value in config.items() if key not in ("rope_theta", "rope_scaling", "torch_dtype")}
    return {**config, "dtype": "bfloat16", "rope_parameters": rope_parameters}


def ministral3(dims, tied):
    config = text_config("ministral3", "Ministral3ForCausalLM", dims, tied, rms_norm_eps=1e-5, sliding_window=None)
    del config["attention_bias"]
    return new_spelling(config, YARN)


def mistral3(dims, tied, quantization):
    """Ministral 3 as it is released: text and vision configurations side by side."""
    text = ministral3(dims, tied)
    del text["architectures"], text["dtype"]
    vision = {"head_dim": 16, "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 64, "image_size": 28}
    vision.update(model_type="pixtral", num_attention_heads=2, num_channels=3, num_hidden_layers=1, patch_size=14)
    vision["rope_parameters"] = {"rope_theta": 10000.0, "rope_type": "default"}
    return {
        "architectures": ["Mistral3ForConditionalGeneration"],
        "dtype": "bfloat16",
        "image_token_index": 10,
        "model_type": "mistral3",
        "multimodal_projector_bias": False,
        "projector_hidden_act": "gelu",
        "quantization_config": quantization,
        "spatial_merge_size": 2,
        "text_config": text,
        "vision_config": vision,
        "vision_feature_layer": -1,
    }


def vision_tensors(config, generator):
    """Tensors of the parts that a text server skips, named as in the release."""
    vision, text = config["vision_config"], config["text_config"]
    width, inter, hidden = vision["hidden_size"], vision["intermediate_size"], text["hidden_size"]
    shapes = {
        "vision_tower.patch_conv.weight": (width, 3, vision["patch_size"], vision["patch_size"]),
        "vision_tower.ln_pre.weight": (width,),
        "multi_modal_projector.norm.weight": (width,),
        "multi_modal_projector.patch_merger.merging_layer.weight": (width, 4 * width),
        "multi_modal_projector.linear_1.weight": (hidden, width),
        "multi_modal_projector.linear_2.weight": (hidden, hidden),
    }
    layer = "vision_tower.transformer.layers.0."
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        shapes[f"{layer}attention.{name}.weight"] = (width, width)
    shapes[layer + "feed_forward.gate_proj.weight"] = (inter, width)
    shapes[layer + "feed_forward.up_proj.weight"] = (inter, width)
    shapes[layer + "feed_forward.down_proj.weight"] = (width, inter)
    shapes[layer + "attention_norm.weight"] = shapes[layer + "ffn_norm.weight"] = (width,)
    return {name: torch.randn(s, generator=generator).to(torch.bfloat16) for name, s in shapes.items()}


# ---------------------------------------------------------------------------------------------- reference


def reference_model(config, tensors):
    """transformers' model of the text part, in FP32, with the given weights."""
    values = copy.deepcopy(config.get("text_config", config))
    values.pop("quantization_config", None)
    classes = {"qwen3": transformers.Qwen3ForCausalLM, "llama": transformers.LlamaForCausalLM,
               "ministral3": transformers.Ministral3ForCausalLM}
    model_class = classes[values["model_type"]]
    model_config = model_class.config_class(**values, attn_implementation="eager")
    model_config.dtype = torch.float32
    model = model_class(model_config).float().eval()
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    if missing or unexpected:
        raise SystemExit(f"the reference model lacks {missing} and does not know {unexpected}")
    return model


def continue_greedily(model, prompt, count):
    ids, logprobs, gaps = [], [], []
    for _ in range(count):
        logits = model(torch.tensor([prompt + ids]), use_cache=False).logits[0, -1].double()
        top = logits.topk(2)
        ids.append(int(top.indices[0]))
        logprobs.append(round(float(logits.log_softmax(-1)[ids[-1]]), 6))
        gaps.append(round(float(top.values[0] - top.values[1]), 6))
    return ids, logprobs, gaps


@torch.no_grad()
def evaluate(model, vocab, lengths, generator):
    prompts = []
    for length in lengths:
        ids = torch.randint(3, vocab, (length,), generator=generator).tolist()
        logits = model(torch.tensor([ids]), use_cache=False).logits[0].double()
        logprobs = logits.log_softmax(-1)
        greedy_ids, greedy_logprobs, gaps = continue_greedily(model, ids, GREEDY_TOKENS)
        prompts.append({
            "ids": ids,
            "logprobs": [round(float(logprobs[i, ids[i + 1]]), 6) for i in range(length - 1)],
            "greedy_ids": greedy_ids,
            "greedy_logprobs": greedy_logprobs,
            "greedy_gaps": gaps,
        })
    return prompts


# ---------------------------------------------------------------------------------------------- fixtures


class Fixture:
    """What is particular about one checkpoint."""

    def __init__(self, config, quantizer=None, quantizes=is_layer_linear, head="stored", prefix="", shards=1,
                 lengths=PROMPT_LENGTHS, qk_gain=1.2):
        self.config = config
        self.quantizer, self.quantizes = quantizer, quantizes if quantizer else lambda name: False
        self.head = head  # "stored": its own; "copy": equal to the embedding; "none"; "only": without an embedding
        self.prefix, self.shards, self.lengths = prefix, shards, lengths
        self.qk_gain = qk_gain  # scores have a standard deviation near its square


LONG = (1, 7, 40, 150, 230)  # for models whose arithmetic changes with the position

FIXTURES = {
    "qwen3-bf16-untied": Fixture(qwen3(shape(96, 2, 4, 2, 32, 180, 330))),
    "qwen3-bf16-tied": Fixture(qwen3(shape(88, 2, 3, 3, 48, 152, 390), tied=True), head="copy", qk_gain=0.8),
    "qwen3-fp8-block": Fixture(
        {**qwen3(shape(168, 2, 2, 1, 128, 196, 300)), "quantization_config": FP8_BLOCK},
        lambda weight: quantize_block(weight, torch.bfloat16),
    ),
    "qwen3-fp8-block-f16-scales": Fixture(
        {**qwen3(shape(136, 2, 5, 1, 40, 148, 300)), "quantization_config": FP8_BLOCK},
        lambda weight: quantize_block(weight, torch.float16),
    ),
    "llama-bf16-tied": Fixture(llama(shape(112, 2, 4, 2, 28, 200, 420), tied=True), head="only", qk_gain=0.7),
    "llama-bf16-sharded": Fixture(llama(shape(80, 3, 2, 2, 48, 132, 310)), shards=3),
    "llama-fp8-block": Fixture(
        {**llama(shape(152, 2, 2, 2, 80, 262, 310)), "quantization_config": FP8_BLOCK},
        lambda weight: quantize_block(weight, torch.float32),
    ),
    "llama-fp8-row": Fixture(
        {**llama(shape(144, 2, 4, 1, 64, 180, 400)), "quantization_config": FP8_ROW},
        quantize_row,
        lambda name: is_layer_linear(name) or name == "lm_head.weight",
    ),
    "llama3-rope": Fixture(
        new_spelling(
            llama(shape(80, 2, 4, 1, 64, 168, 340)),
            {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 64,
             "rope_theta": 500000.0, "rope_type": "llama3"},
        ),
        lengths=LONG,
    ),
    "ministral3-fp8-tensor": Fixture(
        mistral3(shape(144, 2, 4, 1, 64, 232, 320), False, FP8_STATIC),
        quantize_tensor, prefix="language_model.", lengths=LONG, qk_gain=1.15,
    ),
    "ministral3-bf16-tied": Fixture(ministral3(shape(104, 2, 4, 2, 32, 180, 400), True), head="none", lengths=LONG, qk_gain=0.6),
}


def place_head(fixture, tensors):
    """A tied model's logits come from the embedding, whichever of the two names is on disk."""
    if fixture.head == "stored":
        return tensors
    # A tied table is embedding and head at once: kept small against what the layers add, or each token would
    # predict itself whatever stands before it.
    tensors["lm_head.weight"] *= 0.8
    tensors["model.norm.weight"] /= 0.8
    tensors["model.embed_tokens.weight"] = tensors["lm_head.weight"].clone()
    return tensors


def drop_duplicate(fixture, disk):
    if fixture.head == "none":
        del disk["lm_head.weight"]
    if fixture.head == "only":
        del disk["model.embed_tokens.weight"]
    return disk


def save_checkpoint(folder, disk, shards):
    metadata = {"format": "pt"}
    names = sorted(disk)
    if shards == 1:
        save_file({name: disk[name].contiguous() for name in names}, folder / "model.safetensors", metadata)
        return
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        # Dealt in turn, so that the matrices that are fused at load lie in different files.
        mine = names[shard::shards]
        save_file({name: disk[name].contiguous() for name in mine}, folder / file, metadata)
        weight_map.update({name: file for name in mine})
    total = sum(tensor.nbytes for tensor in disk.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_reference(path, prompts):
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    value = {"made_by": "tools/make_parity_fixtures.py", "versions": versions, "prompts": prompts}
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


def make_fixture(name, fixture, target):
    folder = target / name
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    text = fixture.config.get("text_config", fixture.config)
    tensors = place_head(fixture, random_weights(text, fixture.qk_gain, generator))
    disk, meaning = store(tensors, fixture.quantizer, fixture.quantizes)
    disk = {fixture.prefix + key: tensor for key, tensor in drop_duplicate(fixture, disk).items()}
    if "vision_config" in fixture.config:
        disk.update(vision_tensors(fixture.config, generator))
    save_checkpoint(folder, disk, fixture.shards)
    write_json(folder / "config.json", fixture.config)
    prompts = evaluate(reference_model(fixture.config, meaning), text["vocab_size"], fixture.lengths, generator)
    write_reference(folder / "reference.json", prompts)
    gaps = [gap for prompt in prompts for gap in prompt["greedy_gaps"]]
    decided = sum(gap > 0.25 for gap in gaps)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name:28} {size / 1e3:6.0f} kB   gap > 0.25 at {decided} of {len(gaps)} greedy tokens")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=pathlib.Path)
    parser.add_argument("names", nargs="*", help="fixtures to make; all if none is given")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # one order of summation everywhere
    unknown = set(arguments.names) - FIXTURES.keys()
    if unknown:
        parser.error(f"unknown fixtures {sorted(unknown)}; known are {', '.join(FIXTURES)}")
    for name in arguments.names or FIXTURES:
        make_fixture(name, FIXTURES[name], arguments.target)


if __name__ == "__main__":
    main()
