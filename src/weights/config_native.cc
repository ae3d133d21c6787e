#include "weights/config_native.h"

#include "base/error.h"

namespace isotope::weights {
namespace {

/// `yarn` and `llama_4_scaling`. beta and alpha are what transformers calls beta_fast and
/// beta_slow.
RopeParameters read_native_rope(const JsonFields& params) {
  RopeParameters rope;
  rope.theta = params.number("rope_theta", kMinTheta, kMaxTheta, 10000.0);
  if (params.has("yarn")) {
    const JsonFields yarn = params.child("yarn");
    rope.type = RopeParameters::Type::yarn;
    rope.factor = yarn.number("factor", 1.0, kMaxRopeFactor);
    rope.original_max_position = yarn.integer("original_max_position_embeddings", 1, kMaxPosition);
    rope.beta_fast = yarn.number("beta", 1e-6, 1e6, 32.0);
    rope.beta_slow = yarn.number("alpha", 1e-6, 1e6, 1.0);
    // Without apply_scale the attention factor is 1, which equal mscales give; with it,
    // 0.1·ln(factor) + 1.
    rope.mscale = 1.0;
    rope.mscale_all_dim = yarn.boolean("apply_scale", true) ? 0.0 : 1.0;
  }
  if (params.has("llama_4_scaling")) {
    const JsonFields scaling = params.child("llama_4_scaling");
    rope.query_scale_beta = scaling.number("beta", 0.0, 100.0);
    rope.query_scale_original_max_position =
        scaling.integer("original_max_position_embeddings", 1, kMaxPosition);
  }
  return rope;
}

QuantizationConfig read_native_quantization(const JsonFields& params) {
  if (!params.has("quantization")) return {};
  const JsonFields quantization = params.child("quantization");
  const std::string weight = quantization.string("qformat_weight");
  const std::string activations = quantization.string("qscheme_act", "TENSOR");
  if (weight != "fp8_e4m3" || activations != "TENSOR")
    fail(ErrorCode::unsupported,
         "{}: qformat_weight '{}' with qscheme_act '{}'; this program reads fp8_e4m3 with TENSOR",
         quantization.name(), weight, activations);
  return {.fp8 = true, .weight_scales = ScaleLayout::per_tensor, .static_activations = true};
}

}  // namespace

TextConfig read_native_text_config(const JsonFields& params) {
  if (params.has("moe"))
    fail(ErrorCode::unsupported, "{}: 'moe': mixtures of experts are not supported", params.name());
  TextConfig text;
  text.hidden_size = params.integer("dim", 1, kMaxHidden);
  text.num_layers = params.integer("n_layers", 1, kMaxLayers);
  text.num_heads = params.integer("n_heads", 1, kMaxHeads);
  text.num_kv_heads = params.integer("n_kv_heads", 1, kMaxHeads, text.num_heads);
  text.head_dim = params.integer("head_dim", 2, kMaxHeadDim);
  text.intermediate_size = params.integer("hidden_dim", 1, kMaxIntermediate);
  text.vocab_size = params.integer("vocab_size", 1, kMaxVocab);
  text.rms_norm_eps = params.number("norm_eps", 1e-30, 1.0);
  text.tie_word_embeddings = params.boolean("tied_embeddings", false);
  text.hidden_act = "silu";
  text.rope = read_native_rope(params);
  text.quantization = read_native_quantization(params);
  text.max_position_embeddings = params.integer("max_position_embeddings", 1, kMaxPosition);
  if (params.has("sliding_window"))
    text.sliding_window = params.integer("sliding_window", 1, kMaxPosition);
  // The query scale is what tells Ministral 3 from its predecessors.
  text.model_type = text.rope.query_scale_beta > 0 ? "ministral3" : "mistral";
  text.architecture =
      text.rope.query_scale_beta > 0 ? "Ministral3ForCausalLM" : "MistralForCausalLM";
  check_heads(text, params.name());
  return text;
}

}  // namespace isotope::weights
