#include "cli/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace isotope::cli {

ProgressBar::ProgressBar(std::string title)
    : title_(std::move(title)),
      terminal_(::isatty(STDERR_FILENO) != 0),
      started_(Clock::now()),
      last_(started_) {}

ProgressBar::~ProgressBar() { finish(); }

void ProgressBar::update(std::int64_t done, std::int64_t total, std::string_view what) {
  using namespace std::chrono_literals;
  const auto now = Clock::now();
  // Work that ends at once shows nothing; a log file gets a line now and then.
  const auto interval = terminal_ ? Clock::duration(80ms) : Clock::duration(5s);
  if (total <= 0 || now - started_ < 200ms || (now - last_ < interval && done < total)) return;
  if (!terminal_ && now - last_ < interval) return;
  last_ = now;
  const double seconds = std::chrono::duration<double>(now - started_).count();
  const double left = done > 0 ? seconds * double(total - done) / double(done) : 0;
  const int percent = int(100 * done / total);
  if (!terminal_) {
    fmt::print(stderr, "{}: {} % ({} of {})\n", title_, percent, done, total);
    return;
  }
  constexpr int kWidth = 30;
  const int filled = int(kWidth * done / total);
  std::string bar;
  for (int i = 0; i < kWidth; ++i) bar += i < filled ? "█" : "░";
  fmt::print(stderr, "\r\033[K{} {} {:3} %  {:.0f} s left  {}", title_, bar, percent, left,
             what.substr(0, 40));
  std::fflush(stderr);
  shown_ = true;
}

void ProgressBar::finish() {
  if (!std::exchange(shown_, false)) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
}

}  // namespace isotope::cli
