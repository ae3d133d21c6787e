#include "weights/config.h"

#include <boost/json/serialize.hpp>

#include "base/file.h"
#include "weights/test_support.h"

namespace isotope::weights {
namespace {

namespace fs = std::filesystem;
using Type = RopeParameters::Type;

/// A folder with `text` as its config.json (or params.json).
fs::path config_folder(const std::string& text, const std::string& file = "config.json") {
  const fs::path folder = scratch_folder("config");
  write_file(folder / file, text);
  return folder;
}

ModelConfig read_config_text(const std::string& text) {
  return read_model_config(config_folder(text));
}

ModelConfig read_released(const std::string& name) {
  const std::string file = name.ends_with("params") ? "params.json" : "config.json";
  return read_model_config(config_folder(read_file(test_data("configs/" + name + ".json")), file));
}

struct Released {
  std::string file, architecture, model_type;
  std::int64_t hidden, layers, intermediate, heads, kv_heads, head_dim, vocab, positions;
  double eps, theta;
  std::optional<bool> tied;
  ScaleLayout scales;
  bool static_activations, vision;
};

// The tables of the model cards.
const std::vector<Released>& released_models() {
  constexpr auto kNone = ScaleLayout::none, kTensor = ScaleLayout::per_tensor,
                 kBlock = ScaleLayout::block_128x128;
  const std::string qwen = "Qwen3ForCausalLM", llama = "LlamaForCausalLM",
                    mistral = "Mistral3ForConditionalGeneration", native = "Ministral3ForCausalLM";
  static const std::vector<Released> kModels = {
      {"Qwen3-8B.config", qwen, "qwen3", 4096, 36, 12288, 32, 8, 128, 151936, 40960, 1e-6, 1e6,
       false, kNone, false, false},
      {"Qwen3-8B-FP8.config", qwen, "qwen3", 4096, 36, 12288, 32, 8, 128, 151936, 40960, 1e-6, 1e6,
       false, kBlock, false, false},
      {"Qwen3-0.6B.config", qwen, "qwen3", 1024, 28, 3072, 16, 8, 128, 151936, 40960, 1e-6, 1e6,
       true, kNone, false, false},
      {"Qwen3-0.6B-FP8.config", qwen, "qwen3", 1024, 28, 3072, 16, 8, 128, 151936, 40960, 1e-6, 1e6,
       true, kBlock, false, false},
      {"Ministral-3-3B-Instruct-2512.config", mistral, "ministral3", 3072, 26, 9216, 32, 8, 128,
       131072, 262144, 1e-5, 1e6, true, kTensor, true, true},
      {"Ministral-3-8B-Instruct-2512.config", mistral, "ministral3", 4096, 34, 14336, 32, 8, 128,
       131072, 262144, 1e-5, 1e6, std::nullopt, kTensor, true, true},
      {"Ministral-3-3B-Reasoning-2512.config", mistral, "ministral3", 3072, 26, 9216, 32, 8, 128,
       131072, 262144, 1e-5, 1e6, true, kNone, false, true},
      {"Ministral-3-3B-Instruct-2512.params", native, "ministral3", 3072, 26, 9216, 32, 8, 128,
       131072, 262144, 1e-5, 1e6, true, kTensor, true, true},
      {"Ministral-3-8B-Instruct-2512.params", native, "ministral3", 4096, 34, 14336, 32, 8, 128,
       131072, 262144, 1e-5, 1e6, false, kTensor, true, true},
      {"Ministral-3-3B-Reasoning-2512.params", native, "ministral3", 3072, 26, 9216, 32, 8, 128,
       131072, 262144, 1e-5, 1e6, true, kNone, false, true},
      {"Llama-3.1-8B.config", llama, "llama", 4096, 32, 14336, 32, 8, 128, 128256, 131072, 1e-5,
       5e5, false, kNone, false, false},
      {"Llama-3.2-3B.config", llama, "llama", 3072, 28, 8192, 24, 8, 128, 128256, 131072, 1e-5, 5e5,
       true, kNone, false, false},
      {"SmolLM2-135M.config", llama, "llama", 576, 30, 1536, 9, 3, 64, 49152, 8192, 1e-5, 1e5, true,
       kNone, false, false},
      {"stories260K.config", llama, "llama", 64, 5, 172, 8, 4, 8, 512, 512, 1e-5, 1e4, true, kNone,
       false, false},
  };
  return kModels;
}

TEST(Config, ReadsTheReleasedModels) {
  for (const Released& expected : released_models()) {
    SCOPED_TRACE(expected.file);
    const ModelConfig config = read_released(expected.file);
    const TextConfig& text = config.text;
    EXPECT_EQ(text.architecture, expected.architecture);
    EXPECT_EQ(text.model_type, expected.model_type);
    EXPECT_EQ(text.hidden_size, expected.hidden);
    EXPECT_EQ(text.num_layers, expected.layers);
    EXPECT_EQ(text.intermediate_size, expected.intermediate);
    EXPECT_EQ(text.num_heads, expected.heads);
    EXPECT_EQ(text.num_kv_heads, expected.kv_heads);
    EXPECT_EQ(text.head_dim, expected.head_dim);
    EXPECT_EQ(text.vocab_size, expected.vocab);
    EXPECT_EQ(text.max_position_embeddings, expected.positions);
    EXPECT_EQ(text.rms_norm_eps, expected.eps);
    EXPECT_EQ(text.rope.theta, expected.theta);
    EXPECT_EQ(text.tie_word_embeddings, expected.tied);
    EXPECT_EQ(text.quantization.weight_scales, expected.scales);
    EXPECT_EQ(text.quantization.fp8, expected.scales != ScaleLayout::none);
    EXPECT_EQ(text.quantization.static_activations, expected.static_activations);
    EXPECT_EQ(config.has_vision, expected.vision);
    EXPECT_EQ(text.hidden_act, "silu");
    EXPECT_FALSE(text.sliding_window.has_value());
    EXPECT_FALSE(text.attention_bias || text.mlp_bias);
  }
  EXPECT_EQ(read_released("stories260K.config").text.dtype, "float32");
  EXPECT_EQ(read_released("Ministral-3-3B-Instruct-2512.config").text.dtype, "bfloat16");
}

TEST(Config, NotConvertedModulesAreListedOnce) {
  const auto config = read_released("Ministral-3-3B-Instruct-2512.config");
  EXPECT_EQ(
      config.text.quantization.not_converted,
      (std::vector<std::string>{"model.vision_tower", "model.multi_modal_projector", "lm_head"}));
}

TEST(Config, RopeOfTheReleasedModels) {
  const RopeParameters qwen = read_released("Qwen3-8B.config").text.rope;
  EXPECT_EQ(qwen.type, Type::standard);
  EXPECT_EQ(qwen.query_scale_beta, 0.0);
  for (const auto& [file, factor] :
       {std::pair{"Llama-3.1-8B.config", 8.0}, {"Llama-3.2-3B.config", 32.0}}) {
    const RopeParameters llama = read_released(file).text.rope;
    EXPECT_EQ(llama.type, Type::llama3);
    EXPECT_EQ(llama.factor, factor);
    EXPECT_EQ(llama.low_freq_factor, 1.0);
    EXPECT_EQ(llama.high_freq_factor, 4.0);
    EXPECT_EQ(llama.original_max_position, 8192);
  }
  // Both spellings of one model must agree.
  for (const char* file :
       {"Ministral-3-8B-Instruct-2512.config", "Ministral-3-8B-Instruct-2512.params"}) {
    SCOPED_TRACE(file);
    const RopeParameters rope = read_released(file).text.rope;
    EXPECT_EQ(rope.type, Type::yarn);
    EXPECT_EQ(rope.factor, 16.0);
    EXPECT_EQ(rope.original_max_position, 16384);
    EXPECT_EQ(rope.beta_fast, 32.0);
    EXPECT_EQ(rope.beta_slow, 1.0);
    EXPECT_EQ(rope.mscale, 1.0);
    EXPECT_EQ(rope.mscale_all_dim, 1.0);
    EXPECT_FALSE(rope.attention_factor.has_value());
    EXPECT_TRUE(rope.truncate);
    EXPECT_EQ(rope.query_scale_beta, 0.1);
    EXPECT_EQ(rope.query_scale_original_max_position, 16384);
  }
}

/// A valid configuration with some fields replaced (an empty value removes the field).
std::string config_with(const std::vector<std::pair<std::string, std::string>>& changes) {
  json::object config = parse_json(R"({"architectures":["LlamaForCausalLM"],"model_type":"llama",
    "hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,
    "intermediate_size":96,"vocab_size":100,"max_position_embeddings":128})",
                                   "test")
                            .as_object();
  for (const auto& [field, value] : changes) {
    if (value.empty())
      config.erase(field);
    else
      config[field] = parse_json(value, "test");
  }
  return json::serialize(config);
}

