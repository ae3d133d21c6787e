// The forms of `sample`, one row at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ops/sample/sample.h"
#include "ops/sample/sample_kernel.h"

namespace isotope::ops {

/// One row's part of a SampleBatch.
struct RowInput {
  std::span<float> logits;  ///< [vocab], overwritten
  SamplingRow params;
  std::span<const TokenId> prompt, output;
  std::span<const TokenId> bias_ids;
  std::span<const float> bias_values;
  std::span<const std::uint32_t> mask;  ///< a bit for each token; empty: all may be chosen
  std::int64_t vocab_limit;             ///< ≤ vocab
};

inline bool is_masked(std::span<const std::uint32_t> mask, std::size_t id) {
  return !(mask[id / 32] >> (id % 32) & 1);
}

/// One row's part of a SampleResult; the logprob fields are null unless asked for.
struct RowResult {
  TokenId* token;
  float* logprob;
  std::int32_t* rank;
  TokenId* top_ids;
  float* top_logprobs;
};

void sample_row_oracle(const RowInput& row, const RowResult& result);

/// `scratch` has sample_row_scratch(vocab) bytes, 64-byte aligned.
void sample_row_cpu(const SampleKernel& kernel, const RowInput& row, const RowResult& result,
                    std::byte* scratch);
std::size_t sample_row_scratch(std::int64_t vocab);

}  // namespace isotope::ops
