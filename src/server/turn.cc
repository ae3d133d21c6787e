#include "server/turn.h"

#include <utility>

#include "server/answer_grammar.h"
#include "server/api_error.h"
#include "server/prompt.h"

namespace isotope::server {
namespace {

using Start = text::AnswerFormat::Start;
using text::ReasoningSyntax;
using text::ToolCallSyntax;

/// Where an answer begins that goes on from `begun`, the start of the model's own message.
Start start_within(std::string_view begun, std::string_view open, std::string_view close) {
  const std::size_t opened = begun.rfind(open), closed = begun.rfind(close);
  const bool inside = opened != begun.npos && (closed == begun.npos || closed < opened);
  return inside ? Start::reasoning : Start::content;
}

/// Where an answer begins, by the prompt's end: that is the template's, not the user's.
Start start_after(std::string_view prompt, std::string_view open, std::string_view close,
                  bool thinks) {
  prompt = prompt.substr(0, prompt.find_last_not_of(" \t\r\n") + 1);
  if (prompt.ends_with(open)) return Start::reasoning;
  if (prompt.ends_with(close)) return Start::content;
  return thinks ? Start::expected : Start::content;
}

/// Ministral has no switch, but what it must not begin it cannot do.
void forbid_reasoning(const text::Tokenizer& tokenizer, engine::SamplingParams& sampling) {
  constexpr float kNever = -100;  // OpenAI's strongest bias
  if (const auto id = tokenizer.id_of("[THINK]")) sampling.logit_bias.emplace_back(*id, kNever);
}

text::AnswerFormat format_of(const ServedModel& model, const ToolUse& tools,
                             const Thinking& thinking) {
  text::AnswerFormat format;
  format.reasoning = model.dialect.reasoning;
  if (!tools.tools.empty()) format.tool_calls = model.dialect.tool_calls;
  format.single_call = !tools.parallel || tools.choice == ToolUse::Choice::named;
  format.show_reasoning = thinking.show;
  format.find_marker_tokens(*model.tokenizer);
  return format;
}

}  // namespace

std::vector<TokenId> prepare_chat(const ServedModel& model, const ModelLimits& limits,
                                  ChatRequest& request) {
  Conversation& conversation = request.conversation;
  const ToolUse tools = std::move(conversation.tools);
  if (tools.must_call() && model.dialect.tool_calls == ToolCallSyntax::none)
    throw ApiError(400,
                   "tool_choice: nobody knows how this model writes calls; start the server with "
                   "--tool-call-parser, or use \"auto\"",
                   "tool_choice");
  const Thinking thinking = conversation.thinking;
  text::AnswerFormat format = format_of(model, tools, thinking);
  const bool add_special_tokens = conversation.add_special_tokens;
  const std::string_view field = conversation.field;
  std::string begun;
  const bool continues = conversation.continue_final_message;
  if (continues)
    begun = conversation.variables.at("messages").as_array().back().at("content").as_string();
  const std::string rendered = render(model, std::move(conversation));
  if (format.reasoning != ReasoningSyntax::none) {
    const auto markers = text::marker_spellings(format.reasoning, ToolCallSyntax::none);
    const std::string_view open = markers[0].text, close = markers[1].text;
    const bool thinks = model.dialect.thinks && thinking.enabled.value_or(true);
    format.start =
        continues ? start_within(begun, open, close) : start_after(rendered, open, close, thinks);
  }
  GenerationOptions& options = request.answer.options;
  if (thinking.enabled == false && format.reasoning == ReasoningSyntax::mistral)
    forbid_reasoning(*model.tokenizer, options.sampling);
  options.format = std::move(format);
  options.reasoning_budget = thinking.budget;
  std::vector<TokenId> prompt = encode(model, limits, rendered, add_special_tokens, field);
  settle_max_tokens(request.answer, request.max_tokens_field, std::nullopt,
                    std::int64_t(prompt.size()), limits);
  options.grammar = answer_grammar(model, {*options.format, thinking, tools, request.answer.form});
  return prompt;
}

}  // namespace isotope::server
