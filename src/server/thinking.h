// How much a request wants the model to think, and whether it wants to see that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "server/request_fields.h"

namespace isotope::server {

struct Thinking {
  std::optional<bool> enabled;         ///< as asked for; else as the template has it
  std::optional<std::string> effort;   ///< reasoning_effort
  std::optional<std::int64_t> budget;  ///< most tokens of reasoning
  bool show = true;                    ///< in the answer
};

/// enable_thinking, reasoning_effort, thinking_budget (vLLM's thinking_token_budget) and
/// include_reasoning. Errors: ApiError 400 naming the field.
Thinking read_thinking(const RequestFields& fields);

/// Gives the template its variables for it, where the request has not set them itself.
void tell_template(const Thinking& thinking, json::object& variables);

}  // namespace isotope::server
