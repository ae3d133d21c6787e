// Streams one answer to standard output, until it ends or Ctrl-C stops it.
#pragma once

#include <string>

#include "server/generation.h"

namespace isotope::cli {

/// Ctrl-C ends the answer under way instead of the program while one of these lives.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  /// Whether Ctrl-C was pressed since the last call.
  static bool interrupted();
};

struct TerminalAnswer {
  std::string text;
  bool interrupted = false;
};

/// Runs `generation` to its end; prints text as it comes if `print`.
TerminalAnswer stream_answer(server::Generation& generation, bool print);

}  // namespace isotope::cli
