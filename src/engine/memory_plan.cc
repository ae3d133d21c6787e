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
constexpr std::int64_t kMinLogits = 64, kMaxNumSeqs = 256;
constexpr std::int64_t kMaxBatchedTokens = std::int64_t(1) << 20;
constexpr std::int64_t kMaxModelLen = std::int64_t(1) << 30;
constexpr std::int64_t kMaxBlocks = std::numeric_limits<kv::BlockId>::max();
constexpr std::size_t kMaxAutomaticKv = std::size_t(4) << 30;

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

/// Sizes the pool of KV blocks.
class KvPlan {
 public:
  KvPlan(const EngineOptions& options, std::size_t block_bytes, std::size_t rest,
         std::int64_t max_model_len)
      : options_(options),
        block_bytes_(block_bytes),
        rest_(rest),
        max_model_len_(max_model_len),
        needed_(ceil_div(max_model_len, options.block_size)) {}

  std::int64_t num_blocks() const {
    if (options_.num_kv_blocks > 0) return within_rest(options_.num_kv_blocks, "--num-kv-blocks");
    if (options_.kv_memory > 0)
      return within_rest(blocks_in(options_.kv_memory), "--kv-cache-memory-bytes");
    const std::int64_t useful = checked_mul(needed_, options_.max_num_seqs, "blocks of KV cache");
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
    return "lower --max-model-len or use --kv-cache-dtype fp8";
  }

  const EngineOptions& options_;
  std::size_t block_bytes_, rest_;
  std::int64_t max_model_len_, needed_;
};

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

void validate(const EngineOptions& options) {
  check_range("--threads", options.threads, 0, 4096);
  check_range("--max-model-len", options.max_model_len, 0, kMaxModelLen);
  check_range("--max-num-seqs", options.max_num_seqs, 1, kMaxNumSeqs);
  check_range("--max-num-batched-tokens", options.max_num_batched_tokens, 1, kMaxBatchedTokens);
  check_range("--num-kv-blocks", options.num_kv_blocks, 0, kMaxBlocks);
  if (options.block_size < 8 || options.block_size > 256 ||
      !std::has_single_bit(std::uint64_t(options.block_size)))
    fail(ErrorCode::invalid_argument, "--block-size {}: expected 8, 16, 32, 64, 128 or 256",
         options.block_size);
}

MemoryPlan plan_memory(const EngineOptions& options, const PlanInput& input) {
  validate(options);
  const models::ModelInfo& model = input.model;
  MemoryPlan plan;
  plan.max_model_len = wanted_model_len(options, model);
  plan.kv = {model.num_layers,   0,
             options.block_size, model.num_kv_heads,
             model.head_dim,     options.kv_dtype == KvDtype::fp8 ? DType::f8_e4m3 : DType::bf16};
  const auto plan_steps = [&] {
    plan.limits =
        step_limits(options.max_num_batched_tokens, options.max_num_seqs, plan.max_model_len);
    plan.workspace_bytes = std::max(input.workspace_bytes(plan.limits),
                                    ops::sample_scratch(plan.limits.max_logits, model.vocab_size));
    const RunnerMemory runner =
        runner_memory(plan.limits, model.vocab_size, options.max_num_seqs, options.block_size);
    plan.items = {{"weights", input.weight_bytes},
                  {"workspace", plan.workspace_bytes},
                  {"logits", runner.logits},
                  {"step arrays", runner.steps}};
  };
  plan_steps();
  if (plan.total_bytes() > input.available_bytes)
    fail(ErrorCode::out_of_memory,
         "the model takes {} bytes (weights {}, workspace and logits {}), and {} are available; "
         "use a smaller or more quantized model, or lower --max-num-batched-tokens",
         plan.total_bytes(), input.weight_bytes, plan.total_bytes() - input.weight_bytes,
         input.available_bytes);

  const KvPlan kv(options, plan.kv.bytes_per_block(), input.available_bytes - plan.total_bytes(),
                  plan.max_model_len);
  plan.kv.num_blocks = kv.num_blocks();
  plan.max_model_len = kv.model_len(plan.kv.num_blocks);
  plan.kv_bytes = plan.kv.bytes_per_block() * std::size_t(plan.kv.num_blocks);
  plan_steps();  // shorter sequences need no more than before
  plan.items.push_back({"KV cache", plan.kv_bytes});
  return plan;
}

}  // namespace isotope::engine
