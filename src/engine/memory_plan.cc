#include "engine/memory_plan.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string_view>

#include "base/checked.h"
#include "base/error.h"
#include "engine/runner.h"
#include "kv/block_pool.h"
#include "ops/sample/sample.h"

namespace isotope::engine {
namespace {

/// One row of logits a sequence is needed for every decode; more let the logprobs of a prompt come
/// in larger chunks. 256 rows of a vocabulary of 150 000 are 150 MB.
constexpr std::int64_t kMinLogits = 64, kMaxNumSeqs = 512;
constexpr std::int64_t kMaxBatchedTokens = std::int64_t(1) << 20;
constexpr std::int64_t kMaxModelLen = std::int64_t(1) << 30;
constexpr std::int64_t kMaxBlocks = std::numeric_limits<kv::BlockId>::max();
constexpr std::size_t kMaxAutomaticKv = std::size_t(4) << 30;
/// On a GPU a small model would fill gigabytes with prefixes that nobody asks for again.
constexpr std::int64_t kMostUsefulKv = 4;

/// Up to here a card is short of memory for a model of 8 billion weights.
constexpr std::size_t kSmallCard = std::size_t(24) << 30;
/// Beside the plan a driver takes memory for code, printf buffers and its own queues.
constexpr std::size_t kDriverReserve = std::size_t(128) << 20;

std::size_t card_bytes(const EngineOptions& options, const PlanDevice& device) {
  return options.device_memory > 0 ? std::min(options.device_memory, device.total_bytes)
                                   : device.total_bytes;
}

/// What all items together may take.
std::size_t budget(const EngineOptions& options, const PlanDevice& device) {
  if (!device.gpu) return device.available_bytes;
  const auto part =
      std::size_t(double(card_bytes(options, device)) * options.gpu_memory_utilization);
  const std::size_t free =
      device.available_bytes - std::min(device.available_bytes, kDriverReserve);
  return std::min(part, free);
}

/// A captured graph keeps launch parameters and bookkeeping on the device: about ten kernels a
/// layer.
std::size_t graph_bytes(const EngineOptions& options, std::int64_t num_layers) {
  if (options.enforce_eager) return 0;
  constexpr std::size_t kGraph = std::size_t(1) << 20, kNode = std::size_t(4) << 10;
  return graph_sizes(options.max_num_seqs).size() *
         (kGraph + std::size_t(10 * num_layers + 8) * kNode);
}

void check_range(std::string_view flag, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high)
    fail(ErrorCode::invalid_argument, "{} {}: expected a number from {} to {}", flag, value, low,
         high);
}

std::int64_t wanted_model_len(const EngineOptions& options, const models::ModelInfo& model) {
  if (options.max_model_len == 0) return std::min(model.max_position_embeddings, kMaxModelLen);
  if (options.max_model_len > model.max_position_embeddings)
    fail(ErrorCode::invalid_argument,
         "--max-model-len {}: the model was made for at most {} tokens (max_position_embeddings)",
         options.max_model_len, model.max_position_embeddings);
  return options.max_model_len;
}

models::ComputeDtype compute_dtype(WeightDtype dtype) {
  switch (dtype) {
    case WeightDtype::automatic:
      return models::ComputeDtype::automatic;
    case WeightDtype::bf16:
      return models::ComputeDtype::bf16;
    case WeightDtype::f32:
      return models::ComputeDtype::f32;
  }
  assertion_failed("known weight dtype", __FILE__, __LINE__);
}

/// Sizes the pool of KV blocks.
class KvPlan {
 public:
  KvPlan(const EngineOptions& options, bool gpu, std::size_t block_bytes, std::size_t rest,
         std::int64_t max_model_len)
      : options_(options),
        gpu_(gpu),
        block_bytes_(block_bytes),
        rest_(rest),
        max_model_len_(max_model_len),
        needed_(ceil_div(max_model_len, options.block_size)) {}

  std::int64_t num_blocks() const {
    if (options_.num_kv_blocks > 0) return within_rest(options_.num_kv_blocks, "--num-kv-blocks");
    if (options_.kv_memory > 0)
      return within_rest(blocks_in(options_.kv_memory), "--kv-cache-memory-bytes");
    const std::int64_t useful = checked_mul(needed_, options_.max_num_seqs, "blocks of KV cache");
    if (gpu_) return std::min({kMostUsefulKv * useful, blocks_in(rest_), kMaxBlocks});
    const std::int64_t chosen =
        std::min({useful, blocks_in(std::min(rest_ / 4, kMaxAutomaticKv)), kMaxBlocks});
    if (chosen < needed_ && options_.max_model_len > 0 && needed_ <= blocks_in(rest_))
      return needed_;
    return chosen;
  }

