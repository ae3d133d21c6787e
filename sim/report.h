// What a launch did and what was wrong with it, to be read.
#pragma once

#include <string>

#include "sim/counters.h"
#include "sim/machine.h"

namespace isotope::sim {

struct Report {
  std::string kernel;
  std::array<u32, 3> grid{}, threads{};
  std::string fault;  ///< what ended the launch, or nothing
  Counters counters;

  /// Findings that did not end the launch, a line each.
  std::vector<std::string> warnings() const;
  /// Nothing was wrong.
  bool clean() const { return fault.empty() && warnings().empty(); }
  /// Lines: the launch, the fault, warnings, counters.
  std::string text() const;
};

/// As run(), but a Fault ends up in the report.
Report run_reported(const CodeObject& code, const Kernel& kernel, const Launch& launch,
                    Memory& memory);

}  // namespace isotope::sim
