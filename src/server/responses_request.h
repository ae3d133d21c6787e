// POST /v1/responses, OpenAI's newer protocol: the body, parsed, checked and brought into the form
// of a chat completion.
#pragma once

#include "server/chat_request.h"

namespace isotope::server {

struct ResponsesRequest {
  ChatRequest chat;
  /// The members of a response object that repeat what was asked for.
  json::object echo;
};

/// Errors: ApiError 400 naming the field; 404 for an unknown model.
ResponsesRequest parse_responses_request(const json::value& body, const ModelLimits& limits);

}  // namespace isotope::server
