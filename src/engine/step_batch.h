// A step written out as the arrays that kernels read, in host memory.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/scheduler.h"
#include "ops/sample/sample.h"

namespace isotope::engine {

/// What a row of logits is for.
struct LogitUse {
  Sequence* sequence = nullptr;
  /// The logits of `position` decide or judge the token at position + 1.
  std::int64_t position = 0;
  bool samples = false;       ///< the next token of the answer; else a prompt logprob
  std::int32_t num_top = -1;  ///< alternatives wanted; -1: no logprobs
};

/// Names and shapes as in ops::Batch and ops::SampleBatch; cleared and filled again for each step,
/// so that nothing is allocated once the largest step has been seen.
struct StepBatch {
  std::vector<std::int32_t> token_ids, positions, row_seq, seq_begin, context_lens, block_tables;
  std::vector<std::int64_t> slots;
  std::vector<std::int32_t> logit_rows;
  std::int64_t table_width = 0;

  std::vector<LogitUse> uses;  // one for each of logit_rows
  std::vector<ops::SamplingRow> sampling;
  std::vector<std::int32_t> history, bias_ids;
  std::vector<float> bias_values;
  /// Sequences whose next token is constrained; SamplingRow::mask counts them.
  std::vector<Sequence*> constrained;

  void fill(const Step& step, std::int64_t block_size);
  /// Whether it may be padded: each sequence has one row, and each row has logits.
  bool plain_decode() const {
    return token_ids.size() == context_lens.size() && token_ids.size() == logit_rows.size();
  }
  /// Adds idle rows (ops/batch.h) up to `rows`; their logits are computed and looked at by nobody.
  void pad(std::int64_t rows);

 private:
  void clear();
  void add_rows(const Chunk& chunk, std::int64_t block_size);
  void add_logits(const Chunk& chunk);
  void add_sampling(Sequence& sequence);
};

}  // namespace isotope::engine
