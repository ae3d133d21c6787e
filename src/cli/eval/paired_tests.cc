#include "cli/eval/paired_tests.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "cli/bench/statistics.h"

namespace isotope::cli {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double ratio_of(std::span<const TokenSum> windows) {
  double sum = 0, tokens = 0;
  for (const TokenSum& window : windows) {
    sum += window.sum;
    tokens += window.tokens;
  }
  return sum / tokens;
}

}  // namespace

double stderr_of_proportion(std::int64_t right, std::int64_t total) {
  if (total < 2) return kNan;
  const double n = double(total), mean = double(right) / n;
  return std::sqrt(mean * (1 - mean) / (n - 1));
}

double mcnemar_exact(std::int64_t only_a, std::int64_t only_b) {
  const double n = double(only_a + only_b);
  double tail = 0;
  for (std::int64_t i = 0; i <= std::min(only_a, only_b); ++i)
    tail += std::exp(std::lgamma(n + 1) - std::lgamma(double(i) + 1) -
                     std::lgamma(n - double(i) + 1) - n * std::log(2.0));
  return std::min(1.0, 2 * tail);
}

double stderr_of_ratio(std::span<const TokenSum> windows) {
  if (windows.size() < 2) return kNan;
  const double mean = ratio_of(windows);
  double squares = 0, tokens = 0;
  for (const TokenSum& window : windows) {
    const double residual = window.sum - mean * window.tokens;
    squares += residual * residual;
    tokens += window.tokens;
  }
  const double n = double(windows.size());
  return std::sqrt(squares * n / (n - 1)) / tokens;
}

PairedDifference compare_paired(std::span<const TokenSum> windows, std::int64_t resamples) {
  PairedDifference result;
  result.mean = ratio_of(windows);
  result.standard_error = stderr_of_ratio(windows);
  if (result.standard_error > 0)
    result.p_normal = std::erfc(std::fabs(result.mean / result.standard_error) / std::sqrt(2.0));
  std::mt19937_64 random(1);
  std::uniform_int_distribution<std::size_t> draw(0, windows.size() - 1);
  std::vector<double> means;
  std::vector<TokenSum> resample(windows.size());
  for (std::int64_t i = 0; i < resamples; ++i) {
    for (TokenSum& window : resample) window = windows[draw(random)];
    means.push_back(ratio_of(resample));
  }
  std::sort(means.begin(), means.end());
  result.low = percentile(means, 2.5);
  result.high = percentile(means, 97.5);
  return result;
}

}  // namespace isotope::cli
