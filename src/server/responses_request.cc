#include "server/responses_request.h"

#include <algorithm>

#include "server/chat_body.h"
#include "server/text_content.h"

namespace isotope::server {
namespace {

constexpr std::size_t kMaxMetadata = 16, kMaxMetadataName = 64, kMaxMetadataValue = 512;

/// What the model answered earlier: text, or OpenAI's form of a refusal.
void add_answer(const RequestFields& item, ChatMessages& messages) {
  const json::value* content = item.find("content");
  if (!content || content->is_string()) {
    messages.add_answer(read_text(item, "content", {}));
    return;
  }
  std::size_t index = 0;
  const json::array* parts = item.array("content", kMaxParts);
  for (const json::value& value : *parts) {
    const RequestFields part(value, fmt::format("{}[{}]", item.path("content"), index++));
    messages.add_answer(part.string("type") == "refusal"
                            ? part.required_string("refusal")
                            : read_text_part(part, {"output_text", "input_text", "text"}));
  }
}

void add_message(const RequestFields& item, ChatMessages& messages) {
  const std::string role = item.required_string("role");
  if (!item.has("content")) item.reject("content", "is missing");
  if (role == "assistant") {
    add_answer(item, messages);
  } else if (role == "user" || role == "system" || role == "developer") {
    messages.add(role, read_text(item, "content", {"input_text", "text"}));
  } else {
    item.wrong("role", "user, assistant, system or developer");
  }
}

/// The model's thoughts as this server gave them out; a summary is for people.
void add_reasoning(const RequestFields& item, ChatMessages& messages) {
  const std::string text = read_text(item, "content", {"reasoning_text"});
  if (!text.empty()) messages.add_reasoning(text);
}

void add_item(const RequestFields& item, ChatMessages& messages) {
  const std::string type = item.string("type").value_or("message");
  if (type == "message") {
    add_message(item, messages);
  } else if (type == "reasoning") {
    add_reasoning(item, messages);
  } else if (type == "function_call") {
    messages.add_call(item.required_string("call_id"), item.required_string("name"),
                      json::value(item.required_string("arguments")));
  } else if (type == "function_call_output") {
    if (!item.has("output")) item.reject("output", "is missing");
    messages.add_tool_result(item.required_string("call_id"),
                             read_text(item, "output", {"input_text", "text"}));
  } else if (type == "item_reference") {
    item.reject("type",
                "'item_reference' is not supported: this server stores nothing; send the "
                "item itself");
  } else {
    item.reject("type", fmt::format("'{}' is not supported; messages, reasoning, function_call and "
                                    "function_call_output are",
                                    type));
  }
}

void put_messages(const RequestFields& fields, json::object& body) {
  ChatMessages messages;
  if (const auto instructions = fields.string("instructions"))
    messages.add("system", *instructions);
  const json::value* input = fields.find("input");
  if (!input) fields.reject("input", "is missing");
  if (input->is_string()) {
    messages.add("user", input->get_string());
  } else if (input->is_array()) {
    const json::array& items = *fields.array("input", kMaxMessages);
    if (items.empty()) fields.reject("input", "is an empty list");
    std::size_t index = 0;
    for (const json::value& item : items)
      add_item(RequestFields(item, fmt::format("input[{}]", index++)), messages);
  } else {
    fields.wrong("input", "a string or a list of items");
  }
  if (messages.empty()) fields.reject("input", "has nothing to answer");
  body["messages"] = std::move(messages).finish();
}

void check_function_type(const RequestFields& tool) {
  const std::string type = tool.string("type").value_or("");
  if (type != "function")
    tool.reject("type", fmt::format("'{}' is not supported; only tools of type function, which the "
                                    "client runs, are",
                                    type));
}

/// {"type": "function", "name"} with the name where chat completions have it.
json::object chat_choice(const RequestFields& choice) {
  check_function_type(choice);
  return {{"type", "function"},
          {"function", json::object{{"name", choice.required_string("name")}}}};
}

/// {"type": "allowed_tools", "mode", "tools"} likewise.
json::object chat_allowed_tools(const RequestFields& choice) {
  json::object allowed;
  if (const json::value* mode = choice.find("mode")) allowed["mode"] = *mode;
  if (const json::array* items = choice.array("tools", kMaxTools)) {
    json::array tools;
    for (const json::value& item : *items)
      tools.push_back(
          chat_choice(RequestFields(item, fmt::format("tool_choice.tools[{}]", tools.size()))));
    allowed["tools"] = std::move(tools);
  }
  return {{"type", "allowed_tools"}, {"allowed_tools", std::move(allowed)}};
}

void put_tools(const RequestFields& fields, json::object& body) {
  if (const json::array* items = fields.array("tools", kMaxTools)) {
    json::array tools;
    for (const json::value& item : *items) {
      const RequestFields tool(item, fmt::format("tools[{}]", tools.size()));
      check_function_type(tool);
      tools.push_back(chat_tool(tool, "parameters"));
    }
    body["tools"] = std::move(tools);
  }
  const json::value* value = fields.find("tool_choice");
  if (!value) return;
  if (value->is_string()) {
    body["tool_choice"] = *value;
    return;
  }
  const RequestFields choice(*value, "tool_choice");
  body["tool_choice"] =
      choice.string("type") == "allowed_tools" ? chat_allowed_tools(choice) : chat_choice(choice);
}

/// text.format is a chat completion's response_format, less nested.
void put_text_format(const RequestFields& fields, json::object& body) {
  const json::value* value = fields.find("text");
  if (!value) return;
  const RequestFields text(*value, "text");
  const json::value* wanted = text.find("format");
  if (!wanted) return;
  const RequestFields format(*wanted, "text.format");
  const std::string type = format.required_string("type");
  json::object result{{"type", type}};
  if (type == "json_schema") {
    json::object schema;
    for (const std::string_view name : {"name", "description", "schema", "strict"})
      if (const json::value* member = format.find(name)) schema[name] = *member;
    result["json_schema"] = std::move(schema);
  }
  body["response_format"] = std::move(result);
}

void put_logprobs(const RequestFields& fields, json::object& body) {
  bool wanted = false;
  if (const json::array* include = fields.array("include", 64))
    wanted = std::find(include->begin(), include->end(), "message.output_text.logprobs") !=
             include->end();
  const std::optional<std::int64_t> top = fields.integer("top_logprobs", 0, kMaxLogprobs);
  if (!wanted && top.value_or(0) == 0) return;
  body["logprobs"] = true;
  body["top_logprobs"] = top.value_or(0);
}

void check_metadata(const RequestFields& fields) {
  const json::value* value = fields.find("metadata");
  if (!value) return;
  const RequestFields metadata(*value, "metadata");
  if (metadata.object().size() > kMaxMetadata)
    fields.reject("metadata", fmt::format("has {} entries; at most {} are allowed",
                                          metadata.object().size(), kMaxMetadata));
  for (const auto& [name, entry] : metadata.object())
    if (name.size() > kMaxMetadataName || !entry.is_string() ||
        entry.get_string().size() > kMaxMetadataValue)
      fields.reject("metadata", fmt::format("must have names of at most {} and strings of at most "
                                            "{} bytes",
                                            kMaxMetadataName, kMaxMetadataValue));
}

/// What needs a server that stores responses or runs tools by itself.
void check_unsupported(const RequestFields& fields) {
  fields.refuse("previous_response_id",
                "is not supported: this server stores nothing; send the whole conversation as "
                "input");
  fields.refuse("conversation",
                "is not supported: this server stores nothing; send the whole conversation as "
                "input");
  fields.refuse("background", "is not supported: this server stores nothing; stream the answer");
  fields.refuse("prompt", "is not supported: this server has no stored prompts; send input");
  for (const std::string_view name : {"context_management", "moderation"})
    fields.refuse(name, "is not supported by this server; leave it out");
  if (fields.string("truncation").value_or("disabled") != "disabled")
    fields.reject("truncation", "only \"disabled\" is supported; shorten the input");
}

/// 0.7 and not the 0.699999988 that it became.
double as_written(float value) { return std::stod(fmt::format("{}", value)); }

json::object echo_of(const RequestFields& fields, const ChatRequest& chat) {
  const engine::SamplingParams& sampling = chat.answer.options.sampling;
  json::object echo{{"background", false},
                    {"instructions", nullptr},
                    {"max_output_tokens", nullptr},
                    {"max_tool_calls", nullptr},
                    {"metadata", json::object()},
                    {"parallel_tool_calls", true},
                    {"previous_response_id", nullptr},
                    {"reasoning", json::object{{"effort", nullptr}, {"summary", nullptr}}},
                    {"text", json::object{{"format", json::object{{"type", "text"}}}}},
                    {"tool_choice", "auto"},
                    {"tools", json::array()},
                    {"top_logprobs", 0},
                    {"truncation", "disabled"},
                    {"user", nullptr}};
  for (auto& [name, value] : echo)
    if (const json::value* given = fields.find(name)) value = *given;
  for (const std::string_view name : {"prompt_cache_key", "safety_identifier"})
    if (const auto given = fields.string(name)) echo[name] = *given;
  echo["temperature"] = as_written(sampling.temperature);
  echo["top_p"] = as_written(sampling.top_p);
  echo["store"] = false;
  echo["service_tier"] = "default";
  return echo;
}

}  // namespace

ResponsesRequest parse_responses_request(const json::value& body, const ModelLimits& limits) {
  const RequestFields fields(body);
  check_unsupported(fields);
  check_metadata(fields);
  json::object chat = common_fields(fields, {"input", "instructions", "text", "include",
                                             "max_output_tokens", "reasoning", "prompt"});
  if (const auto limit = fields.integer("max_output_tokens", 1, INT32_MAX))
    chat["max_completion_tokens"] = *limit;
  if (const json::value* reasoning = fields.find("reasoning"))
    if (const auto effort = RequestFields(*reasoning, "reasoning").string("effort"))
      chat["reasoning_effort"] = *effort;
  put_messages(fields, chat);
  put_tools(fields, chat);
  put_text_format(fields, chat);
  put_logprobs(fields, chat);
  ResponsesRequest request;
  request.chat = parse_chat_body(std::move(chat), limits,
                                 {{"max_completion_tokens", "max_output_tokens"},
                                  {"tool_choice.allowed_tools", "tool_choice"},
                                  {"response_format.json_schema", "text.format"},
                                  {"response_format", "text.format"},
                                  {"reasoning_effort", "reasoning.effort"}});
  request.chat.max_tokens_field = "max_output_tokens";
  request.chat.conversation.field = "input";
  request.echo = echo_of(fields, request.chat);
  return request;
}

}  // namespace isotope::server
