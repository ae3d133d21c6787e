// Against scipy, statsmodels and lm-evaluation-harness (tools/make_eval_fixtures.py).
#include "cli/eval/paired_tests.h"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <cmath>
#include <vector>

#include "base/json.h"

namespace isotope::cli {
namespace {

json::value fixture() {
  return parse_json_file(std::string(ISOTOPE_TEST_DATA) + "/eval/paired-tests.json");
}

double number(const json::value& value) { return value.to_number<double>(); }

TEST(PairedTests, StderrIsTheHarnesss) {
  const json::value file = fixture();
  for (const json::value& entry : file.at("stderr").as_array())
    EXPECT_NEAR(
        stderr_of_proportion(entry.as_array()[0].as_int64(), entry.as_array()[1].as_int64()),
        number(entry.as_array()[2]), 1e-12)
        << entry;
  EXPECT_TRUE(std::isnan(stderr_of_proportion(1, 1)));
}

TEST(PairedTests, McNemarIsStatsmodels) {
  const json::value file = fixture();
  for (const json::value& entry : file.at("mcnemar").as_array()) {
    const double expected = number(entry.as_array()[2]);
    EXPECT_NEAR(mcnemar_exact(entry.as_array()[0].as_int64(), entry.as_array()[1].as_int64()),
                expected, 1e-9 * expected)
        << entry;
  }
}

TEST(PairedTests, DifferencesAreScipys) {
  const json::value file = fixture();
  for (const json::value& entry : file.at("paired").as_array()) {
    std::vector<TokenSum> windows;
    for (const json::value& difference : entry.at("differences").as_array())
      windows.push_back({number(difference), number(entry.at("tokens"))});
    const PairedDifference result = compare_paired(windows);
    const double error = number(entry.at("stderr"));
    EXPECT_NEAR(result.mean, number(entry.at("mean")), 1e-12);
    EXPECT_NEAR(result.standard_error, error, 1e-12);
    EXPECT_EQ(stderr_of_ratio(windows), result.standard_error);
    EXPECT_NEAR(result.p_normal, number(entry.at("p_normal")), 1e-9);
    // Two bootstraps with other draws: their quantiles scatter by a few hundredths of an error.
    EXPECT_NEAR(result.low, number(entry.at("low")), 0.1 * error);
    EXPECT_NEAR(result.high, number(entry.at("high")), 0.1 * error);
  }
}

TEST(PairedTests, ALongerUnitWeighsMore) {
  const std::vector<TokenSum> windows = {{30, 300}, {0, 100}};
  EXPECT_NEAR(compare_paired(windows).mean, 30.0 / 400, 1e-12);
}

TEST(PairedTests, OneUnitHasNoError) {
  const std::vector<TokenSum> windows = {{1, 10}};
  const PairedDifference result = compare_paired(windows);
  EXPECT_TRUE(std::isnan(result.standard_error));
  EXPECT_EQ(result.p_normal, 1);
  EXPECT_EQ(result.low, 0.1);
}

}  // namespace
}  // namespace isotope::cli
