#include "weights/quantize.h"

#include <cmath>
#include <fstream>

#include "base/file.h"
#include "weights/config.h"
#include "weights/quantize_tensor.h"
#include "weights/safetensors.h"
#include "weights/test_support.h"

namespace isotope::weights {
namespace {

namespace fs = std::filesystem;

const std::vector<std::pair<std::string, ScaleLayout>>& layouts() {
  static const std::vector<std::pair<std::string, ScaleLayout>> kLayouts = {
      {"block", ScaleLayout::block_128x128},
      {"row", ScaleLayout::per_row},
      {"tensor", ScaleLayout::per_tensor}};
  return kLayouts;
}

TEST(Float8, RoundsAsMlDtypesDoes) {
  const SafetensorsFile file(test_data("weights/rounding.safetensors"));
  const TensorView& values = file.tensors().at("values");
  const auto* expected = file.tensors().at("codes").as<const float8_e4m3>();
  ASSERT_GT(values.shape.elements(), 1000);
  for (std::int64_t i = 0; i < values.shape.elements(); ++i)
    EXPECT_EQ(to_float8_e4m3(load_float(values, i)).bits, expected[i].bits)
        << load_float(values, i);
}

// quantized.safetensors holds the codes and scales that numpy and ml_dtypes compute.
TEST(QuantizeMatrix, GivesTheReferencesCodesAndScales) {
  const SafetensorsFile file(test_data("weights/quantized.safetensors"));
  ThreadPool pool(3);
  QuantizedMatrix result;
  for (const std::string dtype : {"BF16", "F32", "F16"}) {
    const TensorView& weight = file.tensors().at(dtype + ".weight");
    for (const auto& [name, layout] : layouts()) {
      SCOPED_TRACE(dtype + " " + name);
      quantize_matrix(weight, layout, "w", pool, result);
      const TensorView& codes = file.tensors().at(dtype + "." + name + ".codes");
      const TensorView& scales = file.tensors().at(dtype + "." + name + ".scales");
      ASSERT_EQ(std::int64_t(result.scales.size()), scales.shape.elements());
      for (std::size_t i = 0; i < result.scales.size(); ++i)
        EXPECT_EQ(result.scales[i], scales.as<const float>()[i]) << i;
      ASSERT_EQ(std::int64_t(result.codes.size()), codes.shape.elements());
      EXPECT_EQ(std::memcmp(result.codes.data(), codes.data, result.codes.size()), 0);
    }
  }
}

TEST(QuantizeMatrix, ScalesStayPositiveAndWeightsMustBeFinite) {
  ThreadPool pool(1);
  QuantizedMatrix result;
  std::vector<float> values = {0, 0, 0, 1e-42f, -3e-45f, 0};  // a zero row and one of subnormals
  TensorView weight(DType::f32, {2, 3}, static_cast<void*>(values.data()));
  quantize_matrix(weight, ScaleLayout::per_row, "w", pool, result);
  EXPECT_EQ(result.scales[0], 1.0f);
  EXPECT_GE(result.scales[1], std::numeric_limits<float>::min());
  values[4] = std::nanf("");
  expect_error(ErrorCode::corrupt_data, {"'model.w'", "nan", "[1, 1]"},
               [&] { quantize_matrix(weight, ScaleLayout::per_tensor, "model.w", pool, result); });
}

/// A small Llama with odd sizes, made of reproducible noise.
class QuantizeCheckpoint : public testing::Test {
 protected:
  static constexpr std::int64_t kHidden = 200, kInner = 333, kVocab = 50, kKv = 100;

  void make_model(const std::string& name, const std::string& prefix = "",
                  const std::string& more_config = "") {
    root_ = scratch_folder(name);
    source_ = root_ / "source";
    target_ = root_ / "target";
    fs::create_directory(source_);
    const std::string text = R"("model_type":"llama","hidden_size":200,"num_hidden_layers":2,
        "num_attention_heads":4,"num_key_value_heads":2,"intermediate_size":333,"vocab_size":50,
        "max_position_embeddings":128,"rms_norm_eps":1e-05,"tie_word_embeddings":true)";
    write_file(source_ / "config.json",
               R"({"architectures":["LlamaForCausalLM"],)" + text + more_config + "}");
    write_file(source_ / "tokenizer.json", "{\"tokenizer\": true}");
    write_file(source_ / "pytorch_model.bin", "old");
    add(prefix + "model.embed_tokens.weight", {kVocab, kHidden});
    add(prefix + "model.norm.weight", {kHidden});
    for (const std::string layer : {"0", "1"}) {
      const std::string block = prefix + "model.layers." + layer + ".";
      add(block + "input_layernorm.weight", {kHidden});
      add(block + "post_attention_layernorm.weight", {kHidden});
      add(block + "self_attn.q_proj.weight", {kHidden, kHidden});
      add(block + "self_attn.k_proj.weight", {kKv, kHidden});
      add(block + "self_attn.v_proj.weight", {kKv, kHidden});
      add(block + "self_attn.o_proj.weight", {kHidden, kHidden});
      add(block + "mlp.gate_proj.weight", {kInner, kHidden});
      add(block + "mlp.up_proj.weight", {kInner, kHidden});
      add(block + "mlp.down_proj.weight", {kHidden, kInner});
    }
  }

