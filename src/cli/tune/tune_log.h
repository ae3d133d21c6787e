// What `isotope tune` has measured so far, a line of JSON a case, so that it can be interrupted and
// tables of several models come together.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/eval/result_log.h"
#include "ops/tuning/sweep.h"

namespace isotope::cli {

json::object to_json(const ops::SweepResult& result);
/// Errors: corrupt_data naming `where`.
ops::SweepResult read_sweep_result(const json::value& line, const std::string& where);

class TuneLog {
 public:
  /// `settings` is everything that a measurement depends on beside its case. A log made under other
  /// ones is of no use: it is kept as PATH.old, which is told, and a new one begins, as with `fresh`.
  TuneLog(const std::filesystem::path& path, const json::object& settings, bool fresh);

  bool has(const ops::TuningSpace& space) const;
  void add(ops::SweepResult result);
  const std::vector<ops::SweepResult>& results() const { return results_; }

 private:
  std::vector<ops::SweepResult> results_;
  ResultLog log_;
};

}  // namespace isotope::cli
