// Logits to tokens: greedy or random, with everything that the OpenAI and vLLM parameters ask for.
#pragma once

#include <cstdint>
#include <limits>

#include "ops/context.h"
#include "ops/sample/sample_params.h"

namespace isotope::ops {

constexpr std::int64_t kMaxTopLogprobs = 20;

/// All in device memory. SamplingRow (sample_params.h) holds the parameters of one row.
struct SampleBatch {
  TensorView rows;         ///< [m · sizeof(SamplingRow)] u8
  TensorView history;      ///< [*] i32: prompt and output tokens of rows with penalties
  TensorView bias_ids;     ///< [*] i32
  TensorView bias_values;  ///< [*] f32, added; -infinity bans
  /// [*, ≥ vocab / 32] i32: ids whose bit (id % 32 of word id / 32) is not set are never chosen.
  TensorView masks;
  std::int64_t vocab_limit =
      std::numeric_limits<std::int64_t>::max();  ///< ids from here on are never chosen
};

struct SampleResult {
  TensorView tokens;    ///< [m] i32
  TensorView logprobs;  ///< [m] f32: of the token, log-softmax of the unmodified logits
  TensorView ranks;     ///< [m] i32: 1 + number of tokens with a larger logit
  TensorView
      top_ids;  ///< [m, kMaxTopLogprobs] i32, most likely first (lower id first among equals)
  TensorView top_logprobs;  ///< [m, kMaxTopLogprobs] f32
};

/// logits [m, vocab] f32 (overwritten). logprobs, ranks and top_* are written only for rows that
/// ask for them. Random draws use the Gumbel-max trick with Philox4x32-10 (Salmon et al. 2011)
/// keyed by seed, counted by (counter, token id), so a draw depends on neither the batch nor the
/// order of the vocabulary. NaN counts as -infinity and is never chosen; +infinity is chosen for
/// sure. A row with neither finite nor +infinite logits gives token 0.
void sample(Context& context, const TensorView& logits, const SampleBatch& batch,
            const SampleResult& result);

std::size_t sample_scratch(std::int64_t rows, std::int64_t vocab);

}  // namespace isotope::ops
