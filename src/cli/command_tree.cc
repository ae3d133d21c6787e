#include "cli/command_tree.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>

namespace isotope::cli {
namespace {

/// "auto|bf16|fp8" names the choices; "DIR|FILE" says what kind of thing it is.
std::vector<std::string> choices_of(const std::string& label) {
  const bool words = std::none_of(label.begin(), label.end(), [](unsigned char c) {
    return std::isupper(c) || c == ' ' || c == '[' || c == ':';
  });
  if (!words || label.find('|') == label.npos) return {};
  return CLI::detail::split(label, '|');
}

FlagEntry flag_entry(const CLI::Option& option) {
  FlagEntry entry;
  for (const std::string& name : option.get_lnames()) entry.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) entry.names.push_back("-" + name);
  entry.takes_value = option.get_expected_max() != 0 && option.get_type_size() != 0;
  // A validator writes its own words behind a colon: "TEXT:{debug,info}", "INT:POSITIVE".
  std::string type = option.get_type_name();
  if (const std::size_t open = type.find('{'); open != type.npos && type.back() == '}') {
    type = type.substr(open + 1, type.size() - open - 2);
    std::replace(type.begin(), type.end(), ',', '|');
  }
  entry.label = entry.takes_value ? type.substr(0, type.find(':')) : "";
  entry.choices = choices_of(entry.label);
  if (entry.names.empty()) entry.label = option.get_name();
  entry.description = option.get_description();
  return entry;
}

CommandEntry entry_of(const CLI::App& app, const std::string& parent) {
  CommandEntry entry{.path = parent.empty() ? app.get_name() : parent + " " + app.get_name(),
                     .name = app.get_name(),
                     .description = app.get_description(),
                     .footer = app.get_footer(),
                     .flags = {},
                     .commands = {}};
  for (const CLI::Option* option : app.get_options())
    if (!option->get_group().empty()) entry.flags.push_back(flag_entry(*option));
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!command->get_group().empty()) entry.commands.push_back(entry_of(*command, entry.path));
  return entry;
}

void collect(const CommandEntry& entry, std::vector<const CommandEntry*>& all) {
  all.push_back(&entry);
  for (const CommandEntry& command : entry.commands) collect(command, all);
}

}  // namespace

CommandEntry command_tree(const CLI::App& app) { return entry_of(app, ""); }

std::vector<const CommandEntry*> flatten(const CommandEntry& root) {
  std::vector<const CommandEntry*> all;
  collect(root, all);
  return all;
}

}  // namespace isotope::cli
