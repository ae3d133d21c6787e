// What host and device code of `sample` share.
#pragma once

namespace isotope::ops {

/// Parameters of one row, uploaded as bytes. Order of effect: penalties, bias (also bans),
/// mask, temperature, top-k, top-p, min-p, draw.
struct SamplingRow {
  float temperature = 0.0f;         ///< 0: greedy (lowest id among equals)
  int top_k = 0;                    ///< 0: all
  float top_p = 1.0f;               ///< smallest set of most likely tokens with at least this
                                    ///< mass of what top-k keeps; lower ids first among equals
  float min_p = 0.0f;               ///< drop tokens less likely than min_p times the likeliest
  float repetition_penalty = 1.0f;  ///< logits of tokens in prompt or output: /p if > 0, ·p if < 0
  float presence_penalty = 0.0f;    ///< subtracted once for tokens in the output
  float frequency_penalty = 0.0f;   ///< subtracted per occurrence in the output
  int num_top_logprobs = -1;        ///< -1: no logprobs; 0: of the chosen token; up to
                                    ///< kMaxTopLogprobs
  int forced_token = -1;            ///< ≥ 0: take this one (logprobs of a given prompt)
  int mask = -1;                    ///< ≥ 0: a row of SampleBatch::masks
  unsigned long long seed = 0;      ///< with `counter`, the whole source of randomness
  unsigned long long counter = 0;   ///< position of the token to draw
  /// Ranges into SampleBatch's ragged arrays.
  int prompt_begin = 0, prompt_end = 0, output_begin = 0, output_end = 0;
  int bias_begin = 0, bias_end = 0;
};
static_assert(sizeof(int) == 4 && sizeof(unsigned long long) == 8);
static_assert(sizeof(SamplingRow) == 80 && alignof(SamplingRow) == 8);

/// Below this a temperature means greedy: dividing by it would only overflow.
constexpr float kMinTemperature = 1e-5f;

}  // namespace isotope::ops

namespace isotope::gpu {

constexpr int kSampleTop = 20;          ///< columns of top_ids and top_logprobs
constexpr int kSampleSlice = 512;       ///< tokens that one warp looks at at a time
constexpr int kSampleMaxSlices = 1024;  ///< of a row, so vocabularies have up to 524,288 tokens
constexpr int kScanThreads = 128;       ///< of sample_scan: a slice a warp
constexpr int kChooseThreads = 512;     ///< of sample_choose

/// Of both kernels. What the scan finds in each slice of each row is [rows, slices].
struct SampleParams {
  float* logits;  ///< [rows, vocab], `logits_stride` apart
  const ops::SamplingRow* rows;
  const int* history;
  const int* bias_ids;
  const float* bias_values;
  const unsigned* masks;  ///< [num_masks, mask_words]

  int* tokens;
  float* logprobs;
  int* ranks;
  int* top_ids;  ///< [rows, kSampleTop], `top_ids_stride` apart
  float* top_logprobs;

  /// Largest logit among tokens that may be chosen: key in the upper half, inverted id in the
  /// lower.
  unsigned long long* slice_best;
  unsigned* slice_keys;  ///< key of the largest logit of all tokens
  float* slice_sums;     ///< Σ exp(logit - that largest)
  int* slice_winners;    ///< token of the best draw; -1: none
  float* copies;         ///< [num_copies, vocab]: unmodified logits of rows that need them

  long long logits_stride, top_ids_stride, top_logprobs_stride;
  int num_rows, vocab, limit, slices, history_size, bias_size, num_masks, mask_words;
  int num_copies;
  int mass_bits;    ///< a probability's fixed point: 2^mass_bits is the likeliest token's
  int copies_only;  ///< 0: all rows but those ≥ num_copies that need a copy; 1: only these
};

}  // namespace isotope::gpu
