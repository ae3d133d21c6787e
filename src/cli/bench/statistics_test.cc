#include "cli/bench/statistics.h"

#include <gtest/gtest.h>

namespace isotope::cli {
namespace {

struct Case {
  std::vector<double> values;
  double mean, median, std;
  std::vector<double> percentiles;  ///< 0, 25, 90, 99, 100
};

// Expected: numpy 2.4's mean, median, std and percentile.
const Case kCases[] = {
    {{3.5}, 3.5, 3.5, 0, {3.5, 3.5, 3.5, 3.5, 3.5}},
    {{1, 2}, 1.5, 1.5, 0.5, {1, 1.25, 1.9, 1.99, 2}},
    {{5, 1, 4, 2, 3}, 3, 3, 1.4142135623730951, {1, 2, 4.6, 4.96, 5}},
    {{0.25, 10, 7.125, 3, 3, 8, 1.5, 2, 9, 6},
     4.9875,
     4.5,
     3.276073297409568,
     {0.25, 2.25, 9.1, 9.91, 10}},
};

TEST(Statistics, AreNumpys) {
  const std::vector<double> percents = {0, 25, 90, 99, 100};
  for (const Case& each : kCases) {
    const Summary summary = summarize(each.values, percents);
    EXPECT_EQ(summary.count, each.values.size());
    EXPECT_DOUBLE_EQ(summary.mean, each.mean);
    EXPECT_DOUBLE_EQ(summary.median, each.median);
    EXPECT_DOUBLE_EQ(summary.std, each.std);
    ASSERT_EQ(summary.percentiles.size(), percents.size());
    for (std::size_t i = 0; i < percents.size(); ++i) {
      EXPECT_EQ(summary.percentiles[i].first, percents[i]);
      EXPECT_DOUBLE_EQ(summary.percentiles[i].second, each.percentiles[i]);
    }
  }
}

TEST(Statistics, OfNothingAreZero) {
  const Summary summary = summarize({}, std::vector<double>{99});
  EXPECT_EQ(summary.count, 0u);
  EXPECT_EQ(summary.mean, 0);
  EXPECT_EQ(summary.percentiles.at(0).second, 0);
}

}  // namespace
}  // namespace isotope::cli
