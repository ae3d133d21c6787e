// Completions for shells, made from the tree of commands and flags.
#pragma once

#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace isotope::cli {

/// A script for "bash", "zsh" or "fish". Errors: invalid_argument for other shells.
std::string shell_completions(const CLI::App& app, std::string_view shell);

}  // namespace isotope::cli
