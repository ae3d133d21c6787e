#include "weights/config.h"

#include <boost/json/array.hpp>
#include <system_error>

#include "base/checked.h"
#include "base/error.h"
#include "weights/config_native.h"

namespace isotope::weights {
namespace {

namespace fs = std::filesystem;

/// The fields of the text model, falling back to the top level for what either may hold.
struct ConfigLevels {
  JsonFields text, top;

  const JsonFields& holding(std::string_view field) const { return text.has(field) ? text : top; }
};

std::string read_architecture(const JsonFields& top) {
  const json::value* value = top.find("architectures");
  if (!value) top.missing("architectures");
  if (!value->is_array() || value->get_array().empty() || !value->get_array()[0].is_string())
    top.wrong("architectures", *value, "a list with the name of a model class");
  return std::string(value->get_array()[0].get_string());
}

/// The object that holds RoPE's parameters: transformers 5 writes rope_parameters, 4 wrote
/// rope_scaling.
std::optional<JsonFields> find_rope_object(const JsonFields& text) {
  for (const std::string_view field : {"rope_parameters", "rope_scaling"})
    if (text.has(field)) return text.child(field);
  return std::nullopt;
}

RopeParameters::Type read_rope_type(const JsonFields& fields) {
  using Type = RopeParameters::Type;
  const std::string_view key = fields.has("rope_type") ? "rope_type" : "type";
  const std::string type = fields.string(key, "default");
  if (type == "default") return Type::standard;
  if (type == "linear") return Type::linear;
  if (type == "llama3") return Type::llama3;
  if (type == "yarn") return Type::yarn;
  fail(ErrorCode::unsupported,
       "{}: '{}' is \"{}\"; this program knows default, linear, llama3, yarn", fields.name(), key,
       type);
}

void read_llama3(const JsonFields& fields, RopeParameters& rope) {
  rope.original_max_position = fields.integer("original_max_position_embeddings", 1, kMaxPosition);
  rope.low_freq_factor = fields.number("low_freq_factor", 1e-6, 1e6);
  rope.high_freq_factor = fields.number("high_freq_factor", 1e-6, 1e6);
  if (rope.high_freq_factor <= rope.low_freq_factor)
    fail(ErrorCode::corrupt_data,
         "{}: 'high_freq_factor' is {}; it must exceed 'low_freq_factor' {}", fields.name(),
         rope.high_freq_factor, rope.low_freq_factor);
}

void read_yarn(const JsonFields& fields, std::int64_t max_position, RopeParameters& rope) {
  rope.original_max_position =
      fields.integer("original_max_position_embeddings", 1, kMaxPosition, max_position);
  rope.beta_fast = fields.number("beta_fast", 1e-6, 1e6, 32.0);
  rope.beta_slow = fields.number("beta_slow", 1e-6, 1e6, 1.0);
  rope.mscale = fields.number("mscale", 0.0, 1e3, 0.0);
  rope.mscale_all_dim = fields.number("mscale_all_dim", 0.0, 1e3, 0.0);
  if (fields.has("attention_factor"))
    rope.attention_factor = fields.number("attention_factor", 1e-6, 1e6);
  rope.truncate = fields.boolean("truncate", true);
}

void refuse_unusual_rope(const JsonFields& fields) {
  if (fields.number("partial_rotary_factor", 0.0, 1.0, 1.0) != 1.0)
    fail(ErrorCode::unsupported,
         "{}: 'partial_rotary_factor' is {}; only whole heads can be rotated", fields.name(),
         brief(*fields.find("partial_rotary_factor")));
  if (fields.boolean("rope_interleaved", false))
    fail(ErrorCode::unsupported, "{}: 'rope_interleaved' is true; only split halves are supported",
         fields.name());
}

RopeParameters read_rope(const JsonFields& text, std::int64_t max_position) {
  RopeParameters rope;
  refuse_unusual_rope(text);
  rope.theta = text.number("rope_theta", kMinTheta, kMaxTheta, rope.theta);
  const std::optional<JsonFields> fields = find_rope_object(text);
  if (!fields) return rope;
  refuse_unusual_rope(*fields);
  rope.theta = fields->number("rope_theta", kMinTheta, kMaxTheta, rope.theta);
  rope.type = read_rope_type(*fields);
  if (rope.type != RopeParameters::Type::standard)
    rope.factor = fields->number("factor", 1.0, kMaxRopeFactor);
  if (rope.type == RopeParameters::Type::llama3) read_llama3(*fields, rope);
  if (rope.type == RopeParameters::Type::yarn) read_yarn(*fields, max_position, rope);
  rope.query_scale_beta = fields->number("llama_4_scaling_beta", 0.0, 100.0, 0.0);
  if (rope.query_scale_beta > 0)
    rope.query_scale_original_max_position =
        fields->integer("original_max_position_embeddings", 1, kMaxPosition);
  return rope;
}

std::int64_t read_head_dim(const JsonFields& text, const TextConfig& counts) {
  if (text.has("head_dim")) return text.integer("head_dim", 2, kMaxHeadDim);
  if (counts.hidden_size % counts.num_heads != 0)
    fail(ErrorCode::corrupt_data,
         "{}: 'head_dim' is missing, and 'hidden_size' {} is no multiple of 'num_attention_heads' "
         "{}",
         text.name(), counts.hidden_size, counts.num_heads);
  return counts.hidden_size / counts.num_heads;
}

void read_counts(const JsonFields& fields, TextConfig& text) {
  text.hidden_size = fields.integer("hidden_size", 1, kMaxHidden);
  text.num_layers = fields.integer("num_hidden_layers", 1, kMaxLayers);
  text.num_heads = fields.integer("num_attention_heads", 1, kMaxHeads);
  text.num_kv_heads = fields.integer("num_key_value_heads", 1, kMaxHeads, text.num_heads);
  text.head_dim = read_head_dim(fields, text);
  text.intermediate_size = fields.integer("intermediate_size", 1, kMaxIntermediate);
  text.vocab_size = fields.integer("vocab_size", 1, kMaxVocab);
  text.max_position_embeddings = fields.integer("max_position_embeddings", 1, kMaxPosition);
  check_heads(text, fields.name());
}

std::string read_dtype(const ConfigLevels& levels) {
  for (const std::string_view field : {"dtype", "torch_dtype"}) {
    const JsonFields& holder = levels.holding(field);
    if (holder.has(field)) return holder.string(field);
  }
  return "";
}

TextConfig read_text_config(const ConfigLevels& levels) {
  const JsonFields& fields = levels.text;
  TextConfig text;
  text.architecture = read_architecture(levels.top);
  text.model_type = fields.string("model_type");
  read_counts(fields, text);
  text.rms_norm_eps = fields.number("rms_norm_eps", 1e-30, 1.0, 1e-6);
  text.attention_bias = fields.boolean("attention_bias", false);
  text.mlp_bias = fields.boolean("mlp_bias", false);
  const JsonFields& tie = levels.holding("tie_word_embeddings");
  if (tie.has("tie_word_embeddings"))
    text.tie_word_embeddings = tie.boolean("tie_word_embeddings", false);
  // Qwen writes a window together with the switch that turns it off.
  if (fields.has("sliding_window") && fields.boolean("use_sliding_window", true))
    text.sliding_window = fields.integer("sliding_window", 1, kMaxPosition);
  text.hidden_act = fields.string("hidden_act", "silu");
  text.dtype = read_dtype(levels);
  text.rope = read_rope(fields, text.max_position_embeddings);
  text.quantization = read_quantization(levels.top);
  return text;
}

/// A token id, or nothing: some configurations write -1 for "none".
std::optional<TokenId> token_id(std::int64_t value) {
  if (value < 0) return std::nullopt;
  return TokenId(value);
}

std::optional<TokenId> read_token_id(const JsonFields& fields, std::string_view field) {
  return token_id(fields.integer(field, -1, kMaxVocab, -1));
}

/// eos_token_id may be a number or a list.
std::vector<TokenId> read_eos(const JsonFields& fields) {
  constexpr std::string_view kField = "eos_token_id";
  const json::value* value = fields.find(kField);
  std::vector<TokenId> ids;
  if (!value) return ids;
  if (!value->is_array()) {
    if (const auto id = read_token_id(fields, kField)) ids.push_back(*id);
    return ids;
  }
  for (const json::value& item : value->get_array()) {
    if (!item.is_int64() || item.get_int64() < -1 || item.get_int64() > kMaxVocab)
      fields.wrong(kField, item, "a token id or a list of them");
    if (const auto id = token_id(item.get_int64())) ids.push_back(*id);
  }
  return ids;
}

/// Fills what `fields` gives and `generation` does not have yet.
void merge_token_ids(const JsonFields& fields, GenerationConfig& generation) {
  if (generation.eos_ids.empty()) generation.eos_ids = read_eos(fields);
  if (!generation.bos_id) generation.bos_id = read_token_id(fields, "bos_token_id");
  if (!generation.pad_id) generation.pad_id = read_token_id(fields, "pad_token_id");
}

void read_sampling(const JsonFields& fields, GenerationConfig& generation) {
  const auto number = [&](std::string_view field, double min, double max) -> std::optional<double> {
    if (!fields.has(field)) return std::nullopt;
    return fields.number(field, min, max);
  };
  generation.temperature = number("temperature", 0.0, 100.0);
  generation.top_p = number("top_p", 0.0, 1.0);
  generation.min_p = number("min_p", 0.0, 1.0);
  generation.repetition_penalty = number("repetition_penalty", 1e-3, 1e3);
  if (fields.has("top_k")) generation.top_k = fields.integer("top_k", -1, kMaxVocab);
}

GenerationConfig read_generation_config(const fs::path& model_dir) {
  GenerationConfig generation;
  const fs::path path = model_dir / "generation_config.json";
  std::error_code error;
  if (!fs::exists(path, error)) return generation;
  const json::value document = parse_json_file(path);
  const JsonFields fields(document, path.string());
  merge_token_ids(fields, generation);
  read_sampling(fields, generation);
  return generation;
}

ModelConfig read_native(const fs::path& path) {
  const json::value document = parse_json_file(path);
  const JsonFields params(document, path.string());
  return {.path = path,
          .text = read_native_text_config(params),
          .generation = read_generation_config(path.parent_path()),
          .has_vision = params.has("vision_encoder")};
}

}  // namespace

void check_heads(const TextConfig& text, std::string_view file) {
  if (text.num_heads % text.num_kv_heads != 0)
    fail(ErrorCode::corrupt_data, "{}: {} attention heads cannot share {} KV heads evenly", file,
         text.num_heads, text.num_kv_heads);
  if (text.head_dim % 2 != 0 || text.head_dim < 2)
    fail(ErrorCode::corrupt_data, "{}: 'head_dim' is {}; RoPE needs an even number", file,
         text.head_dim);
  if (text.num_heads * text.head_dim > kMaxAttentionWidth)
    fail(ErrorCode::corrupt_data, "{}: {} heads of {} elements are more than {}", file,
         text.num_heads, text.head_dim, kMaxAttentionWidth);
}

ModelConfig read_model_config(const fs::path& model) {
  std::error_code error;
  const bool is_file = fs::is_regular_file(model, error);
  const fs::path model_dir = is_file ? model.parent_path() : model;
  const fs::path path = is_file ? model : model_dir / "config.json";
  if (!fs::exists(path, error)) {
    if (fs::exists(model_dir / "params.json", error)) return read_native(model_dir / "params.json");
    fail(ErrorCode::not_found,
         "{} holds neither config.json nor params.json; is it a model's folder?",
         model_dir.string());
  }
  const json::value document = parse_json_file(path);
  const JsonFields top(document, path.string());
  const ConfigLevels levels{top.has("text_config") ? top.child("text_config") : top, top};
  ModelConfig config{.path = path,
                     .text = read_text_config(levels),
                     .generation = read_generation_config(model_dir),
                     .has_vision = top.has("vision_config")};
  merge_token_ids(levels.text, config.generation);
  merge_token_ids(top, config.generation);
  return config;
}

}  // namespace isotope::weights
