// How often something has happened lately.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>

namespace isotope::engine {

/// Over the last 64 events, or since the first: a pause that lasts makes the rate fall.
class RecentRate {
 public:
  using Clock = std::chrono::steady_clock;

  void note(Clock::time_point when) {
    times_.push_back(when);
    if (times_.size() > kWindow) times_.pop_front();
  }

  /// Events per second; 0 without any.
  double per_second(Clock::time_point now) const {
    if (times_.empty()) return 0;
    const double span = std::chrono::duration<double>(now - times_.front()).count();
    return double(times_.size()) / std::max(span, kShortestSpan);
  }

 private:
  static constexpr std::size_t kWindow = 64;
  static constexpr double kShortestSpan = 0.1;  // a burst at the start is no rate yet
  std::deque<Clock::time_point> times_;
};

}  // namespace isotope::engine
