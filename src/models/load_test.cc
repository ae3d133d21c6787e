// Loading: what is found, skipped, missing, refused, and how it adds up.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "models/family.h"
#include "models/test_driver.h"
#include "models/test_reference.h"
#include "models/test_source.h"
#include "ops/linear/linear_weight.h"

namespace isotope::models {
namespace {

TestSetup fastest() { return all_test_setups().back(); }

/// The error that `action` ends in.
std::string error_of(ErrorCode code, const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
}

LoadReport load(const weights::ModelConfig& config, const weights::TensorSource& source) {
  return TestDriver(config, source, fastest()).report();
}

TEST(Load, MissingTensorsAreAllNamed) {
  const Fixture fixture("qwen3-bf16-untied");
  TestSource source(*fixture.source);
  std::vector<std::string> names = {"model.norm.weight", "model.embed_tokens.weight",
                                    "lm_head.weight"};
  for (const char* name :
       {"self_attn.q_norm", "self_attn.k_norm", "input_layernorm", "post_attention_layernorm",
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"})
    names.push_back(fmt::format("model.layers.1.{}.weight", name));
  for (const std::string& name : names) source.remove(name);
  const std::string message = error_of(ErrorCode::not_found, [&] { load(fixture.config, source); });
  expect_contains(message, source.describe());
  expect_contains(message, "13 tensors are missing");  // the head alone need not be there
  for (const std::string& name : names)
    if (name != "lm_head.weight") expect_contains(message, name);
}

TEST(Load, AMissingScaleIsNamed) {
  const Fixture fixture("llama-fp8-block");
  TestSource source(*fixture.source);
  source.remove("model.layers.1.mlp.up_proj.weight_scale_inv");
  expect_contains(error_of(ErrorCode::corrupt_data, [&] { load(fixture.config, source); }),
                  "model.layers.1.mlp.up_proj.weight_scale_inv");
}

TEST(Load, WrongShapesAreNamedWithWhatTheConfigurationAsksFor) {
  struct Case {
    const char* name;
    Shape shape;
    const char* expected;
  };
  // The fixture has hidden 96, 4 query heads and 2 KV heads of 32, intermediate 180, vocabulary
  // 330.
  const std::vector<Case> cases = {
      {"model.layers.0.self_attn.q_proj.weight", {96, 128}, "[128, 96]"},
      {"model.layers.1.self_attn.k_proj.weight", {32, 96}, "[64, 96]"},
      {"model.layers.1.mlp.down_proj.weight", {180, 96}, "[96, 180]"},
      {"model.layers.0.input_layernorm.weight", {95}, "[96]"},
      {"model.layers.0.self_attn.q_norm.weight", {96}, "[32]"},
      {"model.norm.weight", {1, 96}, "[96]"},
      {"lm_head.weight", {329, 96}, "[330, 96]"},
  };
  const Fixture fixture("qwen3-bf16-untied");
  for (const Case& c : cases) {
    TestSource source(*fixture.source);
    const std::vector<bfloat16> zeros(std::size_t(c.shape.elements()));
    source.replace(c.name, TensorView(DType::bf16, c.shape, zeros.data()));
    const std::string message =
        error_of(ErrorCode::corrupt_data, [&] { load(fixture.config, source); });
    expect_contains(message, c.name);
    expect_contains(message, c.shape.to_string());
    expect_contains(message, c.expected);
  }
}

TEST(Load, DamagedValuesAreNamed) {
  const Fixture fixture("ministral3-fp8-tensor");
  TestSource source(*fixture.source);
  const std::string name = "language_model.model.layers.1.mlp.up_proj.weight";
  source.replace(name, source.find(name)).as<float8_e4m3>()[144 * 3 + 2] = {0x7f};
  const std::string message =
      error_of(ErrorCode::corrupt_data, [&] { load(fixture.config, source); });
  expect_contains(message, "language_model.model.layers.1.mlp.gate_proj");
  expect_contains(message, "row 3, column 2");
}

TEST(Load, UnusedTensorsAreReported) {
  const Fixture fixture("llama-bf16-sharded");
  TestSource source(*fixture.source);
  const std::vector<bfloat16> values(80);
  const TensorView extra(DType::bf16, Shape{80}, values.data());
  // A bias that the configuration does not announce, a layer too many, and a stranger.
  const std::vector<std::string> names = {"model.layers.0.self_attn.q_proj.bias",
                                          "model.layers.3.input_layernorm.weight",
                                          "vision_tower.ln_pre.weight"};
  for (const std::string& name : names) source.replace(name, extra);
  const LoadReport report = load(fixture.config, source);
  EXPECT_EQ(report.unused, names);  // a Llama declares no prefix as skipped
  EXPECT_EQ(report.skipped, 0);
}

TEST(Load, EveryTensorOfAFixtureIsAccountedFor) {
  for (const std::string& name : fixture_names()) {
    SCOPED_TRACE(name);
    const Fixture fixture(name);
    const LoadReport report = load(fixture.config, *fixture.source);
    EXPECT_EQ(report.unused, std::vector<std::string>{});
    EXPECT_EQ(report.used + report.skipped, std::int64_t(fixture.source->names().size()));
  }
}

TEST(Load, TheVisionTowerIsSkippedAndActivationScalesAreKept) {
  const Fixture fixture("ministral3-fp8-tensor");
  std::int64_t vision = 0;
  for (const std::string& name : fixture.source->names())
    vision += name.starts_with("vision_tower.") || name.starts_with("multi_modal_projector.");
  const LoadReport report = load(fixture.config, *fixture.source);
  EXPECT_EQ(vision, 15);
  EXPECT_EQ(report.skipped, vision);
  EXPECT_EQ(report.kept_input_scales, 7 * 2);  // seven linear layers of two blocks
  // Three scalars of each linear layer, two norms a block, the last norm, embedding and head.
  EXPECT_EQ(report.used, 7 * 2 * 3 + 2 * 2 + 1 + 2);
}

TEST(Load, RuntimeNamesOfMistral3AreAccepted) {
  const Fixture fixture("ministral3-fp8-tensor");
  TestSource source(*fixture.source);
  const std::string_view body = "language_model.model.", head = "language_model.lm_head.";
  for (const std::string& name : fixture.source->names()) {
    std::string renamed;
    if (name.starts_with(body)) renamed = "model.language_model." + name.substr(body.size());
    if (name.starts_with(head)) renamed = "lm_head." + name.substr(head.size());
    if (name.starts_with("vision_tower.")) renamed = "model." + name;
    if (renamed.empty()) continue;
    source.replace(renamed, fixture.source->find(name));
    source.remove(name);
  }
  const LoadReport report = load(fixture.config, source);
  EXPECT_EQ(report.unused, std::vector<std::string>{});
  EXPECT_EQ(report.skipped, 15);
  source.remove("model.language_model.norm.weight");
  expect_contains(error_of(ErrorCode::not_found, [&] { load(fixture.config, source); }),
                  "1 tensor is missing: model.language_model.norm.weight");
}

// Parity of these fixtures says that the stand-in is the right one; here: that it is kept once.
TEST(Load, HeadAndEmbeddingStandInForEachOther) {
  const Fixture head_only("llama-bf16-tied");
  EXPECT_TRUE(head_only.source->find("model.embed_tokens.weight").empty());
  EXPECT_EQ(load(head_only.config, *head_only.source).weight_bytes,
            plan_model(head_only.config, {}).weight_bytes);

  const Fixture copy("qwen3-bf16-tied");
  EXPECT_FALSE(copy.source->find("lm_head.weight").empty());
  const std::size_t once = load(copy.config, *copy.source).weight_bytes;
  EXPECT_EQ(once, plan_model(copy.config, {}).weight_bytes);
  TestSource different(*copy.source);
  different.replace("lm_head.weight", copy.source->find("lm_head.weight")).as<bfloat16>()[5].bits ^=
      1;
  EXPECT_EQ(load(copy.config, different).weight_bytes,
            once + ops::packed_bytes(390, 88, DType::bf16, ScaleLayout::none));

  const Fixture untied("qwen3-bf16-untied");
  TestSource without_head(*untied.source);
  without_head.remove("lm_head.weight");
  EXPECT_LT(load(untied.config, without_head).weight_bytes,
            load(untied.config, *untied.source).weight_bytes);
}

TEST(Load, ProgressCountsToItsTotal) {
  for (const char* name : {"qwen3-bf16-tied", "qwen3-bf16-untied"}) {
    const Fixture fixture(name);
    device::CpuDevice device(1, fastest().isa);
    ops::Context context(device, 0);
    std::int64_t last = 0, total = 0;
    const LoadOptions options = {
        .dtype = ComputeDtype::automatic,
        .progress = [&](std::int64_t done, std::int64_t of, std::string_view) {
          EXPECT_EQ(done, last + 1);
          last = done;
          total = of;
        }};
    LoadReport report;
    load_model(context, fixture.config, *fixture.source, options, report);
    EXPECT_EQ(last, total) << name;
    EXPECT_EQ(total, name == std::string("qwen3-bf16-tied") ? 9 : 10);
  }
}

struct Refusal {
  const char* fixture;
  std::function<void(weights::TextConfig&)> change;
  std::vector<std::string> said;
};

TEST(Load, RefusesWhatItWouldComputeWrongly) {
  using weights::TextConfig;
  const std::vector<Refusal> refusals = {
      {"llama3-rope", [](TextConfig& text) { text.attention_bias = true; }, {"'attention_bias'"}},
      {"llama3-rope", [](TextConfig& text) { text.mlp_bias = true; }, {"'mlp_bias'"}},
      {"llama3-rope", [](TextConfig& text) { text.hidden_act = "gelu"; }, {"'hidden_act'", "gelu"}},
      {"qwen3-bf16-tied",
       [](TextConfig& text) { text.sliding_window = 4096; },
       {"'sliding_window'", "4096"}},
      {"llama3-rope",
       [](TextConfig& text) { text.architecture = "MambaForCausalLM"; },
       {"'MambaForCausalLM'", "Qwen3ForCausalLM", "LlamaForCausalLM",
        "Mistral3ForConditionalGeneration", "Ministral3ForCausalLM"}},
      {"ministral3-fp8-tensor",
       [](TextConfig& text) { text.model_type = "mistral"; },
       {"'mistral'", "'ministral3'"}},
      {"ministral3-bf16-tied",
       [](TextConfig& text) { text.rope.type = weights::RopeParameters::Type::standard; },
       {"YaRN", "rope_parameters"}},
      {"ministral3-bf16-tied",
       [](TextConfig& text) { text.rope.query_scale_beta = 0; },
       {"llama_4_scaling_beta"}},
  };
  for (const Refusal& refusal : refusals) {
    Fixture fixture(refusal.fixture);
    refusal.change(fixture.config.text);
    for (const bool plan : {false, true}) {
      const std::string message = error_of(ErrorCode::unsupported, [&] {
        if (plan)
          plan_model(fixture.config, {});
        else
          load(fixture.config, *fixture.source);
      });
      expect_contains(message, fixture.config.path.string());
      for (const std::string& part : refusal.said) expect_contains(message, part);
    }
  }
}

/// Block scales of matrices that begin inside a tile of 16 rows are stored for each row, which the
/// plan does not foresee.
bool has_odd_stacks(const weights::TextConfig& text) {
  if (text.quantization.weight_scales != ScaleLayout::block_128x128) return false;
  const std::int64_t kv_size = text.num_kv_heads * text.head_dim;
  return text.num_heads * text.head_dim % 16 != 0 || kv_size % 16 != 0 ||
         text.intermediate_size % 16 != 0;
}

TEST(Load, PlanAgreesWithWhatIsLoaded) {
  std::int64_t odd = 0;
  for (const std::string& name : fixture_names()) {
    SCOPED_TRACE(name);
    const Fixture fixture(name);
    const std::size_t planned = plan_model(fixture.config, {}).weight_bytes;
    const std::size_t loaded = load(fixture.config, *fixture.source).weight_bytes;
    if (has_odd_stacks(fixture.config.text)) {
      ++odd;
      EXPECT_NEAR(double(loaded), double(planned), 0.03 * double(planned));
    } else {
      EXPECT_EQ(loaded, planned);
    }
  }
  EXPECT_EQ(odd, 3);
}

TEST(Load, PlanFollowsTheComputeDtype) {
  const Fixture fixture("qwen3-bf16-untied");
  TestSetup setup = fastest();
  for (const ComputeDtype dtype : {ComputeDtype::bf16, ComputeDtype::f32}) {
    setup.compute = dtype;
    const TestDriver driver(fixture.config, *fixture.source, setup);
    const ModelPlan plan = plan_model(fixture.config, {.dtype = dtype, .progress = {}});
    EXPECT_EQ(plan.weight_bytes, driver.report().weight_bytes);
    EXPECT_EQ(plan.workspace_bytes(TestDriver::kLimits),
              driver.model().workspace_bytes(TestDriver::kLimits));
  }
}

/// Elements of a released checkpoint, from its list of tensors: name, dtype, shape.
/// Mean distance of the logits of a prompt under both options, and bytes on the device.
struct HeadTrial {
  double distance = 0;
  std::size_t bytes = 0, planned = 0;
};

HeadTrial try_head(const Fixture& fixture, HeadDtype head) {
  LoadOptions options;
  options.head = head;
  HeadTrial trial;
  device::CpuDevice device(1);
  ops::Context context(device, std::size_t(64) << 20);
  LoadReport report;
  const auto model = load_model(context, fixture.config, *fixture.source, options, report);
  const auto reference = load_model(context, fixture.config, *fixture.source, {}, report);
  trial.bytes = model->weight_bytes();
  trial.planned = plan_model(fixture.config, options).weight_bytes;
  const ModelInfo& info = model->info();
  const ops::KvCache kv(device,
                        {info.num_layers, 1, 16, info.num_kv_heads, info.head_dim, DType::bf16});
  std::vector<std::int32_t> ids = {5, 17, 3}, positions = {0, 1, 2}, row_seq = {0, 0, 0},
                            begin = {0, 3}, lens = {3}, tables = {0}, rows = {0, 1, 2};
  std::vector<std::int64_t> slots = {0, 1, 2};
  ops::Batch batch;
  batch.rows = {0, 3};
  batch.num_seqs = 1;
  const auto view = [](std::vector<std::int32_t>& v) {
    return TensorView(DType::i32, Shape{std::int64_t(v.size())}, v.data());
  };
  batch.token_ids = view(ids);
  batch.positions = view(positions);
  batch.slots = TensorView(DType::i64, Shape{3}, slots.data());
  batch.row_seq = view(row_seq);
  batch.seq_begin = view(begin);
  batch.context_lens = view(lens);
  batch.block_tables = TensorView(DType::i32, {1, 1}, tables.data());
  batch.logit_rows = view(rows);
  std::vector<float> logits[2];
  for (const bool quantized : {false, true}) {
    logits[quantized].resize(std::size_t(3 * info.vocab_size));
    (quantized ? model : reference)
        ->forward(context, batch, kv,
                  TensorView(DType::f32, {3, info.vocab_size}, logits[quantized].data()));
  }
  for (std::size_t i = 0; i < logits[0].size(); ++i)
    trial.distance += std::abs(double(logits[0][i]) - logits[1][i]) / double(logits[0].size());
  return trial;
}

TEST(Load, QuantizesTheHeadWhereAsked) {
  struct Case {
    const char* fixture;
    HeadDtype head;
    bool quantized;
  };
  for (const auto& [name, head, quantized] :
       {Case{"qwen3-bf16-untied", HeadDtype::fp8, true},
        Case{"qwen3-bf16-untied", HeadDtype::fp8_if_separate, true},
        Case{"qwen3-bf16-tied", HeadDtype::fp8, true},
        Case{"qwen3-bf16-tied", HeadDtype::fp8_if_separate, false},
        Case{"llama-bf16-tied", HeadDtype::fp8, true},
        Case{"qwen3-fp8-block", HeadDtype::fp8_if_separate, true}}) {
    SCOPED_TRACE(name);
    const HeadTrial trial = try_head(Fixture(name), head);
    // Odd stacks of FP8 blocks have scales that no plan foresees.
    if (std::string_view(name).find("fp8") == std::string_view::npos) {
      EXPECT_EQ(trial.bytes, trial.planned);
    }
    // Logits are of the order of 1; an FP8 weight is off by up to 1/16 of itself, and some hundred
    // of them add up.
    EXPECT_LT(trial.distance, 0.1);
    EXPECT_EQ(trial.distance > 1e-4, quantized) << trial.distance;
  }
}

std::int64_t listed_parameters(const std::string& list, bool tied) {
  std::ifstream file(std::string(ISOTOPE_TEST_DATA "/weights/") + list);
  EXPECT_TRUE(file) << list;
  std::int64_t total = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name, dtype, shape;
    std::getline(fields, name, '\t');
    std::getline(fields, dtype, '\t');
    std::getline(fields, shape, '\t');
    if (!name.ends_with(".weight") || (tied && name == "lm_head.weight")) continue;
    std::int64_t elements = 1;
    for (std::size_t at = 0; (at = shape.find_first_of("0123456789", at)) != std::string::npos;) {
      std::size_t length = 0;
      elements *= std::stoll(shape.substr(at), &length);
      at += length;
    }
    total += elements;
  }
  return total;
}

weights::ModelConfig released_config(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / name;
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(
      std::filesystem::path(ISOTOPE_TEST_DATA "/configs") / (name + ".config.json"),
      folder / "config.json", std::filesystem::copy_options::overwrite_existing);
  return weights::read_model_config(folder);
}

TEST(Load, PlannedParametersAreThoseOfReleasedCheckpoints) {
  EXPECT_EQ(plan_model(released_config("Qwen3-8B-FP8"), {}).parameters,
            listed_parameters("Qwen3-8B-FP8.tensors.tsv", false));
  EXPECT_EQ(plan_model(released_config("Qwen3-0.6B"), {}).parameters,
            listed_parameters("Qwen3-0.6B.tensors.tsv", true));
  EXPECT_EQ(plan_model(released_config("Ministral-3-3B-Instruct-2512"), {}).parameters,
            listed_parameters("Ministral-3-3B-Instruct-2512.text-tensors.tsv", true));
  EXPECT_EQ(plan_model(released_config("Ministral-3-8B-Instruct-2512"), {}).parameters,
            listed_parameters("Ministral-3-8B-Instruct-2512.text-tensors.tsv", false));
  // Published: 8,030,261,248 and 3,212,749,824.
  EXPECT_EQ(plan_model(released_config("Llama-3.1-8B"), {}).parameters, 8030261248);
  EXPECT_EQ(plan_model(released_config("Llama-3.2-3B"), {}).parameters, 3212749824);
}

}  // namespace
}  // namespace isotope::models
