// A progress bar on standard error: one line on a terminal, a line every few seconds elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace isotope::cli {

class ProgressBar {
 public:
  /// What is counted; of bytes the rate is shown too.
  enum class Unit { steps, bytes };
  explicit ProgressBar(std::string title, Unit unit = Unit::steps);
  /// Ends the line if the work ended early.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// What was done at the first call does not count for the rate.
  void update(std::int64_t done, std::int64_t total, std::string_view what);
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  std::string amount(std::int64_t done, std::int64_t total, double rate) const;

  std::string title_;
  Unit unit_;
  bool terminal_;
  bool shown_ = false;
  std::int64_t first_done_ = -1;
  Clock::time_point started_, last_;
};

}  // namespace isotope::cli
