#include "server/parsed_text.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "server/usage.h"

namespace isotope::server {
namespace {

/// Mistral's own libraries demand nine letters or digits.
std::string new_call_id(text::ToolCallSyntax syntax) {
  if (syntax != text::ToolCallSyntax::mistral) return new_id("call_");
  constexpr std::size_t kMistralIdLength = 9;
  return new_id("").substr(0, kMistralIdLength);
}

}  // namespace

ParsedText::ParsedText(text::AnswerFormat format, const text::Tokenizer& tokenizer)
    : format_(std::move(format)),
      tokenizer_(&tokenizer),
      parser_(format_, [syntax = format_.tool_calls] { return new_call_id(syntax); }) {}

void ParsedText::note_token(TokenId id, std::size_t bytes) {
  starts_.push_back(added_);
  added_ += bytes;
  const std::vector<TokenId>& markers = format_.marker_tokens;
  if (!format_.markers_are_tokens || std::find(markers.begin(), markers.end(), id) == markers.end())
    return;
  // Before the marker may stand what became of a character that it has broken off.
  marks_.push_back({added_ - tokenizer_->token_bytes(id).size(), added_});
}

void ParsedText::take(std::string_view text, text::AnswerDeltas& out) {
  while (!text.empty()) {
    const std::size_t next = marks_.empty() ? taken_ + text.size() : marks_.front().begin;
    const bool in_mark = taken_ >= next;
    const std::size_t end = in_mark ? marks_.front().end : next;
    const std::string_view part = text.substr(0, end - taken_);
    text.remove_prefix(part.size());
    taken_ += part.size();
    if (!in_mark) {
      parser_.push(part, out);
      continue;
    }
    marker_ += part;
    if (taken_ < end) break;
    parser_.push_marker(std::exchange(marker_, {}), out);
    marks_.pop_front();
  }
  count_reasoning(parser_.decided_bytes());
}

void ParsedText::finish(bool by_model, text::AnswerDeltas& out) {
  parser_.push(marker_, out);  // cut by a stop string
  parser_.finish(by_model, out);
  count_reasoning(std::numeric_limits<std::size_t>::max());
}

void ParsedText::count_reasoning(std::size_t decided) {
  for (; !starts_.empty() && starts_.front() < decided; starts_.pop_front())
    if (parser_.is_reasoning(starts_.front())) ++reasoning_tokens_;
}

}  // namespace isotope::server
