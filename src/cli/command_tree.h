// The commands and flags of the program as plain values, for what is generated from them.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace isotope::cli {

struct FlagEntry {
  std::vector<std::string> names;  ///< "--model", "-m"; empty for a positional argument
  std::string label;               ///< as help shows the value: "DIR", "auto|bf16"; empty: none
  std::string description;
  std::vector<std::string> choices;  ///< all words that it may be; empty: anything
  bool takes_value = false;
};

struct CommandEntry {
  std::string path;  ///< "isotope bench latency"
  std::string name, description, footer;
  std::vector<FlagEntry> flags;
  std::vector<CommandEntry> commands;
};

/// Without what help does not show.
CommandEntry command_tree(const CLI::App& app);
/// The command and all below it, each in front of its own.
std::vector<const CommandEntry*> flatten(const CommandEntry& root);

}  // namespace isotope::cli
