// The model's turn in a conversation: the prompt that asks for it, how its answer is to be read,
// and how it must look. Every protocol with conversations goes through here.
#pragma once

#include <vector>

#include "server/chat_request.h"
#include "server/generation.h"

namespace isotope::server {

/// The prompt of a chat request, rendered and tokenized; what depends on it in request.answer is
/// settled: the longest answer, how reasoning, content and tool calls are told apart, and that
/// tools are called where they must be. Takes the conversation away. Errors: ApiError 400,
/// context_length_exceeded among them.
std::vector<TokenId> prepare_chat(const ServedModel& model, const ModelLimits& limits,
                                  ChatRequest& request);

}  // namespace isotope::server
