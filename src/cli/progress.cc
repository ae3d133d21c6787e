#include "cli/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace isotope::cli {

ProgressBar::ProgressBar(std::string title, Unit unit)
    : title_(std::move(title)),
      unit_(unit),
      terminal_(::isatty(STDERR_FILENO) != 0),
      started_(Clock::now()),
      last_(started_) {}

ProgressBar::~ProgressBar() { finish(); }

void ProgressBar::update(std::int64_t done, std::int64_t total, std::string_view what) {
  using namespace std::chrono_literals;
  const auto now = Clock::now();
  if (first_done_ < 0) first_done_ = done;
  // Work that ends at once shows nothing; a log file gets a line now and then.
  const auto interval = terminal_ ? Clock::duration(80ms) : Clock::duration(5s);
  if (total <= 0 || now - started_ < 200ms || (now - last_ < interval && done < total)) return;
  if (!terminal_ && now - last_ < interval) return;
  last_ = now;
  const double seconds = std::chrono::duration<double>(now - started_).count();
  const double rate = double(done - first_done_) / seconds;
  const double left = rate > 0 ? double(total - done) / rate : 0;
  const int percent = int(100 * done / total);
  if (!terminal_) {
    fmt::print(stderr, "{}: {} % ({}), {:.0f} s left\n", title_, percent, amount(done, total, rate),
               left);
    return;
  }
  constexpr int kWidth = 30;
  const int filled = int(kWidth * done / total);
  std::string bar;
  for (int i = 0; i < kWidth; ++i) bar += i < filled ? "█" : "░";
  const std::string bytes = unit_ == Unit::bytes ? amount(done, total, rate) + "  " : "";
  fmt::print(stderr, "\r\033[K{} {} {:3} %  {}{:.0f} s left  {}", title_, bar, percent, bytes, left,
             what.substr(0, 40));
  std::fflush(stderr);
  shown_ = true;
}

/// "3 of 8", or "1.2 of 8.5 GiB, 85.0 MiB/s".
std::string ProgressBar::amount(std::int64_t done, std::int64_t total, double rate) const {
  if (unit_ == Unit::steps) return fmt::format("{} of {}", done, total);
  constexpr double kMiB = 0x1p20, kGiB = 0x1p30;
  const bool large = double(total) >= kGiB;
  const double scale = large ? kGiB : kMiB;
  return fmt::format("{:.1f} of {:.1f} {}, {:.1f} MiB/s", double(done) / scale,
                     double(total) / scale, large ? "GiB" : "MiB", rate / kMiB);
}

void ProgressBar::finish() {
  if (!std::exchange(shown_, false)) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
}

}  // namespace isotope::cli
