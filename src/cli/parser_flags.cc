#include "cli/parser_flags.h"

#include <CLI/CLI.hpp>
#include <map>

#include "base/log.h"

namespace isotope::cli {
namespace {

using text::ReasoningSyntax;
using text::ToolCallSyntax;

// The first name of a syntax is the one that is logged.
const std::map<std::string, ReasoningSyntax> kReasoning = {{"none", ReasoningSyntax::none},
                                                           {"qwen3", ReasoningSyntax::qwen3},
                                                           {"mistral", ReasoningSyntax::mistral}};
const std::map<std::string, ToolCallSyntax> kToolCalls = {{"none", ToolCallSyntax::none},
                                                          {"hermes", ToolCallSyntax::hermes},
                                                          {"qwen3", ToolCallSyntax::hermes},
                                                          {"mistral", ToolCallSyntax::mistral}};

template <typename T>
std::vector<std::string> names_of(const std::map<std::string, T>& syntaxes) {
  std::vector<std::string> names = {"auto"};
  for (const auto& [name, syntax] : syntaxes) names.push_back(name);
  return names;
}

template <typename T>
const std::string& name_of(T syntax, const std::map<std::string, T>& syntaxes) {
  for (const auto& [name, value] : syntaxes)
    if (value == syntax) return name;
  throw std::out_of_range("a syntax without a name");
}

}  // namespace

void ParserFlags::add_to(CLI::App& command) {
  command
      .add_option("--reasoning-parser", reasoning,
                  "How the model marks its reasoning: qwen3 <think>, mistral [THINK] (auto: by its "
                  "template and control tokens; none: reasoning stays in the text)")
      ->check(CLI::IsMember(names_of(kReasoning)).description(""))
      ->type_name("auto|none|qwen3|mistral")
      ->capture_default_str();
  command
      .add_option("--tool-call-parser", tool_calls,
                  "How it writes tool calls: hermes (Qwen3's, too) <tool_call>, mistral "
                  "[TOOL_CALLS] (auto, none: as above)")
      ->check(CLI::IsMember(names_of(kToolCalls)).description(""))
      ->type_name("auto|none|hermes|qwen3|mistral")
      ->capture_default_str();
  const std::string kAccepted = "Accepted as in vLLM; tools need no flag here";
  command.add_flag("--enable-auto-tool-choice", kAccepted);
}

void ParserFlags::apply(server::ServedModel& model) const {
  text::AnswerDialect& dialect = model.dialect;
  if (reasoning != "auto") dialect.reasoning = kReasoning.at(reasoning);
  if (tool_calls != "auto") dialect.tool_calls = kToolCalls.at(tool_calls);
  log_info("server", "reasoning parser: {}; tool call parser: {}",
           name_of(dialect.reasoning, kReasoning), name_of(dialect.tool_calls, kToolCalls));
}

}  // namespace isotope::cli
