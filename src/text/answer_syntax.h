// How a model family marks reasoning and tool calls in its answers.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"

namespace isotope::text {

class ChatTemplate;
class Tokenizer;

/// qwen3: <think>…</think>; mistral: [THINK]…[/THINK].
enum class ReasoningSyntax { none, qwen3, mistral };

/// hermes (Qwen3's, too): <tool_call>{"name": …, "arguments": {…}}</tool_call>;
/// mistral: [TOOL_CALLS]name[ARGS]{…}.
enum class ToolCallSyntax { none, hermes, mistral };

enum class Marker { reasoning_open, reasoning_close, call_open, call_close, call_arguments };

struct MarkerSpelling {
  Marker marker;
  std::string_view text;
};

/// Markers of both syntaxes. None contains the character that it begins with a second time, so two
/// of them never overlap.
std::vector<MarkerSpelling> marker_spellings(ReasoningSyntax reasoning, ToolCallSyntax tool_calls);

/// What a model's answers look like.
struct AnswerDialect {
  ReasoningSyntax reasoning = ReasoningSyntax::none;
  ToolCallSyntax tool_calls = ToolCallSyntax::none;
  bool thinks = false;  ///< the template can switch thinking off, so it is on otherwise
};

/// By what the template mentions and which control tokens there are. `chat_template` may be null.
AnswerDialect dialect_of(const Tokenizer& tokenizer, const ChatTemplate* chat_template);

/// How an answer is to be read.
struct AnswerFormat {
  /// Where an answer begins. reasoning: the prompt has opened it. expected: the model should open
  /// it first, and if it does not, begins with it all the same.
  enum class Start { content, reasoning, expected };

  ReasoningSyntax reasoning = ReasoningSyntax::none;
  ToolCallSyntax tool_calls = ToolCallSyntax::none;  ///< none, too, where no tools are offered
  Start start = Start::content;
  /// A second call ends the answer.
  bool single_call = false;
  bool show_reasoning = true;
  /// The tokens of the markers. If every marker has one, only these are markers, and the same
  /// characters spelled by other tokens are text: what a model quotes is never taken for a call.
  std::vector<TokenId> marker_tokens;
  bool markers_are_tokens = false;

  /// Sets marker_tokens and markers_are_tokens by what `tokenizer` has.
  void find_marker_tokens(const Tokenizer& tokenizer);
};

}  // namespace isotope::text
