// Reads one tool call from behind its opening marker, as it arrives.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "text/answer_syntax.h"

namespace isotope::text {

/// Longest name that is looked for, in bytes.
constexpr std::size_t kMaxFunctionName = 128;
/// Whether a call of this name can be told from text: no white space, control characters, quotes or
/// brackets; not empty, not too long.
bool is_function_name(std::string_view name);

class ToolCallReader {
 public:
  enum class State {
    head,       ///< may still turn out to be no call
    call,       ///< name() is final, arguments follow
    ended,      ///< the call is complete, or as complete as it gets
    malformed,  ///< no call; nothing but the head was read
  };

  /// `syntax` must not be none.
  static std::unique_ptr<ToolCallReader> make(ToolCallSyntax syntax);
  virtual ~ToolCallReader() = default;

  /// Reads as many bytes as belong to the call; how many that were.
  std::size_t push(std::string_view text);
  /// Whether the marker belongs to the call. If not, the call ends before it.
  virtual bool push_marker(const MarkerSpelling& marker) = 0;
  /// As AnswerParser::finish.
  virtual void finish(bool by_model) = 0;

  State state() const { return state_; }
  const std::string& name() const { return name_; }
  /// What has been added to the arguments since the last time.
  std::string take_arguments();
  /// The arguments did not come to their end.
  bool cut() const { return cut_; }

 protected:
  /// Whether the byte belongs to the call. If not, the state has become ended or malformed.
  virtual bool step(char c) = 0;
  /// The call cannot go on: false, for step().
  bool leave();

  State state_ = State::head;
  std::string name_, arguments_;
  bool cut_ = false;
};

}  // namespace isotope::text
