// Counts of values by size, as Prometheus' histograms: cumulative when they are shown, not here.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace isotope {

/// `kBounds` is an ascending array of upper bounds, each inclusive; what lies above the last is
/// counted too. A value type without synchronisation.
template <const auto& kBounds>
class Histogram {
 public:
  static constexpr std::size_t kCells = std::size(kBounds) + 1;

  void observe(double value, std::uint64_t times = 1) {
    const auto cell = std::lower_bound(std::begin(kBounds), std::end(kBounds), value);
    counts_[std::size_t(cell - std::begin(kBounds))] += times;
    count_ += times;
    sum_ += value * double(times);
  }

  static constexpr const auto& bounds() { return kBounds; }
  /// Values above bound i - 1 and up to bound i.
  const std::array<std::uint64_t, kCells>& counts() const { return counts_; }
  std::uint64_t count() const { return count_; }
  double sum() const { return sum_; }

 private:
  std::array<std::uint64_t, kCells> counts_{};
  std::uint64_t count_ = 0;
  double sum_ = 0;
};

}  // namespace isotope
