// An answer's text taken apart into reasoning, content and tool calls, where some of the markers
// may be tokens of their own and stop strings stand between the tokens and the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer_parser.h"
#include "text/tokenizer.h"

namespace isotope::server {

class ParsedText {
 public:
  /// `tokenizer` must outlive this.
  ParsedText(text::AnswerFormat format, const text::Tokenizer& tokenizer);

  /// A token has added `bytes` of text, which may be held back for a while.
  void note_token(TokenId id, std::size_t bytes);
  /// The text that comes next, of what the tokens have added; deltas are appended to `out`.
  void take(std::string_view text, text::AnswerDeltas& out);
  /// No more text comes. `by_model`: the model itself has ended the answer.
  void finish(bool by_model, text::AnswerDeltas& out);

  /// Tokens of reasoning so far, markers included.
  std::int64_t reasoning_tokens() const { return reasoning_tokens_; }
  /// As text::AnswerParser.
  bool over() const { return parser_.over(); }
  /// The answer called tools, and none of the calls was cut off.
  bool complete_calls() const { return parser_.complete_calls(); }

 private:
  /// Bytes [begin, end) of the text are a marker's token.
  struct Mark {
    std::size_t begin, end;
  };
  void count_reasoning(std::size_t decided);

  const text::AnswerFormat format_;
  const text::Tokenizer* tokenizer_;
  text::AnswerParser parser_;
  std::size_t added_ = 0, taken_ = 0;  ///< bytes
  std::deque<Mark> marks_;             ///< not taken yet
  std::string marker_;                 ///< the part of the first mark that was taken
  std::deque<std::size_t> starts_;     ///< of the tokens that are not counted yet
  std::int64_t reasoning_tokens_ = 0;
};

}  // namespace isotope::server
