// How the model's answers are taken apart: flags of `serve`, spelled as vLLM's.
#pragma once

#include <string>

#include "server/generation.h"

namespace CLI {
class App;
}

namespace isotope::cli {

struct ParserFlags {
  std::string reasoning = "auto", tool_calls = "auto";

  void add_to(CLI::App& command);
  /// Replaces what the model's files say, unless the flags are "auto"; logs the result.
  void apply(server::ServedModel& model) const;
};

}  // namespace isotope::cli
