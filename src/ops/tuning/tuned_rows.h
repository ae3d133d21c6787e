// Rows of a tuning table, chosen from what a sweep measured.
#pragma once

#include <string>
#include <vector>

#include "ops/tuning/sweep.h"

namespace isotope::ops {

struct TunedRow {
  std::string op;
  DType weight = DType::bf16;
  std::int64_t n = 0, k = 0;
  std::int64_t first_rows = 0, last_rows = 0;  ///< buckets; both 0: all numbers of rows
  TuningValues values;
};

/// A sweep's result with the trial that the rows take.
struct Choice {
  const SweepResult* result;
  const TrialResult* chosen;  ///< null: nothing could be timed
  /// Of the time of what the table said: 0.05 is 5 % less.
  double gain() const;
};

struct TunedTable {
  std::vector<TunedRow> rows;
  std::vector<Choice> choices;  ///< in the order of the results
};

/// The fastest trial of each result; what the table said where that is within a percent. Values
/// that decide bits are one for all numbers of rows of a shape: those under which the mean time is
/// least and no number of rows is slower by over a percent than before. `results` must outlive what
/// is returned.
TunedTable choose(const std::vector<SweepResult>& results);

/// As a table is written; `comment` goes ahead, each line behind a #.
std::string to_toml(const std::vector<TunedRow>& rows, const std::string& comment);

}  // namespace isotope::ops
