// What memory will be taken for, decided before any is taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "device/device.h"
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
  /// Weights, workspace, logits, step arrays, graphs (GPUs), KV cache.
  std::vector<MemoryItem> items;
  std::size_t host_bytes = 0;    ///< of weights in page-locked host memory, beside the items
  std::size_t budget_bytes = 0;  ///< what all items together may take
  models::StepLimits limits;
  std::int64_t max_model_len = 0;
  ops::KvCacheShape kv;
  std::size_t workspace_bytes = 0, kv_bytes = 0;

  std::int64_t kv_tokens() const { return kv.num_blocks * kv.block_size; }
  std::size_t total_bytes() const;
};

/// The memory that a plan may use.
struct PlanDevice {
  bool gpu = false;
  std::size_t total_bytes = 0;      ///< of a GPU
  std::size_t available_bytes = 0;  ///< before the weights are loaded
};
PlanDevice plan_device(const device::Device& device);

/// What a plan depends on beside the options.
struct PlanInput {
  models::ModelInfo model;
  std::size_t weight_bytes = 0;
  std::size_t host_bytes = 0;
  /// As Model::workspace_bytes.
  std::function<std::size_t(const models::StepLimits&)> workspace_bytes;
  PlanDevice device;
};

/// The largest step under the options, with sequences up to `max_model_len`.
models::StepLimits step_limits(std::int64_t max_num_batched_tokens, std::int64_t max_num_seqs,
                               std::int64_t max_model_len);

/// Workspace for model and sampler.
std::size_t step_workspace(std::size_t model_bytes, const models::StepLimits& limits,
                           std::int64_t vocab_size);

/// Errors: invalid_argument naming the flag, the value and the range.
void validate(const EngineOptions& options);

/// Rows in one step, asked for or chosen for the device.
std::int64_t batched_tokens(const EngineOptions& options, const PlanDevice& device);

/// How the model is loaded: dtype of the head and place of the embedding follow the device where
/// nothing else was asked for.
models::LoadOptions load_options(const EngineOptions& options, const PlanDevice& device);

/// KV blocks come from --num-kv-blocks, or --kv-cache-memory-bytes, or are chosen. On a CPU: no
/// more than max_num_seqs sequences of max_model_len can use, than a quarter of the memory that is
/// left, and than 4 GiB. On a GPU: all that is left of --gpu-memory-utilization times its memory
/// (or
/// --device-memory), but not more than four times what max_num_seqs sequences can use. The pool
/// holds at least one sequence of max_model_len: if it cannot, max_model_len is lowered if nobody
/// asked for it; else the pool is enlarged if nobody asked for its size and memory allows; else the
/// Error (out_of_memory) says which flag helps.
MemoryPlan plan_memory(const EngineOptions& options, const PlanInput& input);

/// The plan for a model that is not loaded: what Engine will take, and what `isotope info` prints.
MemoryPlan plan_memory(const EngineOptions& options, const weights::ModelConfig& config,
                       const PlanDevice& device);

/// Batch sizes for which decode steps are captured as graphs: 1, 2, 4, 8, 16, 32, 48, 64, 96, 128,
/// 256, 512 below `max_num_seqs`, and that itself.
std::vector<std::int64_t> graph_sizes(std::int64_t max_num_seqs);

}  // namespace isotope::engine
