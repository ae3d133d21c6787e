// POST /v1/messages, Anthropic's protocol: the body, parsed, checked and brought into the form of a
// chat completion.
#pragma once

#include "server/chat_request.h"

namespace isotope::server {

/// For count_tokens nothing is generated, and max_tokens is not needed.
enum class MessagesFor { answering, counting };

/// Errors: ApiError 400 naming the field; 404 for an unknown model.
ChatRequest parse_messages_request(const json::value& body, const ModelLimits& limits,
                                   MessagesFor purpose);

}  // namespace isotope::server
