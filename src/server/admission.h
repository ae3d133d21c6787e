// Whether one more request may queue.
#pragma once

#include <cstdint>

#include "engine/engine.h"

namespace isotope::server {

/// What may wait beside what runs. Beyond it, waiting would take longer than clients do.
struct QueueLimits {
  std::int64_t requests = 4096;  ///< answers; 0: as many as come
  std::int64_t tokens = 0;       ///< prompts and answers at their longest; 0: as many as come
};

/// What a request adds to the queue.
struct QueueNeed {
  std::int64_t requests = 0;  ///< answers
  std::int64_t tokens = 0;
  std::int64_t own = 0;  ///< answers that it has in the engine already
};

/// Errors: ApiError 429 with Retry-After, by the recent rate at which requests end; 400 for a
/// request that alone is more than the limit.
void check_queue(const QueueLimits& limits, const engine::EngineStats& stats,
                 std::int64_t max_num_seqs, const QueueNeed& need);

}  // namespace isotope::server