TEST(Config, DefaultsOfLlama) {
  const TextConfig text = read_config_text(config_with({{"num_key_value_heads", ""}})).text;
  EXPECT_EQ(text.num_kv_heads, 4);
  EXPECT_EQ(text.head_dim, 16);
  EXPECT_EQ(text.rope.theta, 10000.0);
  EXPECT_EQ(text.rms_norm_eps, 1e-6);
  EXPECT_FALSE(text.tie_word_embeddings.has_value());
}

TEST(Config, SpellingsOfRope) {
  const auto rope = [](const std::vector<std::pair<std::string, std::string>>& changes) {
    return read_config_text(config_with(changes)).text.rope;
  };
  EXPECT_EQ(rope({{"rope_parameters", R"({"rope_theta":5e5,"rope_type":"default"})"}}).theta, 5e5);
  // Qwen's documented YaRN, in both generations' spelling.
  for (const char* key : {"type", "rope_type"}) {
    const RopeParameters yarn =
        rope({{"rope_theta", "1000000"},
              {"rope_scaling",
               "{\"" + std::string(key) +
                   R"(":"yarn","factor":4.0,"original_max_position_embeddings":32768})"}});
    EXPECT_EQ(yarn.type, Type::yarn);
    EXPECT_EQ(yarn.theta, 1e6);
    EXPECT_EQ(yarn.factor, 4.0);
    EXPECT_EQ(yarn.original_max_position, 32768);
    EXPECT_EQ(yarn.mscale, 0.0);
  }
  const RopeParameters tuned = rope({{"rope_scaling", R"({"rope_type":"yarn","factor":2,
      "attention_factor":1.5,"truncate":false,"beta_fast":16,"beta_slow":2})"}});
  EXPECT_EQ(tuned.attention_factor, 1.5);
  EXPECT_FALSE(tuned.truncate);
  EXPECT_EQ(tuned.beta_fast, 16.0);
  EXPECT_EQ(tuned.original_max_position, 128);  // transformers: max_position_embeddings
  EXPECT_EQ(rope({{"rope_scaling", R"({"type":"linear","factor":2})"}}).type, Type::linear);
}

TEST(Config, AWindowThatIsSwitchedOffIsNone) {
  const auto window = [](const std::string& use) {
    return read_config_text(config_with({{"sliding_window", "32"}, {"use_sliding_window", use}}))
        .text.sliding_window;
  };
  EXPECT_FALSE(window("false").has_value());
  EXPECT_EQ(window("true"), 32);
  EXPECT_EQ(window(""), 32);
}

TEST(Config, GenerationConfigComesFirstThenConfig) {
  const fs::path folder = config_folder(
      config_with({{"eos_token_id", "[7,8]"}, {"bos_token_id", "6"}, {"pad_token_id", "-1"}}));
  GenerationConfig generation = read_model_config(folder).generation;
  EXPECT_EQ(generation.eos_ids, (std::vector<TokenId>{7, 8}));
  EXPECT_EQ(generation.bos_id, 6);
  EXPECT_FALSE(generation.pad_id.has_value());
  EXPECT_FALSE(generation.temperature.has_value());

  fs::copy_file(test_data("configs/Qwen3.generation_config.json"),
                folder / "generation_config.json");
  generation = read_model_config(folder).generation;
  EXPECT_EQ(generation.eos_ids, (std::vector<TokenId>{151645, 151643}));
  EXPECT_EQ(generation.bos_id, 151643);
  EXPECT_EQ(generation.pad_id, 151643);
  EXPECT_EQ(generation.temperature, 0.6);
  EXPECT_EQ(generation.top_k, 20);
  EXPECT_EQ(generation.top_p, 0.95);
  EXPECT_FALSE(generation.min_p.has_value());

  fs::copy_file(test_data("configs/Ministral-3.generation_config.json"),
                folder / "generation_config.json", fs::copy_options::overwrite_existing);
  generation = read_model_config(folder).generation;
  EXPECT_EQ(generation.eos_ids, (std::vector<TokenId>{2}));
  EXPECT_EQ(generation.bos_id, 1);
  EXPECT_EQ(generation.pad_id, 11);
}

TEST(Config, AbsurdOrMissingNumbersNameFileFieldAndValue) {
  struct Case {
    std::vector<std::pair<std::string, std::string>> changes;
    std::vector<std::string> says;
  };
  const std::vector<Case> cases = {
      {{{"hidden_size", ""}}, {"'hidden_size' is missing"}},
      {{{"hidden_size", "null"}}, {"'hidden_size' is missing"}},
      {{{"hidden_size", "0"}}, {"'hidden_size' is 0"}},
      {{{"hidden_size", "-64"}}, {"'hidden_size' is -64"}},
      {{{"hidden_size", "64.5"}}, {"'hidden_size'", "6.45E1"}},
      {{{"hidden_size", "\"64\""}}, {"'hidden_size' is \"64\""}},
      {{{"hidden_size", "9223372036854775807"}}, {"'hidden_size' is 9223372036854775807"}},
      {{{"hidden_size", "1e300"}}, {"'hidden_size' is 1E300"}},
      {{{"hidden_size", "66"}}, {"'head_dim' is missing", "66", "4"}},
      {{{"num_hidden_layers", "100000"}}, {"'num_hidden_layers' is 100000"}},
      {{{"num_attention_heads", "0"}}, {"'num_attention_heads' is 0"}},
      {{{"num_key_value_heads", "3"}}, {"4 attention heads", "3 KV heads"}},
      {{{"num_key_value_heads", "8"}}, {"4 attention heads", "8 KV heads"}},
      {{{"head_dim", "15"}}, {"'head_dim' is 15", "even"}},
      {{{"hidden_size", "60"}}, {"'head_dim' is 15", "even"}},
      {{{"num_attention_heads", "4096"}, {"head_dim", "4096"}}, {"4096 heads of 4096"}},
      {{{"intermediate_size", "true"}}, {"'intermediate_size' is true"}},
      {{{"vocab_size", "99999999999"}}, {"'vocab_size' is 99999999999"}},
      {{{"max_position_embeddings", ""}}, {"'max_position_embeddings' is missing"}},
      {{{"rms_norm_eps", "0"}}, {"'rms_norm_eps' is 0"}},
      {{{"rope_theta", "-1"}}, {"'rope_theta' is -1"}},
      {{{"rope_scaling", R"({"rope_type":"yarn"})"}}, {"rope_scaling", "'factor' is missing"}},
      {{{"rope_scaling", R"({"rope_type":"yarn","factor":0})"}}, {"'factor' is 0"}},
      {{{"rope_scaling",
         R"({"rope_type":"llama3","factor":8,"original_max_position_embeddings":8192,
          "low_freq_factor":4,"high_freq_factor":4})"}},
       {"'high_freq_factor' is 4"}},
      {{{"rope_scaling", "[]"}}, {"rope_scaling", "expected a JSON object"}},
      {{{"architectures", ""}}, {"'architectures' is missing"}},
      {{{"architectures", "[]"}}, {"'architectures' is []"}},
      {{{"model_type", ""}}, {"'model_type' is missing"}},
      {{{"eos_token_id", "[1,\"2\"]"}}, {"'eos_token_id' is \"2\""}},
      {{{"eos_token_id", "99999999999"}}, {"'eos_token_id' is 99999999999"}},
      {{{"text_config", "3"}}, {"text_config", "expected a JSON object, found 3"}},
      {{{"quantization_config", "3"}}, {"quantization_config", "found 3"}},
      {{{"quantization_config", "{}"}}, {"'quant_method' is missing"}},
  };
  for (const Case& broken : cases) {
    SCOPED_TRACE(broken.says[0]);
    auto says = broken.says;
    says.push_back("config.json");
    expect_error(ErrorCode::corrupt_data, says,
                 [&] { read_config_text(config_with(broken.changes)); });
  }
}

TEST(Config, WhatIsWellFormedButUnknownIsRefusedByName) {
  const std::vector<std::pair<std::pair<std::string, std::string>, std::string>> cases = {
      {{"rope_scaling", R"({"rope_type":"longrope","factor":4})"}, "longrope"},
      {{"rope_scaling", R"({"type":"dynamic","factor":4})"}, "dynamic"},
      {{"partial_rotary_factor", "0.5"}, "partial_rotary_factor"},
      {{"rope_interleaved", "true"}, "rope_interleaved"},
      {{"quantization_config", R"({"quant_method":"gptq","bits":4})"}, "gptq"},
      {{"quantization_config", R"({"quant_method":"fp8","weight_block_size":[64,64]})"}, "[64,64]"},
      {{"quantization_config", R"({"quant_method":"fp8","fmt":"e5m2"})"}, "e5m2"},
      {{"quantization_config",
        R"({"quant_method":"compressed-tensors","format":"pack-quantized"})"},
       "pack-quantized"},
      {{"quantization_config",
        R"({"quant_method":"compressed-tensors","config_groups":{"g":{"weights":
          {"num_bits":4,"type":"float","strategy":"tensor"}}}})"},
       "num_bits"},
      {{"quantization_config",
        R"({"quant_method":"compressed-tensors","config_groups":{"g":{"weights":
          {"num_bits":8,"type":"int","strategy":"tensor"}}}})"},
       "int"},
      {{"quantization_config",
        R"({"quant_method":"compressed-tensors","config_groups":{"g":{"weights":
          {"num_bits":8,"type":"float","strategy":"group"}}}})"},
       "group"},
  };
  for (const auto& [change, name] : cases)
    expect_error(ErrorCode::unsupported, {"config.json", name},
                 [&] { read_config_text(config_with({change})); });
}

