// What the simulated card did: a summary on stderr when the process ends and, where ISOTOPE_SIM_REPORT names a file, a line of
// JSON for each launch and one for the process, appended.
#pragma once

#include <cstdio>
#include <map>
#include <string>

#include "sim/counters.h"
#include "tests/gpu/executor.h"

namespace isotope::emulated {

class SimulatedReport {
 public:
  SimulatedReport();
  /// `error`: what ended the launch early, or nothing.
  void add(const ExecutableKernel& kernel, const LaunchShape& shape, const sim::Counters& counters, double seconds,
           const std::string& error);
  void finish();

 private:
  struct Sum {
    sim::u64 launches = 0, instructions = 0, faults = 0;
    double seconds = 0;
  };
  std::FILE* file_ = nullptr;
  Sum sum_;
};

}  // namespace isotope::emulated
