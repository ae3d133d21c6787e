#include "cli/eval/perplexity_record.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "cli/eval/paired_tests.h"

namespace isotope::cli {

json::object to_json(const WindowRecord& record) {
  return {{"index", record.index},
          {"begin", record.begin},
          {"scored", record.scored},
          {"end", record.end},
          {"nll", record.nll}};
}

WindowRecord read_window_record(const json::value& line, const std::string& where) {
  constexpr std::int64_t kMax = std::int64_t(1) << 40;
  const JsonFields fields(line, where);
  WindowRecord record;
  record.index = fields.integer("index", 0, kMax);
  record.begin = fields.integer("begin", 0, kMax);
  record.scored = fields.integer("scored", record.begin + 1, kMax);
  record.end = fields.integer("end", record.scored + 1, kMax);
  record.nll = fields.number("nll", -1, 1e15);
  return record;
}

double Perplexity::perplexity() const { return std::exp(nll); }

double Perplexity::bits_per_byte(double tokens_per_byte) const {
  return nll / std::numbers::ln2 * tokens_per_byte;
}

Perplexity perplexity_of(const WindowRecords& records) {
  Perplexity result;
  std::vector<TokenSum> windows;
  for (const auto& [index, record] : records) {
    result.tokens += record.tokens();
    result.nll += record.nll;
    windows.push_back({record.nll, double(record.tokens())});
  }
  result.nll /= double(result.tokens);
  result.nll_stderr = stderr_of_ratio(windows);
  return result;
}

}  // namespace isotope::cli
