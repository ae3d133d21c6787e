// POST /v1/completions: the body, parsed and checked.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "server/answer_fields.h"

namespace isotope::server {

constexpr std::size_t kMaxPrompts = 1024;   ///< in one request
constexpr std::int64_t kMaxAnswers = 1024;  ///< prompts × n

/// As the client gave it: text or token ids.
using CompletionPrompt = std::variant<std::string, std::vector<TokenId>>;

struct CompletionRequest {
  AnswerFields answer;
  std::vector<CompletionPrompt> prompts;
  bool echo = false;
  /// As asked; to rank candidates the engine computes them anyway.
  std::optional<std::int32_t> logprobs;
  /// vLLM's prompt_logprobs, as asked; echo with logprobs makes the engine compute them, too.
  std::optional<std::int32_t> prompt_logprobs;
  bool add_special_tokens = true;
};

/// Errors: ApiError 400 naming the field; 404 for an unknown model.
CompletionRequest parse_completion_request(const json::value& body, const ModelLimits& limits);

}  // namespace isotope::server
