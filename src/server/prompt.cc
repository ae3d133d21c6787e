#include "server/prompt.h"

#include <utility>

#include "server/api_error.h"

namespace isotope::server {
namespace {

/// Ends the rendered text right after the last message's content, so that the model goes on writing
/// it.
void cut_after_final_message(std::string& rendered, std::string_view content) {
  // Templates may strip what they insert.
  const std::size_t end = content.find_last_not_of(" \t\r\n");
  content = content.substr(0, end == std::string_view::npos ? 0 : end + 1);
  const std::size_t begin = content.find_first_not_of(" \t\r\n");
  if (begin != std::string_view::npos) content.remove_prefix(begin);
  const std::size_t position = content.empty() ? std::string::npos : rendered.rfind(content);
  if (position == std::string::npos)
    throw ApiError(
        400, "continue_final_message: the chat template does not show the last message's text",
        "continue_final_message");
  rendered.resize(position + content.size());
}

/// Mistral's own templates want reasoning as a part of the content.
void put_reasoning_into_content(json::object& message) {
  const json::value reasoning = std::exchange(message["reasoning_content"], nullptr);
  if (!reasoning.is_string() || reasoning.get_string().empty()) return;
  json::array parts{json::object{{"type", "thinking"}, {"thinking", reasoning}}};
  json::value& content = message["content"];
  if (!content.as_string().empty())
    parts.push_back(json::object{{"type", "text"}, {"text", content}});
  content = std::move(parts);
}

json::value token_spelling(const text::Tokenizer& tokenizer, std::optional<TokenId> id) {
  if (!id) return "";
  return json::value(tokenizer.token_text(*id));
}

}  // namespace

std::string render(const ServedModel& model, Conversation conversation) {
  if (!model.chat_template)
    throw ApiError(400,
                   fmt::format("{}: the model '{}' has no chat template; use /v1/completions",
                               conversation.field, model.name),
                   std::string(conversation.field));
  json::object& variables = conversation.variables;
  json::array& messages = variables.at("messages").as_array();
  const std::string final_text(messages.back().at("content").as_string());
  if (!model.chat_template->mentions("reasoning_content") &&
      model.chat_template->mentions("'thinking'"))
    for (json::value& message : messages)
      if (message.as_object().contains("reasoning_content"))
        put_reasoning_into_content(message.as_object());
  variables["bos_token"] = token_spelling(*model.tokenizer, model.tokenizer->bos_id());
  variables["eos_token"] = token_spelling(*model.tokenizer, model.tokenizer->eos_id());
  try {
    std::string rendered = model.chat_template->render(variables);
    if (conversation.continue_final_message) cut_after_final_message(rendered, final_text);
    return rendered;
  } catch (const Error& error) {
    throw ApiError(400,
                   fmt::format("{}: the chat template refused the conversation: {}",
                               conversation.field, error.what()),
                   std::string(conversation.field));
  }
}

bool has_thinking_switch(const ServedModel& model) {
  if (!model.chat_template) return false;
  const auto rendered = [&](bool thinking) {
    Conversation conversation;
    conversation.variables["messages"] =
        json::array{json::object{{"role", "user"}, {"content", "x"}}};
    conversation.variables["add_generation_prompt"] = true;
    conversation.variables["enable_thinking"] = thinking;
    return render(model, std::move(conversation));
  };
  try {
    return rendered(true) != rendered(false);
  } catch (const ApiError&) {
    return false;  // a template that refuses the simplest of conversations
  }
}

std::vector<TokenId> encode(const ServedModel& model, const ModelLimits& limits,
                            std::string_view text, bool add_special_tokens,
                            std::string_view param) {
  if (text.size() > limits.max_prompt_bytes)
    throw ApiError(400,
                   fmt::format("This model's maximum context length is {} tokens; {} has {} bytes, "
                               "which are more tokens than that.",
                               limits.context_tokens, param, text.size()),
                   std::string(param), "context_length_exceeded");
  std::vector<TokenId> tokens =
      model.tokenizer->encode(text, {.add_special_tokens = add_special_tokens});
  if (tokens.empty())
    throw ApiError(400, fmt::format("{}: is empty; the model needs at least one token", param),
                   std::string(param));
  return tokens;
}

std::vector<TokenId> encode_prompt(const ServedModel& model, const ModelLimits& limits,
                                   const CompletionPrompt& prompt, bool add_special_tokens,
                                   std::string_view param) {
  if (const auto* ids = std::get_if<std::vector<TokenId>>(&prompt)) return *ids;
  return encode(model, limits, std::get<std::string>(prompt), add_special_tokens, param);
}

}  // namespace isotope::server
