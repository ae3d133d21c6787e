// Logits to tokens: greedy or random, with everything that the OpenAI and vLLM parameters ask for.
#pragma once

#include <cstdint>
#include <limits>

#include "ops/context.h"

namespace isotope::ops {

constexpr std::int64_t kMaxTopLogprobs = 20;

/// Parameters of one row. Order of effect: penalties, bias (also bans), temperature, top-k, top-p,
/// min-p, draw.
struct SamplingRow {
  float temperature = 0.0f;         ///< 0: greedy (lowest id among equals)
  std::int32_t top_k = 0;           ///< 0: all
  float top_p = 1.0f;               ///< smallest set of most likely tokens with at least this
                                    ///< mass of what top-k keeps; lower ids first among equals
  float min_p = 0.0f;               ///< drop tokens less likely than min_p times the likeliest
  float repetition_penalty = 1.0f;  ///< logits of tokens in prompt or output: /p if > 0, ·p if < 0
  float presence_penalty = 0.0f;    ///< subtracted once for tokens in the output
  float frequency_penalty = 0.0f;   ///< subtracted per occurrence in the output
  std::int32_t num_top_logprobs =
      -1;                     ///< -1: no logprobs; 0: of the chosen token; up to kMaxTopLogprobs
  TokenId forced_token = -1;  ///< ≥ 0: take this one (logprobs of a given prompt)
  std::uint64_t seed = 0;     ///< with `counter`, the whole source of randomness
  std::uint64_t counter = 0;  ///< position of the token to draw
  /// Ranges into SampleBatch's ragged arrays.
  std::int32_t prompt_begin = 0, prompt_end = 0, output_begin = 0, output_end = 0;
  std::int32_t bias_begin = 0, bias_end = 0;
};

/// All in device memory.
struct SampleBatch {
  TensorView rows;         ///< [m · sizeof(SamplingRow)] u8
  TensorView history;      ///< [*] i32: prompt and output tokens of rows with penalties
  TensorView bias_ids;     ///< [*] i32
  TensorView bias_values;  ///< [*] f32, added; -infinity bans
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
