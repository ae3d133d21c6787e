// What a load showed, by the definitions of vLLM's `vllm bench serve`.
//
//   TTFT  from sending a request to its first token event
//   ITL   between neighbouring token events of a request; all of all requests are one sample
//   E2EL  from sending a request to its last token event
//   TPOT  (E2EL - TTFT) / (output tokens - 1), for requests with more than one
//
// docs/benchmarking.md says what counts as a token event and where this is stricter than vLLM.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/bench/load_run.h"
#include "cli/bench/statistics.h"

namespace isotope::cli {

/// What a good request keeps to, in milliseconds.
struct Goodput {
  std::optional<double> ttft, tpot, e2el;
  bool any() const { return ttft || tpot || e2el; }
};

/// "ttft:500", "tpot:50", "e2el:5000". Errors: invalid_argument naming the pair.
Goodput parse_goodput(const std::vector<std::string>& pairs);

/// Where the numbers of output tokens are from.
struct TokenCounts {
  std::vector<std::int64_t> input, output;  ///< by request; 0 for those that failed
  std::int64_t counted_by_usage = 0, counted_by_tokenizer = 0, counted_by_events = 0;
};

struct ServeMetrics {
  std::int64_t sent = 0, completed = 0, failed = 0, cut = 0;  ///< cut: by an interruption
  double duration = 0;
  std::int64_t total_input = 0, total_output = 0, total_cached = 0;
  bool cached_known = false;
  double request_throughput = 0, output_throughput = 0, total_throughput = 0;
  double max_output_tokens_per_s = 0;  ///< token events in the busiest second
  std::int64_t peak_concurrency = 0;
  std::optional<double> request_goodput;
  Summary ttft, tpot, itl, e2el;                    ///< milliseconds
  std::optional<Summary> server_ttft, server_tpot;  ///< milliseconds, as the server reports them
  /// Median milliseconds from the first token event to the first text.
  double first_text_delay = 0;
  std::map<std::string, std::int64_t> errors;  ///< message to number of requests
  double lag_p99 = 0;                          ///< milliseconds

  double success_rate() const { return sent > 0 ? double(completed) / double(sent) : 0; }
};

double ttft_of(const LoadRecord& record);
double e2el_of(const LoadRecord& record);

ServeMetrics compute_metrics(const LoadResult& load, const TokenCounts& tokens,
                             std::span<const double> percents, const Goodput& goodput);

}  // namespace isotope::cli
