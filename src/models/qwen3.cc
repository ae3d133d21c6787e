// Qwen3, dense models of any size (Qwen3 technical report, 2025): the Llama block with RMSNorm over
// each head of q and k.
//
//   self_attn.q_norm.weight, self_attn.k_norm.weight  [head_dim], applied before RoPE with the
//   model's eps
//
// Heads need not fill the hidden size: Qwen3-0.6B has 16 heads of 128 on a hidden size of 1024.
#include "models/family.h"

namespace isotope::models {
namespace {

DecoderSpec qwen3_spec(const weights::ModelConfig& config) {
  DecoderSpec spec = base_spec(config);
  spec.qk_norm = true;
  return spec;
}

}  // namespace

const Family kQwen3 = {
    .name = "qwen3",
    .architectures = {"Qwen3ForCausalLM"},
    .spec = qwen3_spec,
    .skipped_prefixes = {},
};

}  // namespace isotope::models
