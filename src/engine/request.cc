#include "engine/request.h"

#include <limits>
#include <string_view>

#include "base/error.h"
#include "ops/sample/sample.h"

namespace isotope::engine {
namespace {

constexpr std::size_t kMaxStopTokens = 1024, kMaxBiases = 1024;
constexpr std::int64_t kMaxTokens = std::int64_t(1) << 31;

void check_number(std::string_view field, double value, double low, double high) {
  // Written so that NaN fails.
  if (value >= low && value <= high) return;
  fail(ErrorCode::invalid_argument, "'{}' is {}; expected a number from {} to {}", field, value,
       low, high);
}

void check_integer(std::string_view field, std::int64_t value, std::int64_t low,
                   std::int64_t high) {
  if (value >= low && value <= high) return;
  fail(ErrorCode::invalid_argument, "'{}' is {}; expected an integer from {} to {}", field, value,
       low, high);
}

void check_count(std::string_view field, std::size_t count, std::size_t most) {
  if (count <= most) return;
  fail(ErrorCode::invalid_argument, "'{}' has {} entries; at most {} are allowed", field, count,
       most);
}

}  // namespace

void validate(const SamplingParams& params, std::int64_t vocab_size) {
  check_number("temperature", params.temperature, 0, 100);
  check_number("top_p", params.top_p, 0, 1);
  if (params.top_p == 0)
    fail(ErrorCode::invalid_argument, "'top_p' is 0; expected a number above 0, at most 1");
  check_integer("top_k", params.top_k, -1, std::numeric_limits<std::int32_t>::max());
  check_number("min_p", params.min_p, 0, 1);
  check_number("repetition_penalty", params.repetition_penalty, 0.01, 100);
  check_number("presence_penalty", params.presence_penalty, -2, 2);
  check_number("frequency_penalty", params.frequency_penalty, -2, 2);
  check_integer("max_tokens", params.max_tokens, 0, kMaxTokens);
  check_integer("min_tokens", params.min_tokens, 0, params.max_tokens);
  check_count("stop_token_ids", params.stop_token_ids.size(), kMaxStopTokens);
  for (const TokenId id : params.stop_token_ids)
    check_integer("stop_token_ids", id, 0, vocab_size - 1);
  check_count("logit_bias", params.logit_bias.size(), kMaxBiases);
  for (const auto& [id, bias] : params.logit_bias) {
    check_integer("logit_bias", id, 0, vocab_size - 1);
    check_number("logit_bias", bias, -100, 100);
  }
  if (params.logprobs) check_integer("logprobs", *params.logprobs, 0, ops::kMaxTopLogprobs);
  if (params.prompt_logprobs)
    check_integer("prompt_logprobs", *params.prompt_logprobs, 0, ops::kMaxTopLogprobs);
}

}  // namespace isotope::engine
