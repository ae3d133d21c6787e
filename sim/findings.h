// What is found in a launch besides faults, and what is to be done about it.
#pragma once

#include "sim/wave.h"

namespace isotope::sim {

enum class OnFinding : u8 { ignore, report, fault };

struct Checks {
  /// Loads of device memory that nobody has written. Kernels may read padding and then not use it:
  /// that is no fault by itself.
  OnFinding uninitialised_memory = OnFinding::report;
  OnFinding uninitialised_lds = OnFinding::fault;
  /// Accesses of two waves to the same bytes of LDS without a barrier between, one of them a store,
  /// not both atomic.
  OnFinding lds_races = OnFinding::fault;
  /// Waves that wait for each other at different instructions. Waves that have ended are not waited for, as on the hardware.
  OnFinding divergent_barriers = OnFinding::fault;
};

struct Finding {
  u64 count = 0;      ///< of lanes
  std::string first;  ///< with workgroup, wave and instruction
};

/// Adds to `finding`, of `lanes` lanes, or throws a Fault.
void record(const Wave& wave, const Instruction& in, OnFinding what, Finding& finding, u32 lanes,
            const std::string& text);

}  // namespace isotope::sim