  void add(const std::string& name, Shape shape) { plan_.push_back({name, DType::bf16, shape}); }

  void write_source() {
    std::vector<bfloat16> values;
    std::uint32_t state = 1;
    write_safetensors(source_ / "model.safetensors", plan_, {}, [&](std::size_t i) {
      values.resize(std::size_t(plan_[i].shape.elements()));
      for (bfloat16& value : values) {
        state = state * 1664525u + 1013904223u;
        // Spread over several binades, so that subnormal codes occur too.
        value = to_bfloat16(std::ldexp(float(std::int32_t(state)) * 0x1p-31f, -int(state % 13)));
      }
      return std::as_bytes(std::span(values));
    });
  }

  void quantize(const QuantizeOptions& options) {
    quantize_checkpoint(source_, target_, options,
                        [&](std::int64_t done, std::int64_t total, std::string_view) {
                          EXPECT_EQ(done, steps_++);
                          total_ = total;
                        });
  }

  fs::path root_, source_, target_;
  std::vector<TensorPlan> plan_;
  std::int64_t steps_ = 0, total_ = 0;
};

float scale_at(const ScaledTensor& linear, std::int64_t row, std::int64_t column) {
  switch (linear.scale_layout) {
    case ScaleLayout::per_tensor:
      return load_float(linear.scale, 0);
    case ScaleLayout::per_row:
      return load_float(linear.scale, row);
    case ScaleLayout::block_128x128:
      return load_float(linear.scale, row / 128 * linear.scale.shape[1] + column / 128);
    case ScaleLayout::none:
      return 1.0f;
  }
  return 0;
}

/// E4M3 has three mantissa bits: rounding errs by at most 2^-4 of the value, or half of the
/// subnormal step 2^-9 times the scale. One part in 2^20 is left for the FP32 division and product.
void expect_within_format(const TensorView& original, const ScaledTensor& linear) {
  const std::int64_t n = original.shape[0], k = original.shape[1];
  double worst = 0;
  for (std::int64_t row = 0; row < n; ++row) {
    for (std::int64_t column = 0; column < k; ++column) {
      const float scale = scale_at(linear, row, column);
      const float exact = load_float(original, row * k + column);
      const float restored = load_float(linear.weight, row * k + column) * scale;
      const double bound =
          std::max(std::fabs(double(exact)) / 16, double(scale) / 1024) * (1 + 0x1p-20);
      ASSERT_LE(std::fabs(double(exact) - restored), bound) << row << ", " << column;
      worst = std::max(worst, std::fabs(double(exact) - restored) / bound);
    }
  }
  EXPECT_GT(worst, 0.9);  // the bound is reached, so it would notice a wrong scale
}

TEST_F(QuantizeCheckpoint, ReloadsTransparentlyWithinTheFormatsError) {
  for (const auto& [name, layout] : layouts()) {
    SCOPED_TRACE(name);
    plan_.clear();
    steps_ = 0;
    make_model("quantize-" + name);
    write_source();
    quantize({.layout = layout});
    EXPECT_EQ(total_, std::int64_t(plan_.size()));
    EXPECT_EQ(steps_, total_ + 1);

    const ModelConfig config = read_model_config(target_);
    EXPECT_TRUE(config.text.quantization.fp8);
    EXPECT_EQ(config.text.quantization.weight_scales, layout);
    EXPECT_EQ(config.text.rms_norm_eps, 1e-5);
    EXPECT_EQ(config.text.tie_word_embeddings, true);
    const auto before = open_checkpoint(source_), after = open_checkpoint(target_);
    std::vector<std::string> used;
    for (const TensorPlan& tensor : plan_) {
      const TensorView original = before->find(tensor.name);
      if (tensor.shape.rank() == 2 && tensor.name.find("embed") == std::string::npos) {
        const std::string module = tensor.name.substr(0, tensor.name.size() - 7);
        const ScaledTensor linear =
            find_linear(*after, module, tensor.shape[0], tensor.shape[1], used);
        // A [100, 200] matrix has two blocks, a [200, 200] one four; none has just one.
        EXPECT_EQ(linear.scale_layout, layout);
        EXPECT_EQ(linear.scale.dtype, DType::f32);
        expect_within_format(original, linear);
      } else {
        const TensorView kept = after->find(tensor.name);
        ASSERT_EQ(kept.dtype, DType::bf16);
        EXPECT_EQ(std::memcmp(kept.data, original.data, std::size_t(original.bytes())), 0);
        used.push_back(tensor.name);
      }
    }
    EXPECT_EQ(used.size(), after->names().size());  // nothing else was written
    EXPECT_EQ(read_file(target_ / "tokenizer.json"), "{\"tokenizer\": true}");
    EXPECT_FALSE(fs::exists(target_ / "pytorch_model.bin"));
  }
}

TEST_F(QuantizeCheckpoint, BlockConfigIsThatOfTheReleases) {
  make_model("config-block");
  write_source();
  quantize({});
  const json::value written = parse_json_file(target_ / "config.json");
  const json::value released = parse_json_file(test_data("configs/Qwen3-8B-FP8.config.json"));
  EXPECT_EQ(written.at("quantization_config"), released.at("quantization_config"));
  json::object rest = written.as_object();
  rest.erase("quantization_config");
  EXPECT_EQ(json::value(rest), parse_json_file(source_ / "config.json"));
}

TEST_F(QuantizeCheckpoint, MakesAnFp8HeadForATiedModel) {
  for (const auto& [name, layout] : layouts()) {
    plan_.clear();
    steps_ = 0;
    make_model("head-" + name);
    write_source();
    quantize({.layout = layout, .quantize_lm_head = true});
    EXPECT_TRUE(read_model_config(target_).text.quantization.lm_head);
    const auto before = open_checkpoint(source_), after = open_checkpoint(target_);
    std::vector<std::string> used;
    const ScaledTensor head = find_linear(*after, "lm_head", kVocab, kHidden, used);
    EXPECT_EQ(head.scale_layout, ScaleLayout::per_row);
    const TensorView embedding = before->find("model.embed_tokens.weight");
    expect_within_format(embedding, head);
    EXPECT_EQ(std::memcmp(after->find("model.embed_tokens.weight").data, embedding.data,
                          std::size_t(embedding.bytes())),
              0);
  }
}

TEST_F(QuantizeCheckpoint, LeavesTheVisionTowerAlone) {
  make_model("vision", "language_model.", R"(,"vision_config":{})");
  add("language_model.lm_head.weight", {kVocab, kHidden});
  add("vision_tower.transformer.layers.0.attention.q_proj.weight", {64, 64});
  add("vision_tower.transformer.layers.0.feed_forward.gate_proj.weight", {64, 64});
  add("multi_modal_projector.linear_1.weight", {64, 64});
  write_source();
  quantize({.layout = ScaleLayout::per_tensor, .quantize_lm_head = true});
  const auto after = open_checkpoint(target_);
  int fp8 = 0;
  for (const std::string& name : after->names()) {
    const bool vision = name.starts_with("vision_tower") || name.starts_with("multi_modal");
    const bool quantized = after->find(name).dtype == DType::f8_e4m3;
    EXPECT_FALSE(vision && quantized) << name;
    fp8 += quantized;
  }
  EXPECT_EQ(fp8, 2 * 7 + 1);
  EXPECT_EQ(after->find("language_model.lm_head.weight_scale_inv").shape, (Shape{kVocab, 1}));
  EXPECT_EQ(read_model_config(target_).text.quantization.not_converted,
            (std::vector<std::string>{"model.vision_tower", "model.multi_modal_projector"}));
}

TEST_F(QuantizeCheckpoint, TheTargetAppearsCompleteOrNotAtAll) {
  make_model("atomic");
  write_source();
  EXPECT_THROW(quantize_checkpoint(source_, target_, {},
                                   [](std::int64_t done, std::int64_t, std::string_view) {
                                     if (done == 5) fail(ErrorCode::cancelled, "enough");
                                   }),
               Error);
  int entries = 0;
  for (const auto& entry : fs::directory_iterator(root_)) entries += entry.path() != source_;
  EXPECT_EQ(entries, 0);
}

TEST_F(QuantizeCheckpoint, ReplacesOnlyAModelsFolderAndOnlyWhenAsked) {
  make_model("overwrite");
  write_source();
  fs::create_directory(target_);
  write_file(target_ / "precious.txt", "mine");
  expect_error(ErrorCode::invalid_argument, {"target exists"}, [&] { quantize({}); });
  expect_error(ErrorCode::invalid_argument, {"not a model's folder"},
               [&] { quantize({.overwrite = true}); });
  EXPECT_TRUE(fs::exists(target_ / "precious.txt"));
  write_file(target_ / "config.json", "{}");
  quantize({.overwrite = true});
  EXPECT_FALSE(fs::exists(target_ / "precious.txt"));
  EXPECT_TRUE(read_model_config(target_).text.quantization.fp8);

  expect_error(ErrorCode::invalid_argument, {"quantized already"},
               [&] { quantize_checkpoint(target_, root_ / "again", {}, nullptr); });
  expect_error(ErrorCode::invalid_argument, {"both source and target"},
               [&] { quantize_checkpoint(source_, source_ / ".", {.overwrite = true}, nullptr); });
  write_file(root_ / "config.json", "{}");
  expect_error(ErrorCode::invalid_argument, {"contains the source"},
               [&] { quantize_checkpoint(source_, root_, {.overwrite = true}, nullptr); });
}

}  // namespace
}  // namespace isotope::weights
