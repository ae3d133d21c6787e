#include "cli/version.h"

namespace isotope::cli {

// Alone in this file, so that a new commit compiles nothing else anew.
std::string version_with_build() { return std::string(kVersion) + " (" ISOTOPE_BUILD ")"; }

}  // namespace isotope::cli
