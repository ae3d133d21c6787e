#pragma once

#include <string>

namespace isotope::cli {

/// As in CMakeLists.txt.
inline constexpr const char* kVersion = ISOTOPE_VERSION;

/// "0.1.0 (3821732, Release, GCC 12.2.0, x86_64)"
std::string version_with_build();

}  // namespace isotope::cli
