// Requests of other protocols, brought into the form of a chat completion's body. From there on
// chat_request.h reads them: every field that means the same there is checked and obeyed in one
// place, for all protocols.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "server/chat_request.h"

namespace isotope::server {

/// The messages of a chat completion, gathered from pieces of a conversation. What an assistant
/// says and calls without interruption becomes one message, as templates expect it.
class ChatMessages {
 public:
  enum class Join { no, with_same_role };

  /// A message of system, developer or user. Join: text follows on that of the message before if
  /// both have this role.
  void add(std::string_view role, std::string_view text, Join join = Join::no);
  void add_reasoning(std::string_view text);
  void add_answer(std::string_view text);
  /// `arguments`: JSON text, or an object.
  void add_call(std::string_view id, std::string_view name, json::value arguments);
  void add_tool_result(std::string_view call_id, std::string_view text);

  bool empty() const { return messages_.empty(); }
  /// The last message is text of the assistant's, which it can go on with.
  bool ends_with_answer() const;
  json::array finish() && { return std::move(messages_); }

 private:
  json::object& assistant();

  json::array messages_;
  bool open_ = false;  ///< the last message is an assistant's
};

/// {"type": "function", "function": {...}}; members that are missing are left out.
json::object chat_tool(const RequestFields& tool, std::string_view schema_field);

/// The fields of `request` that chat completions know by the same name: how to sample, when to
/// stop, what the template gets. Without those of a chat completion's form, and without `own`,
/// which mean something else there.
json::object common_fields(const RequestFields& request,
                           std::initializer_list<std::string_view> own);

/// What fields of a chat completion are called in another protocol: {there, here}.
using FieldNames = std::initializer_list<std::pair<std::string_view, std::string_view>>;

/// parse_chat_request, with errors that call fields as the client did.
ChatRequest parse_chat_body(json::object body, const ModelLimits& limits, FieldNames names);

}  // namespace isotope::server
