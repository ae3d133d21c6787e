// What is kept of each window of a text, and the figures that follow from all of them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/json.h"

namespace isotope::cli {

inline constexpr std::string_view kPerplexityTask = "perplexity";

struct WindowRecord {
  std::int64_t index = 0, begin = 0, scored = 0, end = 0;
  double nll = 0;  ///< negative log-likelihood of [scored, end), natural logarithm

  std::int64_t tokens() const { return end - scored; }
};

json::object to_json(const WindowRecord& record);
/// Errors name `where` and the field.
WindowRecord read_window_record(const json::value& line, const std::string& where);

using WindowRecords = std::map<std::int64_t, WindowRecord>;

struct Perplexity {
  std::int64_t tokens = 0;  ///< that count
  double nll = 0;           ///< mean per token
  double nll_stderr = 0;    ///< of it, over windows; NaN for a single one
  double perplexity() const;
  double bits_per_byte(double tokens_per_byte) const;
};
Perplexity perplexity_of(const WindowRecords& records);

}  // namespace isotope::cli
