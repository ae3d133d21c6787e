#include "server/chat_request.h"

#include "server/api_error.h"
#include "server/text_content.h"

namespace isotope::server {
namespace {

constexpr std::size_t kMaxToolCalls = 1024;  // in one message

/// Templates expect the arguments as an object; OpenAI's protocol carries them as JSON text.
json::value read_arguments(const RequestFields& function) {
  const json::value* arguments = function.find("arguments");
  if (!arguments) return json::object();
  if (arguments->is_object()) return *arguments;
  if (!arguments->is_string())
    function.wrong("arguments", "an object, written as JSON in a string");
  if (arguments->get_string().empty()) return json::object();
  try {
    json::value parsed = parse_body(arguments->get_string());
    if (parsed.is_object()) return parsed;
  } catch (const ApiError&) {
    // Told below, with the name of the field.
  }
  function.wrong("arguments", "an object, written as JSON in a string");
}

json::array read_tool_calls(const RequestFields& message) {
  json::array calls;
  for (const json::value& item : *message.array("tool_calls", kMaxToolCalls)) {
    const RequestFields call(item, fmt::format("{}[{}]", message.path("tool_calls"), calls.size()));
    if (call.string("type").value_or("function") != "function")
      call.reject("type", "only \"function\" is supported");
    if (!call.has("function")) call.reject("function", "is missing");
    const RequestFields function(*call.find("function"), call.path("function"));
    const std::string name = function.required_string("name");
    json::object result;
    if (const auto id = call.string("id")) result["id"] = *id;
    result["type"] = "function";
    result["function"] = json::object{{"name", name}, {"arguments", read_arguments(function)}};
    calls.push_back(std::move(result));
  }
  return calls;
}

json::object read_message(const json::value& value, std::size_t index) {
  const RequestFields message(value, fmt::format("messages[{}]", index));
  std::string role = message.string("role").value_or("");
  if (role.empty()) message.reject("role", "is missing");
  // Models of today know "system" only.
  if (role == "developer") role = "system";
  if (role != "system" && role != "user" && role != "assistant" && role != "tool")
    message.wrong("role", "system, developer, user, assistant or tool");
  const bool has_calls = role == "assistant" && message.has("tool_calls");
  if (!message.has("content") && role != "assistant") message.reject("content", "is missing");
  json::object result;
  result["role"] = role;
  result["content"] = read_text(message, "content", {"text", "input_text"});
  if (has_calls) {
    json::array calls = read_tool_calls(message);
    if (!calls.empty()) result["tool_calls"] = std::move(calls);
  }
  for (const std::string_view field : {"name", "tool_call_id"})
    if (const auto text = message.string(field)) result[field] = *text;
  // vLLM's newer and older name; templates know the older one.
  for (const std::string_view field : {"reasoning", "reasoning_content"})
    if (const auto text = message.string(field)) result["reasoning_content"] = *text;
  message.refuse("function_call", "is not supported; use tool_calls");
  message.refuse("audio", "is not supported; only text can be sent");
  return result;
}

json::array read_messages(const RequestFields& fields) {
  const json::array* values = fields.array("messages", kMaxMessages);
  if (!values) fields.reject("messages", "is missing");
  if (values->empty()) fields.reject("messages", "is an empty list");
  json::array messages;
  messages.reserve(values->size());
  for (const json::value& value : *values) messages.push_back(read_message(value, messages.size()));
  return messages;
}

void read_template_arguments(const RequestFields& fields, json::object& variables) {
  const json::value* value = fields.find("chat_template_kwargs");
  if (!value) return;
  const RequestFields arguments(*value, fields.path("chat_template_kwargs"));
  for (const auto& [name, argument] : arguments.object()) {
    if (name == "messages" || name == "tools" || name == "chat_template" || name == "tokenize")
      arguments.reject(name, "cannot be set here");
    variables[name] = argument;
  }
}

void check_chat_only_fields(const RequestFields& fields) {
  fields.refuse("functions", "is not supported; use tools");
  fields.refuse("function_call", "is not supported; use tool_choice");
  fields.refuse("audio", "is not supported; answers are text");
  fields.refuse("prediction", "is not supported by this server; leave it out");
  fields.refuse("moderation", "is not supported by this server; leave it out");
  fields.refuse("web_search_options", "is not supported by this server; leave it out");
  fields.refuse("echo", "is not supported here; use /v1/completions");
  fields.refuse("chat_template", "is not accepted from requests; the model's own template is used");
  fields.refuse("documents", "is not supported by this server; leave it out");
  if (const json::array* modalities = fields.array("modalities", 16))
    for (const json::value& item : *modalities)
      if (!item.is_string() || item.get_string() != "text")
        fields.reject("modalities", "only [\"text\"] is supported");
}

void read_logprobs(const RequestFields& fields, engine::SamplingParams& sampling) {
  const bool wanted = fields.boolean("logprobs").value_or(false);
  const std::optional<std::int64_t> top = fields.integer("top_logprobs", 0, kMaxLogprobs);
  if (top && !wanted && *top > 0) fields.reject("top_logprobs", "needs \"logprobs\": true");
  if (wanted) sampling.logprobs = std::int32_t(top.value_or(0));
}

}  // namespace

Conversation parse_conversation(const RequestFields& fields) {
  Conversation conversation;
  conversation.continue_final_message = fields.boolean("continue_final_message").value_or(false);
  const bool generation_prompt =
      fields.boolean("add_generation_prompt").value_or(!conversation.continue_final_message);
  if (conversation.continue_final_message && generation_prompt)
    fields.reject("continue_final_message", "cannot be combined with add_generation_prompt");
  conversation.add_special_tokens = fields.boolean("add_special_tokens").value_or(false);
  read_template_arguments(fields, conversation.variables);
  conversation.variables["messages"] = read_messages(fields);
  conversation.variables["add_generation_prompt"] = generation_prompt;
  conversation.tools = read_tools(fields);
  // To the template they go as they came: it is known now that it finds what it looks for.
  if (!conversation.tools.tools.empty()) conversation.variables["tools"] = *fields.find("tools");
  conversation.thinking = read_thinking(fields);
  tell_template(conversation.thinking, conversation.variables);
  return conversation;
}

ChatRequest parse_chat_request(const json::value& body, const ModelLimits& limits) {
  const RequestFields fields(body);
  ChatRequest request;
  request.answer = read_answer_fields(fields, limits);
  check_chat_only_fields(fields);
  // The newer name wins, as it replaces the other in OpenAI's protocol.
  if (const auto newer = fields.integer("max_completion_tokens", 1, INT32_MAX)) {
    request.answer.max_tokens = newer;
    request.max_tokens_field = "max_completion_tokens";
  } else if (request.answer.max_tokens == 0) {
    fields.wrong("max_tokens", "an integer of at least 1");
  }
  read_logprobs(fields, request.answer.options.sampling);
  request.conversation = parse_conversation(fields);
  return request;
}

}  // namespace isotope::server
