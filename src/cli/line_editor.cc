#include "cli/line_editor.h"

#include <histedit.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>
#include <utility>

namespace isotope::cli {

struct LineEditor::State {
  std::string prompt;
  EditLine* editor = nullptr;  // absent where standard input is no terminal
  History* history = nullptr;
};

namespace {

char* show_prompt(EditLine* editor) {
  void* data = nullptr;
  ::el_get(editor, EL_CLIENTDATA, &data);
  return static_cast<std::string*>(data)->data();
}

}  // namespace

LineEditor::LineEditor(std::string prompt) : state_(std::make_unique<State>()) {
  state_->prompt = std::move(prompt);
  if (!::isatty(STDIN_FILENO) || !::isatty(STDOUT_FILENO)) return;
  state_->editor = ::el_init("isotope", stdin, stdout, stderr);
  state_->history = ::history_init();
  HistEvent event;
  ::history(state_->history, &event, H_SETSIZE, 500);
  ::el_set(state_->editor, EL_CLIENTDATA, &state_->prompt);
  ::el_set(state_->editor, EL_PROMPT, show_prompt);
  ::el_set(state_->editor, EL_EDITOR, "emacs");
  ::el_set(state_->editor, EL_HIST, ::history, state_->history);
}

LineEditor::~LineEditor() {
  if (state_->editor) ::el_end(state_->editor);
  if (state_->history) ::history_end(state_->history);
}

LineEditor::Result LineEditor::read(std::string& line) {
  line.clear();
  if (!state_->editor) return std::getline(std::cin, line) ? Result::line : Result::end;
  int count = 0;
  errno = 0;
  const char* text = ::el_gets(state_->editor, &count);
  if (!text || count <= 0) {
    if (errno != EINTR) return Result::end;
    ::el_reset(state_->editor);
    return Result::interrupted;
  }
  line.assign(text, std::size_t(count));
  if (!line.empty() && line.back() == '\n') line.pop_back();
  HistEvent event;
  if (!line.empty()) ::history(state_->history, &event, H_ENTER, line.c_str());
  return Result::line;
}

}  // namespace isotope::cli
