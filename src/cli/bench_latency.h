// isotope bench latency: how long prompts and tokens take, against the device's own read bandwidth.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/measured_engine.h"

namespace isotope::cli {

struct LatencyFlags {
  engine::EngineOptions engine;
  MeasuredRequests requests;
  std::vector<std::int64_t> batch_sizes = {1};
  std::int64_t warmup = 1;
  std::string json;  ///< a file; "-": standard output, instead of the table
};

/// What one batch size gave. Times in seconds.
struct LatencyResult {
  std::int64_t batch = 0, steps = 0;  ///< decode steps that were timed
  double ttft = 0;                    ///< median over requests
  double prefill = 0;                 ///< until the last request has its first token, median
  double tpot_mean = 0, tpot_median = 0, tpot_p99 = 0;
  double mean_context = 0;  ///< keys of a request in the timed steps
  double step_bytes = 0, prefill_flops = 0;
};

/// Errors as of Engine, and invalid_argument for lengths that cannot be measured.
int run_latency(const LatencyFlags& flags);

}  // namespace isotope::cli
