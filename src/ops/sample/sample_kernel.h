// Passes over a row of logits that the instruction-set files of sample offer to sample_cpu.cc.
// NaN counts as -infinity everywhere.
#pragma once

#include <cstdint>

namespace isotope::ops {

/// Which tokens a draw may choose: those above `threshold`, and of those equal to it ids up to
/// last_tie.
struct Cut {
  float threshold;
  std::int32_t last_tie;
};

/// Receives a token that might win a draw; returns the score to beat.
struct DrawSink {
  float (*offer)(void* state, float logit, std::int32_t id, std::uint32_t bits);
  void* state;
};

struct DrawInput {
  const float* logits;
  std::int64_t size;
  Cut cut;
  float best;  ///< the largest logit, finite
  float inverse_temperature;
  std::uint64_t seed, counter;
};

struct SampleKernel {
  /// The largest value; -infinity if there is none.
  float (*largest)(const float* x, std::int64_t n);
  /// Σ exp((x - best) · inverse_temperature); best is finite and no x is larger.
  double (*sum_exp)(const float* x, std::int64_t n, float best, float inverse_temperature);
  /// out[i] = exp((x[i] - best) · inverse_temperature); may be in place.
  void (*exp_each)(const float* x, std::int64_t n, float best, float inverse_temperature,
                   float* out);
  std::int64_t (*count_greater)(const float* x, std::int64_t n, float value);
  /// Indices of values ≥ `at_least` in ascending order; returns how many.
  std::int64_t (*collect)(const float* x, std::int64_t n, float at_least, std::int32_t* out);
  /// Offers every token that may win the Gumbel-max draw with the bits of token_bits(), and few
  /// others.
  void (*draw)(const DrawInput& input, DrawSink sink);
};

/// Only behind a check of the CPU.
const SampleKernel& sample_kernel_avx2();
const SampleKernel& sample_kernel_avx512();

}  // namespace isotope::ops
