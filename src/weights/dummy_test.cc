#include "weights/dummy.h"

#include <cmath>
#include <cstdio>
#include <fstream>

#include "weights/test_support.h"

namespace isotope::weights {
namespace {

namespace fs = std::filesystem;

ModelConfig released_config(const std::string& name) {
  const fs::path folder = scratch_folder("dummy");
  fs::copy_file(test_data("configs/" + name), folder / "config.json");
  return read_model_config(folder);
}

/// "BF16\t131072x4096" for each name of a published tensor list.
std::map<std::string, std::string> published_tensors(const std::string& name) {
  std::ifstream file(test_data("weights/" + name));
  std::map<std::string, std::string> tensors;
  std::string line;
  std::getline(file, line);  // column titles
  while (std::getline(file, line)) {
    const auto tab = line.find('\t');
    tensors[line.substr(0, tab)] = line.substr(tab + 1);
  }
  return tensors;
}

/// Elements of "BF16\t131072x4096"; 0 for anything that is not a matrix.
std::int64_t rows_times_columns(const std::string& description) {
  std::int64_t rows = 0, columns = 0;
  char dtype[16];
  return std::sscanf(description.c_str(), "%15s %ldx%ld", dtype, &rows, &columns) == 3
             ? rows * columns
             : 0;
}

std::string describe(const TensorView& tensor) {
  std::string text = tensor.dtype == DType::f8_e4m3 ? "F8_E4M3\t" : "BF16\t";
  if (tensor.shape.rank() == 0) return text + "scalar";
  for (int i = 0; i < tensor.shape.rank(); ++i) {
    if (i) text += "x";
    text += std::to_string(tensor.shape[i]);
  }
  return text;
}

TEST(Dummy, AnswersExactlyThePublishedTensors) {
  const std::vector<std::pair<std::string, std::string>> models = {
      {"Qwen3-0.6B.config.json", "Qwen3-0.6B.tensors.tsv"},
      {"Qwen3-0.6B-FP8.config.json", "Qwen3-0.6B-FP8.tensors.tsv"},
      {"Qwen3-8B-FP8.config.json", "Qwen3-8B-FP8.tensors.tsv"},
      {"Ministral-3-3B-Instruct-2512.config.json", "Ministral-3-3B-Instruct-2512.text-tensors.tsv"},
      {"Ministral-3-3B-Reasoning-2512.config.json",
       "Ministral-3-3B-Reasoning-2512.text-tensors.tsv"},
      {"Ministral-3-8B-Instruct-2512.config.json", "Ministral-3-8B-Instruct-2512.text-tensors.tsv"},
  };
  for (const auto& [config, list] : models) {
    SCOPED_TRACE(config);
    const auto source = make_dummy_source(released_config(config), 1);
    const auto published = published_tensors(list);
    ASSERT_GT(published.size(), 200u);
    int looked = 0;
    for (const auto& [name, expected] : published) {
      // Generating every gigabyte would only cost time: look at one layer and at what stands
      // outside the layers.
      const bool looked_at =
          name.find("layers.") == std::string::npos || name.find("layers.1.") != std::string::npos;
      if (!looked_at || rows_times_columns(expected) > 400'000'000) continue;
      const TensorView tensor = source->find(name);
      ++looked;
      ASSERT_FALSE(tensor.empty()) << name;
      EXPECT_EQ(describe(tensor), expected) << name;
      source->release(tensor);
    }
    EXPECT_GT(looked, 8);
    std::vector<std::string> names;
    for (const auto& [name, expected] : published) names.push_back(name);
    EXPECT_EQ(source->names(), names);
    EXPECT_TRUE(source->find("model.layers.999.mlp.up_proj.weight").empty());
  }
}

ModelConfig tiny_config() {
  ModelConfig config;
  config.path = "tiny/config.json";
  config.text.model_type = "llama";
  config.text.hidden_size = 200;
  config.text.num_layers = 2;
  config.text.num_heads = 4;
  config.text.num_kv_heads = 2;
  config.text.head_dim = 50;
  config.text.intermediate_size = 300;
  config.text.vocab_size = 500;
  return config;
}

TEST(Dummy, IsDeterministicInSeedAndName) {
  const auto bits = [](std::uint64_t seed, const std::string& name) {
    const auto source = make_dummy_source(tiny_config(), seed);
    const TensorView view = source->find(name);
    const auto* data = view.as<bfloat16>();
    std::vector<int> result;
    for (int i = 0; i < 1000; ++i) result.push_back(data[i].bits);
    return result;
  };
  const std::string up = "model.layers.0.mlp.up_proj.weight";
  EXPECT_EQ(bits(1, up), bits(1, up));
  EXPECT_NE(bits(1, up), bits(2, up));
  EXPECT_NE(bits(1, up), bits(1, "model.layers.1.mlp.up_proj.weight"));
}

/// Mean and variance of count numbers are within a few standard errors of 0 and `variance`.
void expect_normal(const std::vector<double>& values, double variance) {
  double sum = 0, squares = 0;
  for (const double value : values) sum += value, squares += value * value;
  const auto count = double(values.size());
  EXPECT_NEAR(sum / count, 0, 5 * std::sqrt(variance / count));
  EXPECT_NEAR(squares / count, variance, 0.05 * variance);
}

TEST(Dummy, ValuesKeepActivationsInScale) {
  ModelConfig config = tiny_config();
  auto source = make_dummy_source(config, 7);
  const TensorView down = source->find("model.layers.0.mlp.down_proj.weight");
  std::vector<double> values;
  for (std::int64_t i = 0; i < down.shape.elements(); ++i) values.push_back(load_float(down, i));
  expect_normal(values, 1.0 / 300);

  config.text.quantization = {.fp8 = true, .weight_scales = ScaleLayout::block_128x128};
  source = make_dummy_source(config, 7);
  std::vector<std::string> used;
  const ScaledTensor fp8 = find_linear(*source, "model.layers.0.mlp.down_proj", 200, 300, used);
  values.clear();
  for (std::int64_t i = 0; i < 200 * 300; ++i) {
    const std::int64_t block = i / 300 / 128 * 3 + i % 300 / 128;
    values.push_back(double(load_float(fp8.weight, i)) * load_float(fp8.scale, block));
  }
  // The six block scales vary by a tenth, so the variance is known less well than the mean.
  double squares = 0;
  for (const double value : values) squares += value * value;
  EXPECT_NEAR(squares / double(values.size()), 1.0 / 300, 0.25 / 300);

  const TensorView norm = source->find("model.norm.weight");
  for (std::int64_t i = 0; i < 200; ++i) EXPECT_NEAR(load_float(norm, i), 1.0f, 0.2f);
}

TEST(Dummy, EveryLayoutIsFoundByFindLinear) {
  for (const ScaleLayout layout :
       {ScaleLayout::per_tensor, ScaleLayout::per_row, ScaleLayout::block_128x128}) {
    ModelConfig config = tiny_config();
    config.text.quantization = {
        .fp8 = true, .weight_scales = layout, .static_activations = true, .lm_head = true};
    const auto source = make_dummy_source(config, 3);
    std::vector<std::string> used;
    const ScaledTensor linear =
        find_linear(*source, "model.layers.1.self_attn.o_proj", 200, 200, used);
    EXPECT_EQ(linear.scale_layout, layout);
    EXPECT_FALSE(linear.input_scale.empty());
    EXPECT_EQ(find_linear(*source, "lm_head", 500, 200, used).scale_layout, ScaleLayout::per_row);
  }
}

TEST(Dummy, BiasesComeWithTheirSwitches) {
  ModelConfig config = tiny_config();
  config.text.attention_bias = true;
  const auto source = make_dummy_source(config, 1);
  EXPECT_EQ(source->find("model.layers.0.self_attn.k_proj.bias").shape, (Shape{100}));
  EXPECT_TRUE(source->find("model.layers.0.mlp.up_proj.bias").empty());
}

TEST(Dummy, RowsOfATiledMatrixDiffer) {
  ModelConfig config = tiny_config();
  config.text.vocab_size = 4096;
  config.text.hidden_size = 512;  // 2 M elements: the tile repeats 32 times
  const auto source = make_dummy_source(config, 1);
  const TensorView embedding = source->find("model.embed_tokens.weight");
  for (std::int64_t row = 1; row < 4096; ++row)
    ASSERT_NE(std::memcmp(embedding.row<bfloat16>(0), embedding.row<bfloat16>(row), 512 * 2), 0)
        << row;
}

}  // namespace
}  // namespace isotope::weights
