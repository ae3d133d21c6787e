// Chat messages to prompt tokens.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "server/generation.h"

namespace isotope::cli {

json::object message(std::string_view role, std::string_view content);

/// Renders and tokenizes a conversation. Errors: unsupported if the model has no chat template.
std::vector<TokenId> chat_prompt(const server::ServedModel& model, const json::array& messages,
                                 bool enable_thinking);

}  // namespace isotope::cli
