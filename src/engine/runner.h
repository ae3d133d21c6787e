// Runs a step on the device: arrays up, forward, sampling, tokens back.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "device/gpu.h"
#include "engine/step_arrays.h"
#include "engine/step_batch.h"
#include "models/model.h"
#include "ops/context.h"
#include "ops/gpu/kernel_library.h"
#include "ops/kv_cache.h"
#include "ops/profiler.h"

namespace isotope::engine {

/// What came of one row of logits.
struct RowResult {
  Sequence* sequence = nullptr;
  bool samples = false;  ///< as LogitUse
  TokenOutput output;
};

/// Bytes that a Runner takes from the device beside the workspace.
struct RunnerMemory {
  std::size_t logits = 0, steps = 0;
};
RunnerMemory runner_memory(const models::StepLimits& limits, std::int64_t vocab_size,
                           std::int64_t max_seqs, const ops::KvCacheShape& kv);

/// For tests of what idle rows may do: every step begins with a workspace full of NaN, and in
/// captured steps the residual rows from `first_idle_row` on are NaN after the embedding.
struct Poison {
  std::int64_t first_idle_row = -1;  ///< -1: no poison
};

class Runner {
 public:
  /// All references must outlive the runner; `context` has the workspace of model and sampler.
  Runner(ops::Context& context, const models::Model& model, const ops::KvCache& kv,
         const models::StepLimits& limits, std::int64_t max_seqs);

  /// The kernels that steps within the limits take. On GPUs, before anything else; nothing is
  /// launched.
  std::vector<jit::Unit> required_kernels();

  /// On GPUs: captures a decode step of each size (ascending; each is run once before). From then
  /// on a step of plain decodes is padded up to the next size and replayed. progress(done, total,
  /// name).
  void capture(
      std::span<const std::int64_t> sizes,
      const std::function<void(std::int64_t, std::int64_t, std::string_view)>& progress = {});
  void set_poison(const Poison& poison) { poison_ = poison; }
  /// Steps run while it is enabled are profiled, and are not replayed from a graph. It must outlive the runner.
  void set_profiler(ops::Profiler* profiler) { profiler_ = profiler; }

  /// Ids at or above `limit` are never sampled.
  void set_vocab_limit(std::int64_t limit) { vocab_limit_ = limit; }

  /// Queues a step on the device; on a CPU it is done when this returns. finish() must follow.
  void start(const Step& step);
  /// Waits for the step. The results are in the order of rows, so that those of one sequence come
  /// in the order of their positions; valid until the next step.
  std::span<RowResult> finish();
  /// After an error in one of these: waits until the device has left the step's memory.
  void abandon() noexcept;

  /// Steps that were replayed from a graph.
  std::int64_t replayed() const { return replayed_; }

 private:
  struct CapturedStep {
    std::int64_t rows;
    std::unique_ptr<device::Graph> graph;
  };

  const CapturedStep* find_graph(const Step& step) const;
  void begin_profile(const Step& step);
  void forward(const ops::Batch& batch);
  void note_step(ops::Rows rows, std::int64_t num_seqs, std::int64_t num_logits);
  void note_sampling();
  void fill_masks();
  ThreadPool& mask_pool();
  void sample();
  void take_results();
  TensorView logits(std::int64_t rows) const;
  device::Gpu& gpu() const { return static_cast<device::Gpu&>(context_->device()); }

  ops::Context* context_;
  const models::Model* model_;
  const ops::KvCache* kv_;
  models::StepLimits limits_;
  std::int64_t max_seqs_;
  std::int64_t vocab_limit_ = std::numeric_limits<std::int64_t>::max();

  StepBatch host_;
  StepArrays arrays_;
  StepResults sampled_;
  device::Buffer logits_;
  std::vector<CapturedStep> graphs_;  // by size
  Poison poison_;
  ops::Profiler* profiler_ = nullptr;
  std::int64_t replayed_ = 0;
  std::vector<RowResult> results_;
  std::unique_ptr<ThreadPool> mask_pool_;  // on GPUs, once a request has a constraint
};

}  // namespace isotope::engine
