// A load: requests sent to a server when they are due, and what came back when.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench/http_client.h"

namespace isotope::cli {

/// One request. Times are seconds since the start of the run.
struct LoadRecord {
  double due = 0, start = 0;   ///< start: just before it was sent, after waiting for a free place
  std::vector<double> events;  ///< when each event that counts as a token was read
  std::optional<double> first_text;  ///< when the first event with text was read
  std::string text;                  ///< of the answer, if it was asked for
  std::string error;                 ///< not empty: it failed, or was cut by an interruption
  bool sent = false, interrupted = false;
  std::optional<std::int64_t> prompt_tokens, completion_tokens, cached_tokens;
  std::optional<double> server_ttft_ms, server_tpot_ms;

  bool succeeded() const { return sent && !interrupted && error.empty(); }
};

/// Which events of a stream are tokens.
enum class TokenEvents {
  choices,  ///< those with a choice, as vLLM's benchmark counts
  text,     ///< of these the ones with text
};

struct LoadOptions {
  Url url;
  std::string endpoint;
  HttpClient::Options http;
  std::int64_t max_concurrency = 0;  ///< 0: no limit
  TokenEvents token_events = TokenEvents::choices;
  bool keep_text = false;
  /// (ended, failed, running, tokens so far), some times a second.
  std::function<void(std::int64_t, std::int64_t, std::int64_t, std::int64_t)> progress;
};

struct LoadResult {
  std::vector<LoadRecord> records;  ///< as the requests were given
  double duration = 0;              ///< seconds, from the start to the end of the last request
  double lag_p99 = 0;        ///< seconds by which this program looked at its sockets too late
  bool interrupted = false;  ///< by SIGINT
};

/// Sends bodies[i] at due[i] seconds, in this order, as soon as there is a place. Ctrl-C ends it
/// early. Errors: as HttpClient.
LoadResult run_load(const LoadOptions& options, const std::vector<std::string>& bodies,
                    const std::vector<double>& due);

}  // namespace isotope::cli
