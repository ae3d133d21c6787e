// What the simulated card did: a summary on stderr when the process ends and, where ISOTOPE_SIM_REPORT names a file, a line of
// JSON for each launch and one for the process, appended.
#pragma once

#include <cstdio>
#include <set>
#include <string>

#include "sim/report.h"

namespace isotope::emulated {

class SimulatedReport {
 public:
  SimulatedReport();
  /// `code`: the checksum of the code object, by which tools/check_simulated_kernels.py knows it.
  void add(sim::u32 code, const sim::Kernel& kernel, const sim::Launch& shape, const sim::Report& launch, double seconds);
  void finish();
  /// Bytes of memory lines that all launches have loaded.
  sim::u64 loaded_bytes() const { return loaded_bytes_; }
  /// Of waves, over all launches.
  sim::u64 instructions() const { return instructions_; }

 private:
  void write_line(const std::string& line);

  std::FILE* file_ = nullptr;
  sim::u64 launches_ = 0, instructions_ = 0, loaded_bytes_ = 0, faults_ = 0, warnings_ = 0;
  double seconds_ = 0;
  std::set<std::string> told_;  // kernels whose warnings were printed
};

}  // namespace isotope::emulated
