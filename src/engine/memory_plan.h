// What memory will be taken for, decided before any is taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "models/model.h"
#include "ops/kv_cache.h"
#include "weights/config.h"

namespace isotope::engine {

struct MemoryItem {
  std::string what;
  std::size_t bytes = 0;
};

struct MemoryPlan {
  std::vector<MemoryItem> items;  ///< weights, workspace, logits, step arrays, KV cache
  models::StepLimits limits;
  std::int64_t max_model_len = 0;
  ops::KvCacheShape kv;
  std::size_t workspace_bytes = 0, kv_bytes = 0;

  std::int64_t kv_tokens() const { return kv.num_blocks * kv.block_size; }
  std::size_t total_bytes() const;
};

/// What a plan depends on beside the options.
struct PlanInput {
  models::ModelInfo model;
  std::size_t weight_bytes = 0;
  /// As Model::workspace_bytes.
  std::function<std::size_t(const models::StepLimits&)> workspace_bytes;
  std::size_t available_bytes = 0;  ///< before the weights are loaded
};

/// The largest step under the options, with sequences up to `max_model_len`.
models::StepLimits step_limits(std::int64_t max_num_batched_tokens, std::int64_t max_num_seqs,
                               std::int64_t max_model_len);

/// Errors: invalid_argument naming the flag, the value and the range.
void validate(const EngineOptions& options);

/// KV blocks come from --num-kv-blocks, or --kv-cache-memory-bytes, or are chosen: no more than
/// max_num_seqs sequences of max_model_len can use, than a quarter of the memory that is left, and
/// than 4 GiB. The pool holds at least one sequence of max_model_len: if it cannot, max_model_len
/// is lowered if nobody asked for it; else the pool is enlarged if nobody asked for its size and
/// memory allows; else the Error (out_of_memory) says which flag helps.
MemoryPlan plan_memory(const EngineOptions& options, const PlanInput& input);

/// The plan for a model that is not loaded: what Engine will take, and what `isotope info` prints.
MemoryPlan plan_memory(const EngineOptions& options, const weights::ModelConfig& config,
                       std::size_t available_bytes);

}  // namespace isotope::engine
