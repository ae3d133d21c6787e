// isotope completions, isotope man: what packages install beside the program.
#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/commands.h"
#include "cli/man_page.h"
#include "cli/shell_completions.h"
#include "cli/version.h"

namespace isotope::cli {

void add_generated_files(CLI::App& app, Action& action) {
  CLI::App& completions =
      *app.add_subcommand("completions", "Print a shell's completion script for isotope");
  completions.footer(R"(
Examples:
  source <(isotope completions bash)
  isotope completions fish | source)");
  const auto shell = std::make_shared<std::string>();
  completions.add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completions.callback([&app, &action, shell] {
    action = [&app, shell] {
      std::cout << shell_completions(app, *shell);
      return 0;
    };
  });
  // Hidden from help: only packages need it.
  CLI::App& man = *app.add_subcommand("man", "Print the manual page")->group("");
  man.callback([&app, &action] {
    action = [&app] {
      std::cout << man_page(app, kVersion);
      return 0;
    };
  });
}

}  // namespace isotope::cli
