#include "ops/tuning/tuned_rows.h"

#include <gtest/gtest.h>

namespace isotope::ops {
namespace {

SweepResult result_of(const std::string& op, std::int64_t rows, std::vector<TrialResult> trials) {
  return {op + std::to_string(rows), op, {DType::f8_e4m3, 4096, 2048, rows}, 1, 1,
          std::move(trials)};
}

TrialResult wide(std::int64_t groups, std::int64_t tile_rows, double seconds) {
  return {{{"groups", groups}, {"tile_rows", tile_rows}}, seconds, {}};
}

TrialResult narrow(std::int64_t depth, double seconds, std::string rejected = {}) {
  return {{{"depth", depth}}, seconds, std::move(rejected)};
}

TEST(TunedRows, TheFastestButTheTablesWhereItIsNearlyAsFast) {
  const std::vector<SweepResult> results = {
      result_of("linear_decode", 1, {narrow(2, 1.0), narrow(3, 0.9), narrow(4, 0.95)}),
      result_of("linear_decode", 2, {narrow(2, 1.0), narrow(3, 0.993)}),
      result_of("linear_decode", 4, {narrow(2, 1.0), narrow(3, 0.5, "wrong result: x")}),
      result_of("linear_decode", 8, {narrow(2, 0, "wrong result: x"), narrow(3, 0)}),
  };
  const TunedTable table = choose(results);
  ASSERT_EQ(table.choices.size(), 4u);
  EXPECT_EQ(table.choices[0].chosen, &results[0].trials[1]);
  EXPECT_NEAR(table.choices[0].gain(), 0.1, 1e-12);
  EXPECT_EQ(table.choices[1].chosen, &results[1].trials[0]) << "0.7 % is noise";
  EXPECT_EQ(table.choices[2].chosen, &results[2].trials[0]) << "a wrong one was taken";
  EXPECT_EQ(table.choices[1].gain(), 0);
}

TEST(TunedRows, NothingIsWrittenWhereTheTablesOwnChoiceIsWrong) {
  const std::vector<SweepResult> results = {
      result_of("linear_decode", 8, {narrow(2, 0, "wrong result: x")})};
  const TunedTable table = choose(results);
  EXPECT_EQ(table.choices[0].chosen, nullptr);
  EXPECT_TRUE(table.rows.empty());
}

TEST(TunedRows, NeighboursWithOneChoiceShareARow) {
  const std::vector<SweepResult> results = {
      result_of("linear_decode", 4, {narrow(2, 1.0), narrow(3, 0.5)}),
      result_of("linear_decode", 1, {narrow(2, 1.0), narrow(3, 0.5)}),
      result_of("linear_decode", 8, {narrow(2, 1.0), narrow(3, 1.5)}),
      result_of("linear_decode", 2, {narrow(2, 1.0), narrow(3, 0.5)}),
  };
  const TunedTable table = choose(results);
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(table.rows[0].first_rows, 1);
  EXPECT_EQ(table.rows[0].last_rows, 4);
  EXPECT_EQ(table.rows[1].first_rows, 8);
}

// groups = 4 is best for 32 rows, but then 64 rows would be slower than before; 2 is better for
// both.
TEST(TunedRows, WhatDecidesBitsIsOneForAllRowsAndHarmsNone) {
  const std::vector<SweepResult> results = {
      result_of("linear_wide", 32, {wide(1, 128, 1.0), wide(2, 64, 0.9), wide(4, 128, 0.5)}),
      result_of("linear_wide", 64,
                {wide(1, 128, 1.0), wide(2, 64, 0.9), wide(2, 128, 0.8), wide(4, 128, 1.2)}),
  };
  const TunedTable table = choose(results);
  EXPECT_EQ(table.choices[0].chosen, &results[0].trials[1]);
  EXPECT_EQ(table.choices[1].chosen, &results[1].trials[2]);
  ASSERT_EQ(table.rows.size(), 3u);
  EXPECT_EQ(table.rows[0].values, (TuningValues{{"groups", 2}}));
  EXPECT_EQ(table.rows[0].last_rows, 0) << "for all numbers of rows";
  EXPECT_EQ(table.rows[1].values, (TuningValues{{"tile_rows", 64}}));

  // The table reads as it was meant.
  Tuning tuning;
  tuning.add(to_toml(table.rows, "made by a test\nof two lines"), "x.toml");
  const auto value = [&tuning](std::int64_t rows, const char* key) {
    return tuning.value("linear_wide", {DType::f8_e4m3, 4096, 2048, rows}, key, -1);
  };
  EXPECT_EQ(value(0, "groups"), 2);
  EXPECT_EQ(value(32, "tile_rows"), 64);
  EXPECT_EQ(value(64, "tile_rows"), 128);
  EXPECT_EQ(value(128, "tile_rows"), -1);
}

}  // namespace
}  // namespace isotope::ops
