#include "server/admission.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "server/api_error.h"

namespace isotope::server {
namespace {

/// Clients that come back later than this will find another reason to.
constexpr double kLongestRetrySeconds = 600;

/// `excess`: answers that must end before there is room.
[[noreturn]] void refuse(double excess, const engine::EngineStats& stats,
                         const std::string& message) {
  double seconds = 1;
  if (stats.ends_per_second > 0) seconds = std::ceil(excess / stats.ends_per_second);
  seconds = std::clamp(seconds, 1.0, kLongestRetrySeconds);
  throw ApiError(429, fmt::format("{}; try again in {:.0f} s", message, seconds), {}, "queue_full")
      .with_header("Retry-After", fmt::format("{:.0f}", seconds));
}

}  // namespace

void check_queue(const QueueLimits& limits, const engine::EngineStats& stats,
                 std::int64_t max_num_seqs, const QueueNeed& need) {
  const std::int64_t open = stats.running + stats.waiting;
  const std::int64_t most = max_num_seqs + limits.requests;
  if (limits.requests > 0 && open + need.requests > most) {
    if (need.own + need.requests > most)
      throw ApiError(400,
                     fmt::format("n: the request asks for {} answers or more; {} may run and "
                                 "wait here at a time",
                                 need.own + need.requests, most),
                     "n");
    refuse(double(open + need.requests - most), stats,
           fmt::format("{} answers run or wait, and at most {} may", open, most));
  }
  if (limits.tokens > 0 && stats.waiting > 0 &&
      stats.waiting_tokens + need.tokens > limits.tokens) {
    const double each = double(stats.waiting_tokens) / double(stats.waiting);
    const double excess = double(stats.waiting_tokens + need.tokens - limits.tokens) / each;
    refuse(excess, stats,
           fmt::format("requests of up to {} tokens wait, this one may need {}, and at most {} may "
                       "wait",
                       stats.waiting_tokens, need.tokens, limits.tokens));
  }
}

}  // namespace isotope::server
