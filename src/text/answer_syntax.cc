#include "text/answer_syntax.h"

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace isotope::text {

std::vector<MarkerSpelling> marker_spellings(ReasoningSyntax reasoning, ToolCallSyntax tool_calls) {
  std::vector<MarkerSpelling> markers;
  if (reasoning == ReasoningSyntax::qwen3) {
    markers.push_back({Marker::reasoning_open, "<think>"});
    markers.push_back({Marker::reasoning_close, "</think>"});
  } else if (reasoning == ReasoningSyntax::mistral) {
    markers.push_back({Marker::reasoning_open, "[THINK]"});
    markers.push_back({Marker::reasoning_close, "[/THINK]"});
  }
  if (tool_calls == ToolCallSyntax::hermes) {
    markers.push_back({Marker::call_open, "<tool_call>"});
    markers.push_back({Marker::call_close, "</tool_call>"});
  } else if (tool_calls == ToolCallSyntax::mistral) {
    markers.push_back({Marker::call_open, "[TOOL_CALLS]"});
    markers.push_back({Marker::call_arguments, "[ARGS]"});
  }
  return markers;
}

AnswerDialect dialect_of(const Tokenizer& tokenizer, const ChatTemplate* chat_template) {
  const auto has_tokens = [&](std::string_view a, std::string_view b) {
    return tokenizer.id_of(a) && tokenizer.id_of(b);
  };
  const auto mentions = [&](std::string_view word) {
    return chat_template && chat_template->mentions(word);
  };
  AnswerDialect dialect;
  if (has_tokens("[THINK]", "[/THINK]")) {
    dialect.reasoning = ReasoningSyntax::mistral;
  } else if (mentions("<think>")) {
    dialect.reasoning = ReasoningSyntax::qwen3;
    dialect.thinks = mentions("enable_thinking");
  }
  if (has_tokens("[TOOL_CALLS]", "[ARGS]")) {
    dialect.tool_calls = ToolCallSyntax::mistral;
  } else if (mentions("<tool_call>")) {
    dialect.tool_calls = ToolCallSyntax::hermes;
  }
  return dialect;
}

void AnswerFormat::find_marker_tokens(const Tokenizer& tokenizer) {
  marker_tokens.clear();
  const std::vector<MarkerSpelling> markers = marker_spellings(reasoning, tool_calls);
  for (const MarkerSpelling& marker : markers)
    if (const auto id = tokenizer.id_of(marker.text)) marker_tokens.push_back(*id);
  markers_are_tokens = marker_tokens.size() == markers.size();
}

}  // namespace isotope::text
