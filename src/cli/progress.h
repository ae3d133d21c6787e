// A progress bar on standard error: one line on a terminal, a line every few seconds elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace isotope::cli {

class ProgressBar {
 public:
  explicit ProgressBar(std::string title);
  /// Ends the line if the work ended early.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(std::int64_t done, std::int64_t total, std::string_view what);
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  std::string title_;
  bool terminal_;
  bool shown_ = false;
  Clock::time_point started_, last_;
};

}  // namespace isotope::cli
