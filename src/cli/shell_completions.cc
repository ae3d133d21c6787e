#include "cli/shell_completions.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "cli/command_tree.h"

namespace isotope::cli {
namespace {

/// In single quotes; shells read nothing in them but the closing one.
std::string quote(std::string_view text) {
  std::string out = "'";
  for (const char c : text) c == '\'' ? out += "'\\''" : out += c;
  return out + "'";
}

/// fish also reads the backslash in single quotes.
std::string fish_quote(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " "));
}

std::string bash(const CommandEntry& root) {
  std::string commands, values, words;
  for (const CommandEntry* command : flatten(root)) {
    std::vector<std::string> all;
    for (const CommandEntry& below : command->commands) {
      all.push_back(below.name);
      commands += fmt::format("      {}) path={} ;;\n", quote(below.path), quote(below.path));
    }
    for (const FlagEntry& flag : command->flags) {
      all.insert(all.end(), flag.names.begin(), flag.names.end());
      for (const std::string& name : flag.names)
        if (!flag.choices.empty())
          values += fmt::format("    {}) words={} ;;\n", quote(command->path + " " + name),
                                quote(joined(flag.choices)));
        else if (flag.takes_value)  // bash itself completes names of files
          values += fmt::format("    {}) return ;;\n", quote(command->path + " " + name));
    }
    words += fmt::format("      {}) words={} ;;\n", quote(command->path), quote(joined(all)));
  }
  return fmt::format(R"(# bash completion for isotope; made by `isotope completions bash`.
_isotope() {{
  local path=isotope words= i
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "$path ${{COMP_WORDS[i]}}" in
{}    esac
  done
  case "$path $prev" in
{}  esac
  if [ -z "$words" ]; then
    case "$path" in
{}    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o default -F _isotope isotope
)",
                     commands, values, words);
}

/// "[text]" of _arguments, where a bracket or a colon would end it.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_function(const CommandEntry& command) {
  std::string name = command.path;
  std::replace(name.begin(), name.end(), ' ', '_');
  std::string specs;
  for (const FlagEntry& flag : command.flags)
    for (const std::string& flag_name : flag.names) {
      std::string spec = fmt::format("*{}[{}]", flag_name, zsh_text(flag.description));
      if (!flag.choices.empty())
        spec += fmt::format(":value:({})", joined(flag.choices));
      else if (flag.takes_value)
        spec += ":value:_files";
      specs += fmt::format(" \\\n    {}", quote(spec));
    }
  if (command.commands.empty())
    return fmt::format("_{}() {{\n  _arguments{} \\\n    '*:file:_files'\n}}\n", name, specs);
  std::string names, calls;
  for (const CommandEntry& below : command.commands) {
    names += fmt::format("\n    {}",
                         quote(fmt::format("{}:{}", below.name, zsh_text(below.description))));
    calls += fmt::format("      {}) _{}_{} ;;\n", below.name, name, below.name);
  }
  return fmt::format(R"(_{0}() {{
  local -a commands=({1}
  )
  local state line
  _arguments -C{2} \
    '1: :->command' '*:: :->arguments'
  case $state in
    command) _describe command commands ;;
    arguments)
      case $line[1] in
{3}      esac ;;
  esac
}}
)",
                     name, names, specs, calls);
}

std::string zsh(const CommandEntry& root) {
  std::string out = "#compdef isotope\n# Made by `isotope completions zsh`.\n";
  for (const CommandEntry* command : flatten(root)) out += zsh_function(*command);
  return out +
         "if [ \"$funcstack[1]\" = _isotope ]; then\n  _isotope \"$@\"\nelse\n"
         "  compdef _isotope isotope\nfi\n";
}

std::string fish(const CommandEntry& root) {
  std::string out = R"(# fish completion for isotope; made by `isotope completions fish`.
function __isotope_at
    set -l words isotope (commandline -poc | string match -v -- '-*')[2..]
    set -l path (string split ' ' -- $argv[1])
    test (count $words) -ge (count $path); or return 1
    test "$words[1..$(count $path)]" = "$argv[1]"; or return 1
    set -l next (math (count $path) + 1)
    test (count $words) -lt $next; and return 0
    not contains -- "$words[$next]" (string split ' ' -- $argv[2])
end
)";
  for (const CommandEntry* command : flatten(root)) {
    std::vector<std::string> below;
    for (const CommandEntry& entry : command->commands) below.push_back(entry.name);
    const std::string at =
        fmt::format("__isotope_at {} {}", fish_quote(command->path), fish_quote(joined(below)));
    const std::string start = fmt::format("complete -c isotope -n {}", fish_quote(at));
    for (const CommandEntry& entry : command->commands)
      out += fmt::format("{} -f -a {} -d {}\n", start, entry.name, fish_quote(entry.description));
    for (const FlagEntry& flag : command->flags) {
      if (flag.names.empty()) continue;
      out += start;
      for (const std::string& name : flag.names)
        out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!flag.choices.empty())
        out += fmt::format(" -x -a {}", fish_quote(joined(flag.choices)));
      else if (flag.takes_value)
        out += " -r";
      out += fmt::format(" -d {}\n", fish_quote(flag.description));
    }
  }
  return out;
}

}  // namespace

std::string shell_completions(const CLI::App& app, std::string_view shell) {
  const CommandEntry root = command_tree(app);
  if (shell == "bash") return bash(root);
  if (shell == "zsh") return zsh(root);
  if (shell == "fish") return fish(root);
  fail(ErrorCode::invalid_argument, "no completions for the shell '{}'; known are bash, zsh, fish",
       shell);
}

}  // namespace isotope::cli
