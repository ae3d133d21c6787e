#include "server/messages_request.h"

#include <cstdint>

#include "server/chat_body.h"
#include "server/text_content.h"

namespace isotope::server {
namespace {

constexpr std::size_t kMaxBlocks = kMaxParts;

/// A block of what the user sent.
void add_user_block(const RequestFields& block, ChatMessages& messages) {
  if (block.string("type") == "tool_result") {
    messages.add_tool_result(block.required_string("tool_use_id"),
                             read_text(block, "content", {"text"}));
  } else {
    // Neighbouring turns of a user are one turn in this protocol.
    messages.add("user", read_text_part(block, {"text"}), ChatMessages::Join::with_same_role);
  }
}

/// A block of what the model answered earlier.
void add_assistant_block(const RequestFields& block, ChatMessages& messages) {
  const std::string type = block.string("type").value_or("");
  if (type == "thinking") {
    messages.add_reasoning(block.required_string("thinking"));
  } else if (type == "tool_use") {
    const json::value* input = block.find("input");
    if (!input || !input->is_object()) block.wrong("input", "a JSON object");
    messages.add_call(block.required_string("id"), block.required_string("name"), *input);
  } else if (type != "redacted_thinking") {  // only its author could read that
    messages.add_answer(read_text_part(block, {"text"}));
  }
}

void add_message(const RequestFields& message, ChatMessages& messages) {
  const std::string role = message.required_string("role");
  if (role != "user" && role != "assistant" && role != "system")
    message.wrong("role", "user, assistant or system");
  const json::value* content = message.find("content");
  if (!content) message.reject("content", "is missing");
  if (role == "system") {
    messages.add("system", read_text(message, "content", {"text"}));
  } else if (content->is_string()) {
    if (role == "user")
      messages.add("user", content->get_string(), ChatMessages::Join::with_same_role);
    else
      messages.add_answer(content->get_string());
  } else if (content->is_array()) {
    std::size_t index = 0;
    for (const json::value& item : *message.array("content", kMaxBlocks)) {
      const RequestFields block(item, fmt::format("{}[{}]", message.path("content"), index++));
      role == "user" ? add_user_block(block, messages) : add_assistant_block(block, messages);
    }
  } else {
    message.wrong("content", "a string or a list of blocks");
  }
}

void put_messages(const RequestFields& fields, json::object& body) {
  ChatMessages messages;
  if (fields.has("system")) messages.add("system", read_text(fields, "system", {"text"}));
  const json::array* items = fields.array("messages", kMaxMessages);
  if (!items) fields.reject("messages", "is missing");
  if (items->empty()) fields.reject("messages", "is an empty list");
  std::size_t index = 0;
  for (const json::value& item : *items)
    add_message(RequestFields(item, fmt::format("messages[{}]", index++)), messages);
  // A conversation that ends with the assistant's own words is continued there.
  if (messages.ends_with_answer()) {
    body["continue_final_message"] = true;
    body["add_generation_prompt"] = false;
  }
  body["messages"] = std::move(messages).finish();
}

void put_tools(const RequestFields& fields, json::object& body) {
  if (const json::array* items = fields.array("tools", kMaxTools)) {
    json::array tools;
    for (const json::value& item : *items) {
      const RequestFields tool(item, fmt::format("tools[{}]", tools.size()));
      if (const std::string type = tool.string("type").value_or("custom"); type != "custom")
        tool.reject("type", fmt::format("'{}' is a tool that Anthropic runs; only tools that the "
                                        "client runs are supported",
                                        type));
      tools.push_back(chat_tool(tool, "input_schema"));
    }
    body["tools"] = std::move(tools);
  }
  const json::value* value = fields.find("tool_choice");
  if (!value) return;
  const RequestFields choice(*value, "tool_choice");
  const std::string type = choice.string("type").value_or("");
  if (type == "auto" || type == "none") {
    body["tool_choice"] = type;
  } else if (type == "any") {
    body["tool_choice"] = "required";
  } else if (type == "tool") {
    body["tool_choice"] = json::object{
        {"type", "function"}, {"function", json::object{{"name", choice.required_string("name")}}}};
  } else {
    choice.wrong("type", "auto, any, tool or none");
  }
  if (choice.boolean("disable_parallel_tool_use").value_or(false))
    body["parallel_tool_calls"] = false;
}

/// Without `thinking` a model does what it does in every other protocol.
void put_thinking(const RequestFields& fields, json::object& body) {
  const json::value* value = fields.find("thinking");
  if (!value) return;
  const RequestFields thinking(*value, "thinking");
  const std::string type = thinking.string("type").value_or("");
  if (type != "enabled" && type != "disabled" && type != "adaptive" && type != "between_tools")
    thinking.wrong("type", "enabled, disabled, adaptive or between_tools");
  if (type == "enabled" || type == "disabled") body["enable_thinking"] = type == "enabled";
  const auto budget = thinking.integer("budget_tokens", 1, INT32_MAX);
  if (budget && type == "enabled") body["thinking_budget"] = *budget;
  if (thinking.string("display") == "omitted") body["include_reasoning"] = false;
}

void put_output_config(const RequestFields& fields, json::object& body) {
  const json::value* value = fields.find("output_config");
  if (!value) return;
  const RequestFields config(*value, "output_config");
  if (const auto effort = config.string("effort")) body["reasoning_effort"] = *effort;
  const json::value* wanted = config.find("format");
  if (!wanted) return;
  const RequestFields format(*wanted, "output_config.format");
  if (format.string("type") != "json_schema") format.wrong("type", "json_schema");
  const json::value* schema = format.find("schema");
  if (!schema) format.reject("schema", "is missing");
  body["response_format"] =
      json::object{{"type", "json_schema"},
                   {"json_schema", json::object{{"name", "answer"}, {"schema", *schema}}}};
}

}  // namespace

ChatRequest parse_messages_request(const json::value& body, const ModelLimits& limits,
                                   MessagesFor purpose) {
  const RequestFields fields(body);
  for (const std::string_view name : {"container", "mcp_servers"})
    fields.refuse(name, "is not supported by this server; leave it out");
  json::object chat = common_fields(fields, {"system", "thinking", "output_config",
                                             "stop_sequences", "stop", "parallel_tool_calls"});
  const auto max_tokens = fields.integer("max_tokens", 1, INT32_MAX);
  if (purpose == MessagesFor::answering && !max_tokens) fields.reject("max_tokens", "is missing");
  if (max_tokens) chat["max_tokens"] = *max_tokens;
  if (const json::array* stops = fields.array("stop_sequences", kMaxStopStrings))
    chat["stop"] = *stops;
  put_messages(fields, chat);
  put_tools(fields, chat);
  put_thinking(fields, chat);
  put_output_config(fields, chat);
  ChatRequest request = parse_chat_body(std::move(chat), limits,
                                        {{"stop", "stop_sequences"},
                                         {"response_format.json_schema", "output_config.format"},
                                         {"response_format", "output_config.format"},
                                         {"reasoning_effort", "output_config.effort"}});
  request.answer.max_tokens_is_bound = true;
  return request;
}

}  // namespace isotope::server
