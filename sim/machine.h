// Runs a launch on the simulated gfx1201, workgroup after workgroup, to its end.
#pragma once

#include <array>
#include <span>
#include <string>

#include "sim/code_object.h"
#include "sim/counters.h"
#include "sim/memory.h"

namespace isotope::sim {

struct Launch {
  std::array<u32, 3> grid{1, 1, 1};     ///< workgroups
  std::array<u32, 3> threads{1, 1, 1};  ///< work-items of a workgroup
  u32 dynamic_lds = 0;
  std::span<const std::byte> arguments;
};

/// Executes `launch`; `code` must be known to `memory`. Errors: Fault with kernel, workgroup, wave and instruction.
void run(const CodeObject& code, const Kernel& kernel, const Launch& launch, Memory& memory, Counters& counters);

/// Executes a wave until it waits at a barrier, ends, or has had its turn (Wave::state stays running).
/// Returns the number of instructions. Errors: Fault with the instruction.
u64 run_wave(Wave& wave);

}  // namespace isotope::sim
