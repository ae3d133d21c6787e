// POST /v1/chat/completions: the body, parsed, checked and brought into the form that chat
// templates expect.
#pragma once

#include <optional>
#include <string>

#include "server/answer_fields.h"
#include "server/thinking.h"
#include "server/tools.h"

namespace isotope::server {

constexpr std::size_t kMaxMessages = 16384;

/// Where a conversation stands in a request: /v1/chat/completions and /tokenize read it alike.
struct Conversation {
  /// messages, tools, add_generation_prompt and chat_template_kwargs; the server adds bos_token and
  /// eos_token.
  json::object variables;
  ToolUse tools;
  Thinking thinking;
  bool continue_final_message = false;
  bool add_special_tokens = false;      ///< templates write them as text
  std::string_view field = "messages";  ///< what the protocol calls it, for errors
};

struct ChatRequest {
  AnswerFields answer;
  Conversation conversation;
  std::string_view max_tokens_field = "max_tokens";  ///< or "max_completion_tokens", for messages
};

/// Errors: ApiError 400 naming the field; 404 for an unknown model.
ChatRequest parse_chat_request(const json::value& body, const ModelLimits& limits);
Conversation parse_conversation(const RequestFields& fields);

}  // namespace isotope::server
