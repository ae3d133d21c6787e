#include "server/chat_body.h"

#include <algorithm>

#include "server/api_error.h"

namespace isotope::server {
namespace {

void append_line(json::object& message, std::string_view field, std::string_view text) {
  json::value& value = message[field];
  if (!value.is_string() || value.get_string().empty()) {
    value = text;
  } else {
    value.get_string() += '\n';
    value.get_string() += text;
  }
}

/// "stop" and "stop[1]: …", but not "stop_token_ids".
bool begins_with_field(std::string_view text, std::string_view name) {
  if (!text.starts_with(name)) return false;
  return text.size() == name.size() || std::string_view(".[:").find(text[name.size()]) != text.npos;
}

/// Only chat completions put a tool's members into one more object.
std::string without_function(std::string text) {
  constexpr std::string_view kMember = ".function";
  const std::size_t position = text.starts_with("tool") ? text.find(kMember) : text.npos;
  if (position != std::string::npos) text.erase(position, kMember.size());
  return text;
}

/// A text that may begin with a field's name, under that field's name in another protocol.
std::string own_name(std::string_view text, FieldNames names) {
  for (const auto& [name, own] : names)
    if (begins_with_field(text, name)) return fmt::format("{}{}", own, text.substr(name.size()));
  return without_function(std::string(text));
}

}  // namespace

void ChatMessages::add(std::string_view role, std::string_view text, Join join) {
  const bool same =
      !messages_.empty() && messages_.back().as_object().at("role").as_string() == role;
  if (join == Join::with_same_role && same) {
    append_line(messages_.back().as_object(), "content", text);
  } else {
    messages_.push_back(json::object{{"role", role}, {"content", text}});
  }
  open_ = false;
}

json::object& ChatMessages::assistant() {
  if (!open_) messages_.push_back(json::object{{"role", "assistant"}, {"content", ""}});
  open_ = true;
  return messages_.back().as_object();
}

bool ChatMessages::ends_with_answer() const {
  if (!open_) return false;
  const json::object& last = messages_.back().as_object();
  return !last.contains("tool_calls") && !last.at("content").as_string().empty();
}

void ChatMessages::add_reasoning(std::string_view text) {
  append_line(assistant(), "reasoning_content", text);
}

void ChatMessages::add_answer(std::string_view text) { append_line(assistant(), "content", text); }

void ChatMessages::add_call(std::string_view id, std::string_view name, json::value arguments) {
  json::value& calls = assistant()["tool_calls"];
  if (!calls.is_array()) calls = json::array();
  calls.get_array().push_back(json::object{
      {"id", id},
      {"type", "function"},
      {"function", json::object{{"name", name}, {"arguments", std::move(arguments)}}}});
}

void ChatMessages::add_tool_result(std::string_view call_id, std::string_view text) {
  messages_.push_back(json::object{{"role", "tool"}, {"tool_call_id", call_id}, {"content", text}});
  open_ = false;
}

json::object chat_tool(const RequestFields& tool, std::string_view schema_field) {
  json::object function{{"name", tool.required_string("name")}};
  if (const auto description = tool.string("description")) function["description"] = *description;
  if (const json::value* schema = tool.find(schema_field)) {
    if (!schema->is_object()) tool.wrong(schema_field, "a JSON schema");
    function["parameters"] = *schema;
  }
  if (const auto strict = tool.boolean("strict")) function["strict"] = *strict;
  return {{"type", "function"}, {"function", std::move(function)}};
}

json::object common_fields(const RequestFields& request,
                           std::initializer_list<std::string_view> own) {
  constexpr std::string_view kForm[] = {
      "messages",
      "tools",
      "tool_choice",
      "functions",
      "function_call",
      "max_tokens",
      "max_completion_tokens",
      "n",
      "logprobs",
      "top_logprobs",
      "prompt_logprobs",
      "return_token_ids",
      "response_format",
      "stream_options",
      "continue_final_message",
      "add_generation_prompt",
      "metadata",
      "service_tier",
  };
  const auto among = [](std::string_view name, const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  json::object common;
  for (const auto& [name, value] : request.object())
    if (!among(name, kForm) && !among(name, own)) common[name] = value;
  return common;
}

ChatRequest parse_chat_body(json::object body, const ModelLimits& limits, FieldNames names) {
  try {
    ChatRequest request = parse_chat_request(std::move(body), limits);
    // It is compiled later, and may fail then.
    if (request.answer.form)
      request.answer.form->field = own_name(request.answer.form->field, names);
    return request;
  } catch (const ApiError& error) {
    throw ApiError(error.status(), own_name(error.what(), names), own_name(error.param(), names),
                   error.code());
  }
}

}  // namespace isotope::server