  /// max_model_len, or what of it `num_blocks` can hold.
  std::int64_t model_len(std::int64_t num_blocks) const {
    if (num_blocks >= needed_) return max_model_len_;
    const std::int64_t held = num_blocks * options_.block_size;
    if (options_.max_model_len == 0 && held > 0) return held;
    fail(ErrorCode::out_of_memory,
         "one sequence of {} tokens takes {} blocks of KV cache ({} bytes), and there are {} "
         "({} bytes of memory are left beside the weights); {}",
         max_model_len_, needed_, std::size_t(needed_) * block_bytes_, num_blocks, rest_, advice());
  }

 private:
  std::int64_t blocks_in(std::size_t bytes) const {
    return std::int64_t(std::min(bytes / block_bytes_, std::size_t(kMaxBlocks)));
  }

  std::int64_t within_rest(std::int64_t blocks, std::string_view flag) const {
    if (blocks > blocks_in(rest_))
      fail(ErrorCode::out_of_memory,
           "{} asks for {} blocks of {} bytes; beside the weights and the workspace, {} bytes are "
           "left: at most {} blocks",
           flag, blocks, block_bytes_, rest_, blocks_in(rest_));
    return blocks;
  }

  std::string_view advice() const {
    if (options_.num_kv_blocks > 0) return "raise --num-kv-blocks or lower --max-model-len";
    if (options_.kv_memory > 0) return "raise --kv-cache-memory-bytes or lower --max-model-len";
    if (gpu_)
      return "lower --max-model-len or --max-num-batched-tokens, use --kv-cache-dtype fp8, or "
             "raise "
             "--gpu-memory-utilization";
    return "lower --max-model-len or use --kv-cache-dtype fp8";
  }

  const EngineOptions& options_;
  bool gpu_;
  std::size_t block_bytes_, rest_;
  std::int64_t max_model_len_, needed_;
};

std::string gib(std::size_t bytes) {
  return fmt::format("{} bytes ({:.2f} GiB)", bytes, double(bytes) / 0x1p30);
}

/// Before any KV cache, the plan takes more than there is.
[[noreturn]] void fail_too_large(const MemoryPlan& plan, const EngineOptions& options,
                                 const PlanInput& input) {
  const std::size_t weights = input.weight_bytes, rest = plan.total_bytes() - weights;
  if (!input.device.gpu)
    fail(ErrorCode::out_of_memory,
         "the model takes {} bytes (weights {}, workspace and logits {}), and {} are available; "
         "use a smaller or more quantized model, or lower --max-num-batched-tokens",
         plan.total_bytes(), weights, rest, plan.budget_bytes);
  const std::string limit =
      fmt::format("{} may be taken: {:.0f} % of a card with {}, of which {} are free",
                  gib(plan.budget_bytes), 100 * options.gpu_memory_utilization,
                  gib(card_bytes(options, input.device)), gib(input.device.available_bytes));
  if (weights > plan.budget_bytes)
    fail(ErrorCode::out_of_memory,
         "the weights take {}; {}. Use a smaller or more quantized model, --lm-head-dtype fp8 or "
         "--embedding-in-host yes, or raise --gpu-memory-utilization",
         gib(weights), limit);
  fail(ErrorCode::out_of_memory,
       "beside the weights ({}) a step takes {}; {}. Lower --max-num-batched-tokens or "
       "--max-num-seqs, or raise --gpu-memory-utilization",
       gib(weights), gib(rest), limit);
}

}  // namespace

std::size_t MemoryPlan::total_bytes() const {
  std::size_t total = 0;
  for (const MemoryItem& item : items) total += item.bytes;
  return total;
}

models::StepLimits step_limits(std::int64_t max_num_batched_tokens, std::int64_t max_num_seqs,
                               std::int64_t max_model_len) {
  models::StepLimits limits;
  limits.max_rows = std::max(max_num_batched_tokens, max_num_seqs);
  limits.max_logits = std::max(max_num_seqs, kMinLogits);
  limits.max_context = max_model_len;
  return limits;
}

std::vector<std::int64_t> graph_sizes(std::int64_t max_num_seqs) {
  std::vector<std::int64_t> sizes;
  for (const std::int64_t size : {1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 256, 512})
    if (size < max_num_seqs) sizes.push_back(size);
  sizes.push_back(max_num_seqs);
  return sizes;
}

PlanDevice plan_device(const device::Device& device) {
  const device::MemoryInfo memory = device.memory();
  return {device.kind() != device::Kind::cpu, memory.total, memory.available};
}

