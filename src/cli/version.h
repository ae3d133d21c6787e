#pragma once

namespace isotope::cli {

/// As in CMakeLists.txt.
inline constexpr const char* kVersion = ISOTOPE_VERSION;

}  // namespace isotope::cli
