// Streams one answer to standard output, until it ends or Ctrl-C stops it.
#pragma once

#include <string>

#include "server/generation.h"

namespace isotope::cli {

struct TerminalAnswer {
  std::string text;
  bool interrupted = false;
};

/// Runs `generation` to its end; prints text as it comes if `print`.
TerminalAnswer stream_answer(server::Generation& generation, bool print);

}  // namespace isotope::cli
