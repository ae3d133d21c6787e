#include "server/answer_grammar.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <utility>
#include <vector>

#include "base/error.h"
#include "server/api_error.h"
#include "text/grammar/json_schema.h"

namespace isotope::server {
namespace {

using text::GrammarBuilder;
using text::GrammarExpr;
using text::Marker;
using text::ReasoningSyntax;
using text::ToolCallSyntax;
using Start = text::AnswerFormat::Start;

/// Whether the answer may call tools so that the calls are recognized.
bool offers_calls(const AnswerDemands& demands) {
  return demands.format.tool_calls != ToolCallSyntax::none && !demands.tools.tools.empty();
}

class AnswerGrammar {
 public:
  AnswerGrammar(const text::Tokenizer& tokenizer, const AnswerDemands& demands)
      : tokenizer_(tokenizer), demands_(demands), format_(demands.format) {}

  text::Grammar build() {
    const GrammarExpr begin = reasoning();
    return builder_.finish(builder_.sequence({begin, answer()}));
  }

 private:
  std::string_view spelling(Marker marker) const {
    for (const auto& [kind, spelled] :
         text::marker_spellings(format_.reasoning, format_.tool_calls))
      if (kind == marker) return spelled;
    fail(ErrorCode::internal, "a marker that the answer's format does not have");
  }

  GrammarExpr mark(Marker marker) {
    const std::string_view text = spelling(marker);
    if (!format_.markers_are_tokens) return builder_.literal(text);
    return builder_.token(*tokenizer_.id_of(text));
  }

  GrammarExpr text_up_to(Marker end) {
    const std::string_view text = spelling(end);
    if (!format_.markers_are_tokens) return builder_.text_until(text);
    return builder_.text_until(*tokenizer_.id_of(text));
  }

  /// What stands before the answer proper.
  GrammarExpr reasoning() {
    if (format_.reasoning == ReasoningSyntax::none) return builder_.empty();
    const bool qwen3 = format_.reasoning == ReasoningSyntax::qwen3;
    if (format_.start == Start::content && (qwen3 || demands_.thinking.enabled == false))
      return builder_.empty();
    constexpr int kMaxNewlines = 2;  // as Qwen3 writes it
    const GrammarExpr rest =
        builder_.sequence({text_up_to(Marker::reasoning_close),
                           builder_.repeat(builder_.literal("\n"), 0, qwen3 ? kMaxNewlines : 0)});
    if (format_.start == Start::reasoning) return rest;
    const GrammarExpr whole = builder_.sequence({mark(Marker::reasoning_open), rest});
    return format_.start == Start::expected ? whole : builder_.optional(whole);
  }

  GrammarExpr answer() {
    const ToolUse& tools = demands_.tools;
    if (tools.must_call()) return calls();
    if (demands_.form) {
      const GrammarExpr content = add_output_form(builder_, *demands_.form);
      return offers_calls(demands_) ? builder_.alternatives({content, calls()}) : content;
    }
    // Calls of certain functions, or with certain arguments: any text, and then perhaps calls.
    return builder_.alternatives(
        {text_without_calls(),
         builder_.sequence({text_up_to(Marker::call_open), calls_after_marker()})});
  }

  GrammarExpr text_without_calls() {
    // The marker's token is no text in this grammar.
    if (format_.markers_are_tokens) return builder_.free_text();
    return builder_.except(builder_.free_text(),
                           builder_.sequence({builder_.text_until(spelling(Marker::call_open)),
                                              builder_.free_text()}));
  }

  GrammarExpr calls() { return builder_.sequence({mark(Marker::call_open), calls_after_marker()}); }

  /// One or several calls, from behind the opening marker of the first.
  GrammarExpr calls_after_marker() {
    std::vector<GrammarExpr> functions;
    for (const Tool& tool : demands_.tools.tools) functions.push_back(call_of(tool));
    const GrammarExpr call = builder_.alternatives(std::move(functions));
    if (format_.single_call) return call;
    const bool hermes = format_.tool_calls == ToolCallSyntax::hermes;
    const GrammarExpr next =
        builder_.sequence({builder_.literal(hermes ? "\n" : ""), mark(Marker::call_open), call});
    return builder_.sequence({call, builder_.repeat(next, 0)});
  }

  GrammarExpr call_of(const Tool& tool) {
    const GrammarExpr arguments = arguments_of(tool);
    if (format_.tool_calls == ToolCallSyntax::mistral)
      return builder_.sequence(
          {builder_.literal(tool.name), mark(Marker::call_arguments), arguments});
    const std::string name = json::serialize(json::value(tool.name));
    return builder_.sequence({builder_.literal("\n{\"name\": " + name + ", \"arguments\": "),
                              arguments, builder_.literal("}\n"), mark(Marker::call_close)});
  }

  /// As the function's schema has it, where calls are required or the function is strict.
  GrammarExpr arguments_of(const Tool& tool) {
    if (!tool.strict && !demands_.tools.must_call()) return text::any_json_object(builder_);
    if (tool.parameters.empty()) return builder_.literal("{}");
    json::object schema = tool.parameters;
    if (!schema.contains("type")) schema["type"] = "object";
    try {
      return text::json_schema(builder_, schema);
    } catch (const Error& error) {
      throw ApiError(400, fmt::format("{}: {}", tool.path, error.what()), tool.path);
    }
  }

  const text::Tokenizer& tokenizer_;
  const AnswerDemands& demands_;
  const text::AnswerFormat& format_;
  GrammarBuilder builder_;
};

/// Whether not every call would do that the model could make of what it is shown.
bool restricts_calls(const AnswerDemands& demands) {
  const std::vector<Tool>& tools = demands.tools.tools;
  return offers_calls(demands) &&
         (demands.tools.some_hidden ||
          std::any_of(tools.begin(), tools.end(), [](const Tool& tool) { return tool.strict; }));
}

/// Equal for equal grammars of one model.
std::string key_of(const AnswerDemands& demands) {
  const text::AnswerFormat& format = demands.format;
  std::string key = fmt::format("turn {} {} {} {} {} {}", int(format.reasoning),
                                int(format.tool_calls), int(format.start), format.single_call,
                                demands.thinking.enabled.value_or(true), int(demands.tools.choice));
  for (const Tool& tool : demands.tools.tools)
    key += fmt::format(" {} {} {}", json::serialize(json::value(tool.name)), tool.strict,
                       json::serialize(tool.parameters));
  if (demands.form) key += fmt::format(" form {} {}", int(demands.form->kind), demands.form->text);
  return key;
}

}  // namespace

std::shared_ptr<const text::CompiledGrammar> answer_grammar(const ServedModel& model,
                                                            const AnswerDemands& demands) {
  if (!demands.form && !demands.tools.must_call() && !restricts_calls(demands)) return nullptr;
  try {
    return model.grammars->get(key_of(demands),
                               [&] { return AnswerGrammar(*model.tokenizer, demands).build(); });
  } catch (const Error& error) {  // as a whole it is too much
    const std::string field = demands.form ? demands.form->field : "tools";
    throw ApiError(400, fmt::format("{}: {}", field, error.what()), field);
  }
}

}  // namespace isotope::server
