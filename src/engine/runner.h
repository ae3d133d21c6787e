// Runs a step on the device: arrays up, forward, sampling, tokens back.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "engine/step_batch.h"
#include "models/model.h"
#include "ops/context.h"
#include "ops/kv_cache.h"

namespace isotope::engine {

/// What came of one row of logits.
struct RowResult {
  Sequence* sequence = nullptr;
  bool samples = false;  ///< as LogitUse
  TokenOutput output;
};

/// Device memory for an array of the step. It grows when a step needs more (only the arrays with
/// one entry for each past token do), and never shrinks.
class DeviceArray {
 public:
  DeviceArray(device::Device& device, std::size_t bytes);
  /// The values as a tensor in device memory, valid until the next upload. `values` must stay until
  /// the stream is synchronised.
  template <typename T>
  TensorView upload(const std::vector<T>& values, const Shape& shape);

 private:
  void* store(const void* data, std::size_t bytes);

  device::Device* device_;
  device::Buffer buffer_;
};

/// Bytes that a Runner takes from the device beside the workspace.
struct RunnerMemory {
  std::size_t logits = 0, steps = 0;
};
RunnerMemory runner_memory(const models::StepLimits& limits, std::int64_t vocab_size,
                           std::int64_t max_seqs, std::int64_t block_size);

class Runner {
 public:
  /// All references must outlive the runner; `context` has the workspace of model and sampler.
  Runner(ops::Context& context, const models::Model& model, const ops::KvCache& kv,
         const models::StepLimits& limits, std::int64_t max_seqs);

  /// Ids at or above `limit` are never sampled.
  void set_vocab_limit(std::int64_t limit) { vocab_limit_ = limit; }

  /// Computes the step. The results are in the order of rows, so that those of one sequence come in
  /// the order of their positions; valid until the next call.
  std::span<RowResult> run(const Step& step);

 private:
  ops::Batch upload_batch(const Step& step);
  void sample(const TensorView& logits);
  void read_back();

  ops::Context* context_;
  const models::Model* model_;
  const ops::KvCache* kv_;
  std::int64_t vocab_limit_ = std::numeric_limits<std::int64_t>::max();

  StepBatch host_;
  DeviceArray token_ids_, positions_, slots_, row_seq_, seq_begin_, context_lens_, block_tables_,
      logit_rows_, sampling_, history_, bias_ids_, bias_values_;
  device::Buffer logits_, tokens_, logprobs_, ranks_, top_ids_, top_logprobs_;
  std::vector<std::int32_t> host_tokens_, host_ranks_, host_top_ids_;
  std::vector<float> host_logprobs_, host_top_logprobs_;
  std::vector<RowResult> results_;
};

}  // namespace isotope::engine
