// Tries the candidates of a tuning case: result first, then time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ops/tuning/tuning_case.h"

namespace isotope::ops {

struct TrialResult {
  TuningValues values;
  /// Seconds of a call: median of all rounds, or of those before the candidate was far behind. On a
  /// simulated card the time that counted work would take at best (simulated_card.h).
  double seconds = 0;
  std::string rejected;  ///< why it was not timed; empty: it was
};

struct SweepResult {
  std::string name, op;
  TuningShape shape;
  double bytes = 0, flops = 0;
  std::vector<TrialResult> trials;  ///< the first is what table and defaults said
};

class Sweep {
 public:
  using Progress =
      std::function<void(std::int64_t done, std::int64_t total, std::string_view what)>;

  /// `rounds`: in each every candidate is timed once.
  explicit Sweep(Context& context, int rounds = 12) : context_(context), rounds_(rounds) {}

  /// Compiles what all candidates of all cases need. What does not compile is left for run() to
  /// reject.
  void build(const TuningCases& cases, const Progress& progress = {});

  /// A candidate is rejected if it does not compile or launch, if its output is not what the
  /// definition says, if it differs from that of the table's choice (in any bit, unless the
  /// candidate may change the order of sums), and if it is far slower. When the table's own choice
  /// is wrong, nothing is timed.
  SweepResult run(TuningCase& tried);

 private:
  struct Candidate;
  std::string check(TuningCase& tried, const SweepResult& result, const TuningValues& values,
                    std::vector<std::byte>& reference);
  void time(TuningCase& tried, SweepResult& result);
  void count(TuningCase& tried, SweepResult& result);

  Context& context_;
  int rounds_;
};

/// Whether the candidates give the same bits.
bool same_bits(std::string_view op, const TuningValues& a, const TuningValues& b);

}  // namespace isotope::ops
