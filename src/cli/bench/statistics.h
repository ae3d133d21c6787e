// The figures that describe many values, as numpy computes them.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace isotope::cli {

/// The value below which `percent` of the values lie, with linear interpolation between the two
/// nearest (numpy.percentile's default). `sorted` is ascending and not empty.
double percentile(std::span<const double> sorted, double percent);

/// All zero if there were no values.
struct Summary {
  std::size_t count = 0;
  double mean = 0, median = 0;
  double std = 0;  ///< of the population: divided by count, as numpy.std does
  std::vector<std::pair<double, double>> percentiles;  ///< (percent, value), as they were asked for
};

Summary summarize(std::vector<double> values, std::span<const double> percents);

}  // namespace isotope::cli
