#include "models/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace isotope::models {
namespace {

using weights::RopeParameters;

/// Llama 3: long wavelengths are interpolated, short ones kept, those between blended.
double llama3_frequency(const RopeParameters& rope, double frequency) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double original = double(rope.original_max_position);
  if (wavelength < original / rope.high_freq_factor) return frequency;
  if (wavelength > original / rope.low_freq_factor) return frequency / rope.factor;
  const double smooth = (original / wavelength - rope.low_freq_factor) /
                        (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - smooth) * frequency / rope.factor + smooth * frequency;
}

/// The (fractional) dimension that turns `rotations` times within the original context.
double yarn_dimension(const RopeParameters& rope, double head_dim, double rotations) {
  return head_dim *
         std::log(double(rope.original_max_position) / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(rope.theta));
}

/// YaRN (Peng et al. 2023): a ramp over dimensions from extrapolation to interpolation.
void apply_yarn(const RopeParameters& rope, std::int64_t head_dim,
                std::vector<double>& frequencies) {
  double low = yarn_dimension(rope, double(head_dim), rope.beta_fast);
  double high = yarn_dimension(rope, double(head_dim), rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, double(head_dim - 1));
  if (low == high) high += 0.001;  // as the reference does, against a division by zero
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((double(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] / rope.factor * ramp + frequencies[i] * (1 - ramp);
  }
}

double yarn_attention_factor(const RopeParameters& rope) {
  const auto scale = [&rope](double mscale) {
    return rope.factor > 1 ? 0.1 * mscale * std::log(rope.factor) + 1 : 1.0;
  };
  if (rope.attention_factor) return *rope.attention_factor;
  if (rope.mscale != 0 && rope.mscale_all_dim != 0)
    return scale(rope.mscale) / scale(rope.mscale_all_dim);
  return scale(1.0);
}

}  // namespace

RopeTable make_rope_table(const RopeParameters& rope, std::int64_t head_dim) {
  RopeTable table;
  for (std::int64_t i = 0; i < head_dim / 2; ++i)
    table.inverse_frequencies.push_back(std::pow(rope.theta, -2.0 * double(i) / double(head_dim)));
  switch (rope.type) {
    case RopeParameters::Type::standard:
      break;
    case RopeParameters::Type::linear:
      for (double& frequency : table.inverse_frequencies) frequency /= rope.factor;
      break;
    case RopeParameters::Type::llama3:
      for (double& frequency : table.inverse_frequencies)
        frequency = llama3_frequency(rope, frequency);
      break;
    case RopeParameters::Type::yarn:
      apply_yarn(rope, head_dim, table.inverse_frequencies);
      table.attention_factor = yarn_attention_factor(rope);
      break;
  }
  return table;
}

}  // namespace isotope::models
