// An answer as the model writes it, taken apart while it arrives: reasoning, content, tool calls.
//
// What comes out does not depend on how the text was cut into pieces, so that a stream adds up to
// the whole answer byte for byte. Nothing given out is ever taken back, and nothing is lost: every
// byte becomes reasoning, content, a call's name or its arguments, or is markup of these. What
// looks like a call and is none becomes content, markers included. docs/reasoning-and-tools.md has
// the rules.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer_syntax.h"

namespace isotope::text {

class MarkerScanner;
class ToolCallReader;

/// What has been added to an answer.
struct AnswerDelta {
  enum class Kind {
    reasoning,
    content,
    call,       ///< a call begins: `text` is the function's name
    arguments,  ///< of that call, JSON text
  };
  Kind kind = Kind::content;
  std::string text;
  std::size_t call = 0;  ///< of call and arguments: which one, from 0
  std::string id;        ///< of call
};
using AnswerDeltas = std::vector<AnswerDelta>;

struct ToolCall {
  std::string id, name, arguments;
};

/// All deltas of an answer joined.
struct ParsedAnswer {
  std::string reasoning, content;
  std::vector<ToolCall> calls;

  void add(const AnswerDelta& delta);
};

class AnswerParser {
 public:
  /// `new_call_id` gives every call its id; needed only if the format has tool calls.
  explicit AnswerParser(const AnswerFormat& format, std::function<std::string()> new_call_id = {});
  ~AnswerParser();
  AnswerParser(AnswerParser&&) noexcept;
  AnswerParser& operator=(AnswerParser&&) noexcept;

  /// The next piece of the answer; deltas are appended to `out`. If the format's markers are
  /// tokens, these must come by push_marker; otherwise they are found in the text.
  void push(std::string_view text, AnswerDeltas& out);
  /// A marker's token, as it is spelled.
  void push_marker(std::string_view spelling, AnswerDeltas& out);
  /// The answer has ended. `by_model`: at its own end, not cut off at a limit or a stop string.
  void finish(bool by_model, AnswerDeltas& out);

  /// Whether the answer is reasoning where byte `position` of what was pushed lies; behind the end
  /// of that, where the next byte would. Markers of reasoning belong to it.
  bool is_reasoning(std::size_t position) const;
  /// How far is_reasoning() is decided: what may become a marker is not.
  std::size_t decided_bytes() const { return decided_; }

  std::size_t calls() const { return calls_; }
  /// A second call began where only one is wanted (AnswerFormat::single_call): the answer is over.
  bool over() const { return phase_ == Phase::over; }
  /// The answer called tools, and none of the calls was cut off.
  bool complete_calls() const { return calls_ > 0 && !cut_call_; }

 private:
  enum class Phase { reasoning, content, call, over };

  void on_text(std::string_view text, AnswerDeltas& out);
  void on_marker(const MarkerSpelling& marker, AnswerDeltas& out);
  void add_reasoning(std::string_view text, AnswerDeltas& out);
  void open_reasoning(std::size_t begin);
  void close_reasoning(std::size_t end);
  void add_content(std::string_view text, AnswerDeltas& out);
  void open_call(std::string_view spelling);
  /// Gives out what the reader has read; leaves the call if it has ended or is none.
  void follow_call(AnswerDeltas& out);
  static void emit(AnswerDelta::Kind kind, std::string_view text, std::size_t call,
                   AnswerDeltas& out);

  AnswerFormat format_;
  std::function<std::string()> new_call_id_;
  std::vector<MarkerSpelling> markers_;
  std::unique_ptr<MarkerScanner> scanner_;  // only if markers are text

  Phase phase_;
  bool may_open_;                 // nothing but white space has come: reasoning may open here
  bool opening_missing_ = false;  // in reasoning that neither prompt nor model has opened
  bool skip_newlines_ = false;    // behind a Qwen3 tag
  bool any_content_ = false;
  bool after_call_ = false;  // nothing but white space since
  std::string held_;         // white space: the next text decides whether it is part of the answer

  std::unique_ptr<ToolCallReader> reader_;  // in phase call
  std::string call_text_;                   // of the call so far, while it may turn out to be none
  bool call_begun_ = false;                 // its name was given out
  std::size_t calls_ = 0;
  bool cut_call_ = false;

  std::size_t decided_ = 0;
  std::vector<std::size_t> edges_;  // where reasoning begins and ends, in turn
};

}  // namespace isotope::text
