#include <array>
#include <string>

#include "base/error.h"
#include "models/family.h"
#include "models/model.h"

namespace isotope::models {
namespace {

// Adding a family is its file, its declaration in family.h and its row here.
const std::array kFamilies = {&kQwen3, &kLlama, &kMinistral3};

}  // namespace

std::vector<std::string> supported_architectures() {
  std::vector<std::string> names;
  for (const Family* family : kFamilies)
    for (const std::string_view name : family->architectures) names.emplace_back(name);
  return names;
}

const Family& find_family(const weights::ModelConfig& config) {
  for (const Family* family : kFamilies)
    for (const std::string_view name : family->architectures)
      if (name == config.text.architecture) return *family;
  std::string known;
  for (const std::string& name : supported_architectures())
    known += (known.empty() ? "" : ", ") + name;
  fail(ErrorCode::unsupported, "{}: the architecture '{}' is not supported; supported are {}",
       config.path.string(), config.text.architecture, known);
}

DecoderSpec base_spec(const weights::ModelConfig& config) {
  const weights::TextConfig& text = config.text;
  const std::string file = config.path.string();
  if (text.attention_bias || text.mlp_bias)
    fail(ErrorCode::unsupported, "{}: '{}' is true; linear layers with biases are not supported",
         file, text.attention_bias ? "attention_bias" : "mlp_bias");
  if (text.hidden_act != "silu")
    fail(ErrorCode::unsupported, "{}: 'hidden_act' is '{}'; only 'silu' is supported", file,
         text.hidden_act);
  if (text.sliding_window)
    fail(ErrorCode::unsupported, "{}: 'sliding_window' is {}; only full attention is supported",
         file, *text.sliding_window);
  DecoderSpec spec;
  spec.num_layers = text.num_layers;
  spec.hidden_size = text.hidden_size;
  spec.num_heads = text.num_heads;
  spec.num_kv_heads = text.num_kv_heads;
  spec.head_dim = text.head_dim;
  spec.intermediate_size = text.intermediate_size;
  spec.vocab_size = text.vocab_size;
  spec.max_position_embeddings = text.max_position_embeddings;
  spec.rms_norm_eps = float(text.rms_norm_eps);
  spec.rope = text.rope;
  return spec;
}

}  // namespace isotope::models
