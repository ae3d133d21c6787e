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

double ratio_of(std::span<const PairedUnit> units) {
  double difference = 0, tokens = 0;
  for (const PairedUnit& unit : units) {
    difference += unit.difference;
    tokens += unit.tokens;
  }
  return difference / tokens;
}

double linearized_stderr(std::span<const PairedUnit> units, double mean) {
  if (units.size() < 2) return kNan;
  double squares = 0, tokens = 0;
  for (const PairedUnit& unit : units) {
    const double residual = unit.difference - mean * unit.tokens;
    squares += residual * residual;
    tokens += unit.tokens;
  }
  const double n = double(units.size());
  return std::sqrt(squares * n / (n - 1)) / tokens;
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

PairedDifference compare_paired(std::span<const PairedUnit> units, std::int64_t resamples) {
  PairedDifference result;
  result.mean = ratio_of(units);
  result.standard_error = linearized_stderr(units, result.mean);
  if (result.standard_error > 0)
    result.p_normal = std::erfc(std::fabs(result.mean / result.standard_error) / std::sqrt(2.0));
  std::mt19937_64 random(1);
  std::uniform_int_distribution<std::size_t> draw(0, units.size() - 1);
  std::vector<double> means;
  std::vector<PairedUnit> resample(units.size());
  for (std::int64_t i = 0; i < resamples; ++i) {
    for (PairedUnit& unit : resample) unit = units[draw(random)];
    means.push_back(ratio_of(resample));
  }
  std::sort(means.begin(), means.end());
  result.low = percentile(means, 2.5);
  result.high = percentile(means, 97.5);
  return result;
}

}  // namespace isotope::cli