TEST(Config, CompressedTensorsStrategiesGiveLayouts) {
  const auto layout = [](const std::string& weights) {
    const std::string config =
        R"({"quant_method":"compressed-tensors","format":"float-quantized","ignore":["lm_head"],
      "config_groups":{"group_0":{"targets":["Linear"],"weights":{"num_bits":8,"type":"float",)" +
        weights + "}}}}";
    return read_config_text(config_with({{"quantization_config", config}}))
        .text.quantization.weight_scales;
  };
  EXPECT_EQ(layout(R"("strategy":"tensor")"), ScaleLayout::per_tensor);
  EXPECT_EQ(layout(R"("strategy":"channel")"), ScaleLayout::per_row);
  EXPECT_EQ(layout(R"("strategy":"block","block_structure":[128,128])"),
            ScaleLayout::block_128x128);
}

TEST(Config, BrokenNativeParametersAreRefused) {
  const std::string good = read_file(test_data("configs/Ministral-3-8B-Instruct-2512.params.json"));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return config_folder(text, "params.json");
  };
  expect_error(ErrorCode::corrupt_data, {"params.json", "'dim' is -1"},
               [&] { read_model_config(with("\"dim\": 4096", "\"dim\": -1")); });
  expect_error(ErrorCode::corrupt_data, {"params.json", "'n_layers' is missing"},
               [&] { read_model_config(with("\"n_layers\"", "\"n_layer\"")); });
  expect_error(ErrorCode::unsupported, {"params.json", "nvfp4"},
               [&] { read_model_config(with("fp8_e4m3", "nvfp4")); });
  expect_error(ErrorCode::not_found, {"config.json", "params.json"},
               [] { read_model_config(scratch_folder("nothing")); });
}

}  // namespace
}  // namespace isotope::weights
