// A line of input from a terminal with editing and history, or from a pipe.
#pragma once

#include <memory>
#include <string>

namespace isotope::cli {

class LineEditor {
 public:
  explicit LineEditor(std::string prompt);
  ~LineEditor();

  enum class Result { line, interrupted, end };
  /// Fills `line` (without its newline) if the result is `line`.
  Result read(std::string& line);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace isotope::cli
