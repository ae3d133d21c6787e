// What distinguishes one model family from another: a row of data.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "weights/config.h"

namespace isotope::models {

/// A pre-norm decoder with grouped-query attention and SwiGLU, as the forward pass needs it.
struct DecoderSpec {
  std::int64_t num_layers = 0, hidden_size = 0, num_heads = 0, num_kv_heads = 0, head_dim = 0;
  std::int64_t intermediate_size = 0, vocab_size = 0, max_position_embeddings = 0;
  float rms_norm_eps = 1e-6f;
  bool qk_norm = false;  ///< RMSNorm over each head of q and k, before RoPE
  weights::RopeParameters rope;

  std::int64_t q_size() const { return num_heads * head_dim; }
  std::int64_t kv_size() const { return num_kv_heads * head_dim; }
};

/// One row of the registry.
struct Family {
  std::string_view name;
  std::vector<std::string_view> architectures;  ///< as in config.json
  /// Checks what the family requires of a configuration and translates it. Errors: unsupported,
  /// naming the field.
  DecoderSpec (*spec)(const weights::ModelConfig& config);
  /// Tensors under these prefixes belong to parts that are not served.
  std::vector<std::string_view> skipped_prefixes;
};

/// Errors: unsupported, listing the known architectures.
const Family& find_family(const weights::ModelConfig& config);

/// The translation that all families share; refuses biases, other activations and sliding windows
/// by name.
DecoderSpec base_spec(const weights::ModelConfig& config);

extern const Family kLlama, kQwen3, kMinistral3;

}  // namespace isotope::models
