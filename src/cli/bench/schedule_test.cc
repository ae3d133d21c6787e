#include "cli/bench/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cli/bench/statistics.h"

namespace isotope::cli {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Mean and standard deviation of the gaps, with the one before the first request.
Summary gaps_of(const std::vector<double>& times) {
  std::vector<double> gaps = {times.front()};
  for (std::size_t i = 1; i < times.size(); ++i) gaps.push_back(times[i] - times[i - 1]);
  return summarize(gaps, {});
}

TEST(Schedule, InfiniteRateIsAtOnce) {
  EXPECT_EQ(arrival_times(3, kInfinity, 1, 0), (std::vector<double>{0, 0, 0}));
  EXPECT_TRUE(arrival_times(0, 5, 1, 0).empty());
}

TEST(Schedule, MeetsTheRateExactlyInOrder) {
  const auto times = arrival_times(1000, 8, 1, 3);
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
  EXPECT_DOUBLE_EQ(times.back(), 125);
}

TEST(Schedule, GapsAreGammaDistributed) {
  // A gamma distribution of shape k has the relative deviation 1 / sqrt(k); shape 1 is exponential.
  for (const double burstiness : {0.25, 1.0, 4.0}) {
    const Summary gaps = gaps_of(arrival_times(200000, 10, burstiness, 7));
    EXPECT_NEAR(gaps.mean, 0.1, 1e-9);
    EXPECT_NEAR(gaps.std / gaps.mean, 1 / std::sqrt(burstiness), 0.03 / std::sqrt(burstiness));
  }
  const auto times = arrival_times(200000, 1, 1, 11);
  std::size_t longer = 0;
  for (std::size_t i = 1; i < times.size(); ++i) longer += times[i] - times[i - 1] > 2;
  EXPECT_NEAR(double(longer) / 200000, std::exp(-2.0), 0.003);
}

TEST(Schedule, InfiniteBurstinessIsEven) {
  const auto times = arrival_times(4, 2, kInfinity, 0);
  EXPECT_EQ(times, (std::vector<double>{0.5, 1, 1.5, 2}));
}

TEST(Schedule, SeedsDecide) {
  EXPECT_EQ(arrival_times(50, 3, 1, 5), arrival_times(50, 3, 1, 5));
  EXPECT_NE(arrival_times(50, 3, 1, 5), arrival_times(50, 3, 1, 6));
}

}  // namespace
}  // namespace isotope::cli
