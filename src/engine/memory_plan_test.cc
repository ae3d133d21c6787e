#include "engine/memory_plan.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "device/gpu.h"
#include "ops/context.h"
#include "weights/config.h"
#include "weights/dummy.h"

namespace isotope::engine {
namespace {

constexpr std::size_t kGiB = std::size_t(1) << 30;

/// 36 layers, 8 KV heads of 128: the shape of Qwen3-8B, 144 KiB of BF16 KV a token.
PlanInput input(std::size_t available) {
  PlanInput input;
  input.model.num_layers = 36;
  input.model.num_kv_heads = 8;
  input.model.head_dim = 128;
  input.model.vocab_size = 151936;
  input.model.max_position_embeddings = 40960;
  input.weight_bytes = 9 * kGiB;
  input.workspace_bytes = [](const models::StepLimits& limits) {
    return std::size_t(limits.max_rows) * 100000 + std::size_t(limits.max_context);
  };
  input.device.available_bytes = available;
  return input;
}

std::string error_of(const EngineOptions& options, const PlanInput& in,
                     ErrorCode code = ErrorCode::out_of_memory) {
  try {
    plan_memory(options, in);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  return "no error";
}

TEST(MemoryPlan, TakesFourGibibytesForKvAndLowersTheLengthToWhatFits) {
  const MemoryPlan plan = plan_memory({}, input(64 * kGiB));
  // 4 GiB / (16 · 144 KiB) = 1820.4 blocks.
  EXPECT_EQ(plan.kv.bytes_per_block(), 16u * 144 * 1024);
  EXPECT_EQ(plan.kv.num_blocks, 1820);
  EXPECT_EQ(plan.max_model_len, 1820 * 16);
  EXPECT_EQ(plan.kv_tokens(), 29120);
  EXPECT_EQ(plan.limits.max_context, 29120);
  EXPECT_EQ(plan.limits.max_rows, 512);
  EXPECT_EQ(plan.limits.max_logits, 64);
  EXPECT_EQ(plan.workspace_bytes, 512u * 100000 + 29120);
  ASSERT_EQ(plan.items.size(), 5u);
  EXPECT_EQ(plan.items[0].bytes, 9 * kGiB);
  EXPECT_EQ(plan.items[2].bytes, 64u * 151936 * 4);
  EXPECT_EQ(plan.items[4].bytes, plan.kv_bytes);
  std::size_t total = 0;
  for (const MemoryItem& item : plan.items) total += item.bytes;
  EXPECT_EQ(plan.total_bytes(), total);
}

TEST(MemoryPlan, TakesNoMoreThanAQuarterOfWhatIsLeft) {
  const MemoryPlan plan = plan_memory({}, input(12 * kGiB));
  const std::size_t fixed = plan.total_bytes() - plan.kv_bytes;
  EXPECT_LE(plan.kv_bytes, (12 * kGiB - fixed) / 4);
  EXPECT_GT(plan.kv_bytes, (12 * kGiB - fixed) / 4 - 2 * plan.kv.bytes_per_block());
}

TEST(MemoryPlan, TakesNoMoreThanTheSequencesCanUse) {
  EngineOptions options;
  options.max_model_len = 100;  // 7 blocks of 16
  options.max_num_seqs = 3;
  EXPECT_EQ(plan_memory(options, input(64 * kGiB)).kv.num_blocks, 21);
  options.kv_dtype = KvDtype::fp8;  // and one scale for each token and head
  EXPECT_EQ(plan_memory(options, input(64 * kGiB)).kv.bytes_per_block(),
            16u * 36 * 8 * 2 * (128 + 4));
}

TEST(MemoryPlan, HoldsOneSequenceOfARequestedLengthIfMemoryAllows) {
  EngineOptions options;
  options.max_model_len = 40960;  // 5.6 GiB of KV
  EXPECT_EQ(plan_memory(options, input(64 * kGiB)).kv.num_blocks, 2560);
  const std::string error = error_of(options, input(12 * kGiB));
  EXPECT_NE(error.find("--max-model-len"), std::string::npos) << error;
  EXPECT_NE(error.find("40960"), std::string::npos) << error;
  EXPECT_NE(error.find("--kv-cache-dtype fp8"), std::string::npos) << error;
}

TEST(MemoryPlan, ObeysARequestedPool) {
  EngineOptions options;
  options.num_kv_blocks = 5;
  EXPECT_EQ(plan_memory(options, input(64 * kGiB)).kv.num_blocks, 5);
  EXPECT_EQ(plan_memory(options, input(64 * kGiB)).max_model_len, 80);
  options.max_model_len = 81;
  EXPECT_NE(error_of(options, input(64 * kGiB)).find("--num-kv-blocks"), std::string::npos);
  options = {};
  options.kv_memory = kGiB;
  EXPECT_EQ(plan_memory(options, input(64 * kGiB)).kv.num_blocks, 455);
  options.kv_memory = 1000;
  EXPECT_NE(error_of(options, input(64 * kGiB)).find("--kv-cache-memory-bytes"), std::string::npos);
  options.kv_memory = 60 * kGiB;
  EXPECT_NE(error_of(options, input(64 * kGiB)).find("--kv-cache-memory-bytes"), std::string::npos);
  options = {};
  options.num_kv_blocks = 1 << 30;
  EXPECT_NE(error_of(options, input(64 * kGiB)).find("--num-kv-blocks"), std::string::npos);
}

TEST(MemoryPlan, WeightsThatDoNotFitAreRefusedWithNumbers) {
  const std::string error = error_of({}, input(8 * kGiB));
  EXPECT_NE(error.find(std::to_string(9 * kGiB)), std::string::npos) << error;
  EXPECT_NE(error.find(std::to_string(8 * kGiB)), std::string::npos) << error;
}

/// A card with `total` bytes, of which the driver has taken some.
PlanDevice card(std::size_t total) { return {true, total, total - (std::size_t(200) << 20)}; }

weights::ModelConfig released(const char* name) {
  return weights::read_model_config(std::string(ISOTOPE_TEST_DATA "/configs/") + name +
                                    ".config.json");
}

TEST(GpuMemoryPlan, QwenOfEightBillionFitsSixteenGibibytesWithRoomForLongPrompts) {
  const weights::ModelConfig config = released("Qwen3-8B-FP8");
  EngineOptions options;
  MemoryPlan plan = plan_memory(options, config, card(16 * kGiB));
  EXPECT_GE(plan.kv_tokens(), 45'000);
  EXPECT_EQ(plan.max_model_len, 40'960);
  EXPECT_EQ(plan.limits.max_rows, 1024);
  // The layers in FP8 with their scales, an FP8 head, and the norms; the embedding table is in host
  // memory.
  const double layers = 36 * (6144.0 + 4096 + 24576 + 12288) * 4096;
  const double head = 151936.0 * (4096 + 4);
  EXPECT_NEAR(double(plan.items[0].bytes), layers * (1 + 4.0 / 1024) + head, 3e6);
  EXPECT_EQ(plan.host_bytes, 151936u * 4096 * 2);
  EXPECT_LE(plan.total_bytes(), std::size_t(0.9 * 16 * double(kGiB)));
  EXPECT_GT(plan.total_bytes(), plan.budget_bytes - 2 * plan.kv.bytes_per_block());
  options.kv_dtype = KvDtype::fp8;
  EXPECT_GE(plan_memory(options, config, card(16 * kGiB)).kv_tokens(), 90'000);
  // As much on a larger card that is used as one of 16 GiB.
  options = {};
  options.device_memory = 16 * kGiB;
  EXPECT_EQ(plan_memory(options, config, card(80 * kGiB)).kv_tokens(), plan.kv_tokens());
}

TEST(GpuMemoryPlan, ChoosesByTheSizeOfTheCard) {
  const weights::ModelConfig config = released("Qwen3-8B-FP8");
  const MemoryPlan large = plan_memory({}, config, card(80 * kGiB));
  EXPECT_EQ(large.limits.max_rows, 2048);
  EXPECT_EQ(large.host_bytes, 0u);
  EXPECT_GT(large.items[0].bytes, std::size_t(6.9e9 + 2 * 1.24e9));
  EXPECT_EQ(load_options({}, card(80 * kGiB)).head, models::HeadDtype::stored);
  EXPECT_EQ(load_options({}, card(24 * kGiB)).head, models::HeadDtype::stored);
  EXPECT_TRUE(load_options({}, card(24 * kGiB)).embedding_in_host);
  EXPECT_EQ(load_options({}, card(16 * kGiB)).head, models::HeadDtype::fp8_if_separate);
  EXPECT_EQ(load_options({}, {.available_bytes = kGiB}).head, models::HeadDtype::stored);
  EngineOptions options;
  options.head_dtype = HeadDtype::fp8;
  options.embedding_in_host = EmbeddingInHost::no;
  EXPECT_EQ(load_options(options, card(80 * kGiB)).head, models::HeadDtype::fp8);
  EXPECT_FALSE(load_options(options, card(16 * kGiB)).embedding_in_host);
  options.max_num_batched_tokens = 300;
  EXPECT_EQ(plan_memory(options, config, card(80 * kGiB)).limits.max_rows, 300);
}

TEST(GpuMemoryPlan, ATiedTableIsKeptOnceUnlessAnFp8HeadIsAskedFor) {
  const weights::ModelConfig config = released("Qwen3-0.6B-FP8");
  const std::size_t table = 151936u * 1024 * 2;
  const MemoryPlan small = plan_memory({}, config, card(16 * kGiB));
  EXPECT_EQ(small.host_bytes, 0u);
  EngineOptions options;
  options.head_dtype = HeadDtype::fp8;
  const MemoryPlan twice = plan_memory(options, config, card(16 * kGiB));
  EXPECT_EQ(twice.host_bytes, table);
  EXPECT_EQ(twice.items[0].bytes, small.items[0].bytes - table + 151936u * (1024 + 4));
}

TEST(GpuMemoryPlan, CountsTheWeightsThatAreLoaded) {
  struct Case {
    const char* model;
    const char* arch;
    models::HeadDtype head;
    bool in_host;
  };
  using models::HeadDtype;
  for (const auto& [name, arch, head, in_host] :
       {Case{"Qwen3-8B-FP8", "gfx1201", HeadDtype::stored, true},
        Case{"Qwen3-8B-FP8", "sm_90a", HeadDtype::stored, false},
        Case{"Qwen3-0.6B", "sm_90a", HeadDtype::stored, true},
        Case{"Ministral-3-8B-Instruct-2512", "gfx1201", HeadDtype::stored, true},
        Case{"Ministral-3-3B-Reasoning-2512", "sm_80", HeadDtype::stored, false},
        Case{"Llama-3.2-3B", "sm_80", HeadDtype::fp8_if_separate, true}}) {
    const weights::ModelConfig config = released(name);
    const auto paper = device::open_paper_gpu(arch, std::size_t(1) << 40);
    ops::Context context(*paper, 0);
    models::LoadOptions options;
    options.head = head;
    options.embedding_in_host = in_host;
    models::LoadReport report;
    models::load_model(context, config, *weights::make_shape_source(config), options, report);
    const models::ModelPlan plan = models::plan_model(config, options, true);
    EXPECT_EQ(report.weight_bytes, plan.weight_bytes) << name << " on " << arch;
    EXPECT_EQ(report.host_bytes, plan.host_bytes) << name << " on " << arch;
  }
}

TEST(GpuMemoryPlan, SaysWhatDoesNotFitAndWhichFlagHelps) {
  const weights::ModelConfig config = released("Qwen3-8B-FP8");
  const auto error = [&](const EngineOptions& options, std::size_t total) -> std::string {
    try {
      plan_memory(options, config, card(total));
    } catch (const Error& caught) {
      EXPECT_EQ(caught.code(), ErrorCode::out_of_memory);
      return caught.what();
    }
    return "no error";
  };
  const auto names = [](const std::string& text, std::initializer_list<const char*> words) {
    for (const char* word : words)
      EXPECT_NE(text.find(word), std::string::npos) << word << " in: " << text;
  };
  names(error({}, 7 * kGiB), {"the weights take", "7.00 GiB", "--gpu-memory-utilization"});
  EngineOptions wide;
  wide.max_num_batched_tokens = 1 << 20;
  names(error(wide, 16 * kGiB), {"beside the weights", "--max-num-batched-tokens"});
  EngineOptions longest;
  longest.max_model_len = 40960;
  names(error(longest, 10 * kGiB), {"40960", "--kv-cache-dtype fp8", "--max-model-len"});
  EngineOptions blocks;
  blocks.num_kv_blocks = 100'000;
  names(error(blocks, 16 * kGiB), {"--num-kv-blocks"});
}

TEST(GpuMemoryPlan, GraphsCoverEveryBatch) {
  EXPECT_EQ(graph_sizes(1), std::vector<std::int64_t>{1});
  EXPECT_EQ(graph_sizes(20), (std::vector<std::int64_t>{1, 2, 4, 8, 16, 20}));
  EXPECT_EQ(graph_sizes(512),
            (std::vector<std::int64_t>{1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 256, 512}));
}

TEST(EngineOptions, AreCheckedOneByOne) {
  const auto refused = [](auto change, const char* flag) {
    EngineOptions options;
    change(options);
    const std::string error = error_of(options, input(64 * kGiB), ErrorCode::invalid_argument);
    EXPECT_TRUE(error.starts_with(flag)) << error;
  };
  for (const std::int64_t size : {0, -16, 4, 12, 100, 512})
    refused([size](EngineOptions& o) { o.block_size = size; }, "--block-size");
  for (const std::int64_t count : {0, -1, 513})
    refused([count](EngineOptions& o) { o.max_num_seqs = count; }, "--max-num-seqs");
  for (const std::int64_t count : {std::int64_t(0), std::int64_t(1) << 40})
    refused([count](EngineOptions& o) { o.max_num_batched_tokens = count; },
            "--max-num-batched-tokens");
  refused([](EngineOptions& o) { o.max_model_len = -1; }, "--max-model-len");
  refused([](EngineOptions& o) { o.max_model_len = 40961; }, "--max-model-len");
  refused([](EngineOptions& o) { o.num_kv_blocks = -5; }, "--num-kv-blocks");
  refused([](EngineOptions& o) { o.num_kv_blocks = std::int64_t(1) << 33; }, "--num-kv-blocks");
  refused([](EngineOptions& o) { o.threads = -1; }, "--threads");
  for (const double part : {0.0, -0.5, 1.01, std::nan("")})
    refused([part](EngineOptions& o) { o.gpu_memory_utilization = part; },
            "--gpu-memory-utilization");
}

}  // namespace
}  // namespace isotope::engine
