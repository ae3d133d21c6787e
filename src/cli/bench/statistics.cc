#include "cli/bench/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace isotope::cli {

double percentile(std::span<const double> sorted, double percent) {
  const double position = percent / 100 * double(sorted.size() - 1);
  const auto below = std::min(std::size_t(position), sorted.size() - 1);
  const auto above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (position - double(below));
}

Summary summarize(std::vector<double> values, std::span<const double> percents) {
  Summary summary;
  summary.count = values.size();
  if (values.empty()) {
    for (const double percent : percents) summary.percentiles.emplace_back(percent, 0);
    return summary;
  }
  std::sort(values.begin(), values.end());
  const double count = double(values.size());
  summary.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - summary.mean) * (value - summary.mean);
  summary.std = std::sqrt(squares / count);
  summary.median = percentile(values, 50);
  for (const double percent : percents)
    summary.percentiles.emplace_back(percent, percentile(values, percent));
  return summary;
}

}  // namespace isotope::cli
