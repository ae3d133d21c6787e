// Whole models against transformers in FP32 on dequantized weights: the numbers, and that mistakes
// would show in them.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "models/test_driver.h"
#include "models/test_reference.h"
#include "models/test_source.h"

namespace isotope::models {
namespace {

TEST(Parity, EveryModelPathAndCache) {
  print_parity_heading();
  for (const std::string& name : fixture_names()) {
    const Fixture fixture(name);
    for (const DType kv : {DType::bf16, DType::f8_e4m3})
      for (TestSetup setup : all_test_setups()) {
        setup.kv = kv;
        expect_parity(fixture, setup);
      }
  }
}

// FP32 activations leave the rounding of keys and values alone, in every path.
TEST(Parity, Fp32ActivationsOnQuantizedAndBf16Weights) {
  for (const char* name : {"qwen3-bf16-untied", "llama-fp8-block", "ministral3-fp8-tensor"}) {
    const Fixture fixture(name);
    for (TestSetup setup : all_test_setups()) {
      setup.compute = ComputeDtype::f32;
      TestDriver driver(fixture.config, *fixture.source, setup);
      const Parity parity = measure(fixture, driver);
      SCOPED_TRACE(fmt::format("{}, {}", name, path_name(setup)));
      EXPECT_LE(parity.prompt.mean(), kBoundBf16);
      EXPECT_LE(parity.greedy.mean(), kBoundBf16);
      EXPECT_EQ(parity.agreed, parity.compared);
    }
  }
}

std::string layer_name(std::int64_t layer, std::string_view name) {
  return fmt::format("model.layers.{}.{}", layer, name);
}

/// Rotating (2i, 2i + 1) instead of (i, i + D/2) is the same as this order of the rows of q and k.
void interleave_heads(TestSource& source, const std::string& name, std::int64_t head_dim) {
  source.reorder_rows(name, [head_dim](std::int64_t row) {
    const std::int64_t head = row / head_dim, i = row % head_dim;
    return head * head_dim + (i < head_dim / 2 ? 2 * i : 2 * (i - head_dim / 2) + 1);
  });
}

void transpose_square(const TensorView& scales) {
  const std::int64_t n = scales.shape[0];
  ISOTOPE_ASSERT(scales.shape == Shape({n, n}) && n > 1);
  auto* values = scales.as<bfloat16>();
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < i; ++j) std::swap(values[i * n + j], values[j * n + i]);
}

/// Something that a program might get wrong, done to the model instead.
struct Mistake {
  const char* fixture;
  const char* what;
  std::function<void(weights::TextConfig&, TestSource&)> make;
};

std::vector<Mistake> rope_mistakes() {
  using weights::TextConfig;
  const auto interleaved = [](TextConfig& text, TestSource& source) {
    for (std::int64_t i = 0; i < text.num_layers; ++i)
      for (const char* name : {"self_attn.q_proj", "self_attn.k_proj"})
        interleave_heads(source, layer_name(i, name) + ".weight", text.head_dim);
  };
  return {
      {"llama-bf16-sharded", "rotation of neighbours instead of halves", interleaved},
      {"qwen3-bf16-untied", "rotation of neighbours instead of halves",
       [interleaved](TextConfig& text, TestSource& source) {
         interleaved(text, source);
         for (std::int64_t i = 0; i < text.num_layers; ++i)
           for (const char* name : {"self_attn.q_norm.weight", "self_attn.k_norm.weight"})
             interleave_heads(source, layer_name(i, name), text.head_dim);
       }},
      {"qwen3-bf16-tied", "theta of another family",
       [](TextConfig& text, TestSource&) { text.rope.theta = 1e4; }},
      {"llama3-rope", "llama3 scaling forgotten",
       [](TextConfig& text, TestSource&) {
         text.rope.type = weights::RopeParameters::Type::standard;
       }},
      {"ministral3-fp8-tensor", "query scale forgotten",
       [](TextConfig& text, TestSource&) { text.rope.query_scale_beta = 1e-30; }},
      {"ministral3-bf16-tied", "query scale forgotten",
       [](TextConfig& text, TestSource&) { text.rope.query_scale_beta = 1e-30; }},
      {"ministral3-bf16-tied", "YaRN's interpolation forgotten",
       [](TextConfig& text, TestSource&) { text.rope.factor = 1.0; }},
      {"ministral3-fp8-tensor", "mscale_all_dim forgotten",
       [](TextConfig& text, TestSource&) { text.rope.mscale_all_dim = 0.0; }},
  };
}

std::vector<Mistake> weight_mistakes() {
  using weights::TextConfig;
  const auto ones = [](TestSource& source, const std::string& name) {
    const TensorView view = source.replace(name, source.find(name));
    std::fill_n(view.as<bfloat16>(), view.shape.elements(), to_bfloat16(1.0f));
  };
  return {
      {"qwen3-bf16-untied", "norm of q left out",
       [ones](TextConfig&, TestSource& source) {
         ones(source, layer_name(1, "self_attn.q_norm.weight"));
       }},
      {"llama-bf16-sharded", "gate and up swapped",
       [](TextConfig&, TestSource& source) {
         source.swap(layer_name(1, "mlp.gate_proj.weight"), layer_name(1, "mlp.up_proj.weight"));
       }},
      {"qwen3-bf16-untied", "query heads sharing the wrong KV head",
       [](TextConfig& text, TestSource& source) {
         for (const char* name : {"self_attn.k_proj.weight", "self_attn.v_proj.weight"})
           source.reorder_rows(layer_name(0, name), [&text](std::int64_t row) {
             return (row + text.head_dim) % (text.num_kv_heads * text.head_dim);
           });
       }},
      {"qwen3-fp8-block", "block scales transposed",
       [](TextConfig&, TestSource& source) {
         const std::string name = layer_name(0, "self_attn.o_proj.weight_scale_inv");
         transpose_square(source.replace(name, source.find(name)));
       }},
      {"qwen3-fp8-block", "partial block with its neighbour's scale",
       [](TextConfig&, TestSource& source) {
         const std::string name = layer_name(1, "mlp.down_proj.weight_scale_inv");
         auto* scales = source.replace(name, source.find(name)).as<bfloat16>();
         scales[1] = scales[0];
         scales[3] = scales[2];
       }},
      {"llama-fp8-row", "row scales in the wrong order",
       [](TextConfig& text, TestSource& source) {
         source.reorder_rows(
             layer_name(0, "self_attn.v_proj.weight_scale"),
             [n = text.num_kv_heads * text.head_dim](std::int64_t row) { return n - 1 - row; });
       }},
      {"ministral3-fp8-tensor", "one scale for the fused q, k and v",
       [](TextConfig&, TestSource& source) {
         const std::string prefix = "language_model." + layer_name(0, "self_attn.");
         for (const char* name : {"k_proj.weight_scale_inv", "v_proj.weight_scale_inv"})
           source.replace(prefix + name, source.find(prefix + "q_proj.weight_scale_inv"));
       }},
  };
}

TEST(Parity, MistakesExceedTheBound) {
  std::vector<Mistake> mistakes = rope_mistakes();
  for (Mistake& mistake : weight_mistakes()) mistakes.push_back(std::move(mistake));
  TestSetup setup = all_test_setups().back();
  for (const Mistake& mistake : mistakes) {
    Fixture fixture(mistake.fixture);
    TestSource source(*fixture.source);
    mistake.make(fixture.config.text, source);
    TestDriver driver(fixture.config, source, setup);
    const Parity parity = measure(fixture, driver);
    fmt::print("{:27} {:42} {:10.5f}\n", mistake.fixture, mistake.what, parity.prompt.mean());
    EXPECT_GT(parity.prompt.mean(), 2 * kBoundBf16) << mistake.fixture << ": " << mistake.what;
  }
}

}  // namespace
}  // namespace isotope::models
