// What a request cost, for its answer and for the log.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/json.h"
#include "server/generation.h"

namespace isotope::server {

struct Usage {
  std::int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  std::int64_t reasoning_tokens = 0;  ///< of completion_tokens
  /// Milliseconds from submit to the first token of any choice; mean milliseconds between tokens
  /// after the first, over all choices with at least two.
  double ttft_ms = 0, tpot_ms = 0;

  /// OpenAI's usage object with ttft_ms and tpot_ms beside the counts.
  json::object to_json() const;
};

/// "cmpl-" and 32 hexadecimal digits.
std::string new_id(std::string_view prefix);
/// Seconds since 1970, as OpenAI's "created".
std::int64_t unix_time();

}  // namespace isotope::server
