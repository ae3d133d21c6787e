// The manual page, made from the tree of commands and flags.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace isotope::cli {

/// isotope(1) in the man macros of groff.
std::string man_page(const CLI::App& app, const std::string& version);

}  // namespace isotope::cli