std::int64_t batched_tokens(const EngineOptions& options, const PlanDevice& device) {
  if (options.max_num_batched_tokens) return *options.max_num_batched_tokens;
  if (!device.gpu) return 512;
  return card_bytes(options, device) <= kSmallCard ? 1024 : 2048;
}

models::LoadOptions load_options(const EngineOptions& options, const PlanDevice& device) {
  const std::size_t card = card_bytes(options, device);
  models::LoadOptions load;
  load.dtype = compute_dtype(options.dtype);
  load.progress = options.progress;
  if (options.head_dtype == HeadDtype::fp8)
    load.head = models::HeadDtype::fp8;
  else if (options.head_dtype == HeadDtype::automatic && device.gpu && card < kSmallCard)
    load.head = models::HeadDtype::fp8_if_separate;
  load.embedding_in_host = options.embedding_in_host == EmbeddingInHost::automatic
                               ? device.gpu && card <= kSmallCard
                               : options.embedding_in_host == EmbeddingInHost::yes;
  return load;
}

std::size_t step_workspace(std::size_t model_bytes, const models::StepLimits& limits,
                           std::int64_t vocab_size) {
  return std::max(model_bytes, ops::sample_scratch(limits.max_logits, vocab_size));
}

void validate(const EngineOptions& options) {
  check_range("--threads", options.threads, 0, 4096);
  check_range("--max-model-len", options.max_model_len, 0, kMaxModelLen);
  check_range("--max-num-seqs", options.max_num_seqs, 1, kMaxNumSeqs);
  if (options.max_num_batched_tokens)
    check_range("--max-num-batched-tokens", *options.max_num_batched_tokens, 1, kMaxBatchedTokens);
  check_range("--num-kv-blocks", options.num_kv_blocks, 0, kMaxBlocks);
  if (options.block_size < 8 || options.block_size > 256 ||
      !std::has_single_bit(std::uint64_t(options.block_size)))
    fail(ErrorCode::invalid_argument, "--block-size {}: expected 8, 16, 32, 64, 128 or 256",
         options.block_size);
  if (!(options.gpu_memory_utilization > 0 && options.gpu_memory_utilization <= 1))
    fail(ErrorCode::invalid_argument,
         "--gpu-memory-utilization {}: expected a number above 0 and at most 1",
         options.gpu_memory_utilization);
}

MemoryPlan plan_memory(const EngineOptions& options, const PlanInput& input) {
  validate(options);
  const models::ModelInfo& model = input.model;
  MemoryPlan plan;
  plan.host_bytes = input.host_bytes;
  plan.budget_bytes = budget(options, input.device);
  plan.max_model_len = wanted_model_len(options, model);
  plan.kv = {model.num_layers,   0,
             options.block_size, model.num_kv_heads,
             model.head_dim,     options.kv_dtype == KvDtype::fp8 ? DType::f8_e4m3 : DType::bf16};
  const auto plan_steps = [&] {
    plan.limits = step_limits(batched_tokens(options, input.device), options.max_num_seqs,
                              plan.max_model_len);
    plan.limits.gpu = input.device.gpu;
    plan.workspace_bytes =
        step_workspace(input.workspace_bytes(plan.limits), plan.limits, model.vocab_size);
    const RunnerMemory runner =
        runner_memory(plan.limits, model.vocab_size, options.max_num_seqs, plan.kv);
    plan.items = {{"weights", input.weight_bytes},
                  {"workspace", plan.workspace_bytes},
                  {"logits", runner.logits},
                  {"step arrays", runner.steps}};
    if (input.device.gpu) plan.items.push_back({"graphs", graph_bytes(options, model.num_layers)});
  };
  plan_steps();
  if (plan.total_bytes() > plan.budget_bytes) fail_too_large(plan, options, input);

  const KvPlan kv(options, input.device.gpu, plan.kv.bytes_per_block(),
                  plan.budget_bytes - plan.total_bytes(), plan.max_model_len);
  plan.kv.num_blocks = kv.num_blocks();
  plan.max_model_len = kv.model_len(plan.kv.num_blocks);
  plan.kv_bytes = plan.kv.bytes_per_block() * std::size_t(plan.kv.num_blocks);
  plan_steps();  // shorter sequences need no more than before
  plan.items.push_back({"KV cache", plan.kv_bytes});
  return plan;
}

MemoryPlan plan_memory(const EngineOptions& options, const weights::ModelConfig& config,
                       const PlanDevice& device) {
  validate(options);
  const models::ModelPlan model =
      models::plan_model(config, load_options(options, device), device.gpu);
  return plan_memory(
      options, {model.info, model.weight_bytes, model.host_bytes, model.workspace_bytes, device});
}

}  // namespace isotope::engine
