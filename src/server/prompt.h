// From what a client sends to token ids: chat templates and tokenization.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/chat_request.h"
#include "server/completion_request.h"
#include "server/generation.h"

namespace isotope::server {

/// The conversation as the model's template writes it. Errors: ApiError 400 (the template's
/// message, or no template).
std::string render(const ServedModel& model, Conversation conversation);

/// Whether the model's template heeds "enable_thinking" in chat_template_kwargs.
bool has_thinking_switch(const ServedModel& model);

/// Tokens of `text`. Errors: ApiError 400 naming `param` if there are none or surely more than the
/// context holds.
std::vector<TokenId> encode(const ServedModel& model, const ModelLimits& limits,
                            std::string_view text, bool add_special_tokens, std::string_view param);

/// A completion's prompt as tokens; `param` is its name ("prompt[3]").
std::vector<TokenId> encode_prompt(const ServedModel& model, const ModelLimits& limits,
                                   const CompletionPrompt& prompt, bool add_special_tokens,
                                   std::string_view param);

}  // namespace isotope::server
