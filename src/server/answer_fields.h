// The request fields that completions and chat completions share: sampling, stopping, what to
// return.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "server/generation.h"
#include "server/output_form.h"
#include "server/request_fields.h"

namespace isotope::server {

/// What a request is checked against; constant while the server runs.
struct ModelLimits {
  std::vector<std::string> names;  ///< as requests call the model
  std::int64_t vocab_size = 0;
  std::int64_t context_tokens = 0;  ///< prompt and answer together
  /// Longer text cannot fit the context, whatever it says, and need not be tokenized.
  std::size_t max_prompt_bytes = 0;
  engine::SamplingParams default_sampling;
  double request_timeout = 0;  ///< seconds for a request, at most; 0: no limit
};

ModelLimits limits_of(const ServedModel& model);

/// Bounds that keep one request from becoming the whole server's work.
constexpr std::int64_t kMaxLogprobs = 20;
constexpr std::int64_t kMaxChoices = 128;
constexpr std::size_t kMaxStopStrings = 64;
constexpr std::size_t kMaxStopBytes = 4096;  ///< of each; held back text is at most this long
constexpr std::size_t kMaxStopTokens = 1024;
constexpr std::size_t kMaxBiases = 1024;

struct AnswerFields {
  /// sampling.max_tokens and the logprobs fields are set by the endpoint, which knows prompt and
  /// dialect.
  GenerationOptions options;
  std::optional<OutputForm> form;          ///< becomes options.grammar: settle_output_form()
  std::string model;                       ///< as the request calls it
  std::optional<std::int64_t> max_tokens;  ///< as asked for
  /// It is an upper bound, and may be more than the context leaves.
  bool max_tokens_is_bound = false;
  std::int32_t choices = 1;     ///< n
  std::int32_t candidates = 1;  ///< generated for every prompt: the choices, or more
  bool stream = false, include_usage = false, continuous_usage = false;
  bool names_service_tier = false;  ///< the request does, so the answer does
  std::int64_t priority = 0;
  std::optional<engine::RequestTimes::Clock::time_point> deadline;
  bool return_token_ids = false, tokens_as_token_ids = false;
};

/// Errors: ApiError 400 naming the field; 404 if another model is asked for.
AnswerFields read_answer_fields(const RequestFields& fields, const ModelLimits& limits);

/// The model's name as the request has it, or the first. 404 if it names another than the one
/// served.
std::string read_model(const RequestFields& fields, const ModelLimits& limits);
/// As above, for a name from elsewhere.
void check_model(std::string_view name, const ModelLimits& limits);

/// Sets sampling.max_tokens to what was asked for, or else to `fallback` or what the context
/// leaves. Errors: ApiError 400 (context_length_exceeded) with the numbers, or for min_tokens above
/// it. `field` is how the request called max_tokens.
void settle_max_tokens(AnswerFields& answer, std::string_view field,
                       std::optional<std::int64_t> fallback, std::int64_t prompt_tokens,
                       const ModelLimits& limits);

}  // namespace isotope::server
