// config.json and generation_config.json, in the spellings of transformers 4 and 5.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/tensor.h"
#include "weights/quantization.h"

namespace isotope::weights {

/// Rotary embedding parameters as the configuration gives them; ops/rope computes frequencies from
/// them. Formulas: "default", "llama3" and "yarn" of transformers' modeling_rope_utils.
struct RopeParameters {
  enum class Type { standard, llama3, yarn, linear };
  Type type = Type::standard;
  double theta = 10000.0;
  double factor = 1.0;
  std::int64_t original_max_position = 0;
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  // llama3
  double beta_fast = 32.0, beta_slow = 1.0;              // yarn
  double mscale = 0.0, mscale_all_dim = 0.0;             // yarn; 0 = not given
  std::optional<double> attention_factor;                // yarn
  bool truncate = true;                                  // yarn
  /// Ministral 3: q *= 1 + beta·ln(1 + floor(position / original_max_position)); 0 = off.
  double query_scale_beta = 0.0;
  std::int64_t query_scale_original_max_position = 0;
};

/// The configuration of the text model, of whatever family. Counts are checked against limits that
/// keep every later product within 63 bits.
struct TextConfig {
  std::string architecture;  ///< "Qwen3ForCausalLM"
  std::string model_type;    ///< of the text part: "qwen3", "llama", "ministral3", "mistral"
  std::int64_t hidden_size = 0, num_layers = 0, num_heads = 0, num_kv_heads = 0, head_dim = 0;
  std::int64_t intermediate_size = 0, vocab_size = 0, max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  bool attention_bias = false, mlp_bias = false;
  /// As written; nullopt if the key is absent (then the presence of the head tensor decides).
  std::optional<bool> tie_word_embeddings;
  std::optional<std::int64_t> sliding_window;  ///< null in every model served here
  std::string hidden_act;
  std::string dtype;  ///< "bfloat16", …: torch_dtype or dtype; "" if absent
  RopeParameters rope;
  QuantizationConfig quantization;
};

/// From generation_config.json, falling back to config.json.
struct GenerationConfig {
  std::vector<TokenId> eos_ids;
  std::optional<TokenId> bos_id, pad_id;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<std::int64_t> top_k;
};

struct ModelConfig {
  std::filesystem::path path;  ///< the config.json read
  TextConfig text;
  GenerationConfig generation;
  bool has_vision = false;  ///< a vision_config stands beside text_config (its tensors are skipped)
};

/// `model`: a model's folder, or its configuration file alone (config.json under any name). Also reads
/// mistral-native params.json if a folder has no config.json.
ModelConfig read_model_config(const std::filesystem::path& model);

}  // namespace isotope::weights
