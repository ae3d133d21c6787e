// What a unit is made of. Internal to jit.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jit/jit.h"

namespace isotope::jit {

/// The unit's file and all that it includes, directly or not, sorted: every `#include "NAME"` whose
/// NAME is in `sources`, also those that the preprocessor would skip. Errors: internal if the file
/// itself is not in `sources`.
std::vector<SourceMap::value_type> include_closure(const SourceMap& sources, const Unit& unit);

/// "-DNAME=VALUE" for every define of the unit.
std::vector<std::string> define_options(const Unit& unit);

/// Ends a compilation that failed: Error internal with unit, arch, options and what the compiler
/// wrote, cut to a length that a terminal bears.
[[noreturn]] void compilation_failed(const Unit& unit, std::string_view arch,
                                     std::string_view compiler,
                                     const std::vector<std::string>& options,
                                     std::string_view text);

}  // namespace isotope::jit
