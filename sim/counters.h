// What a launch did.
#pragma once

#include <array>
#include <map>

#include "sim/wave.h"

namespace isotope::sim {

struct Counters {
  std::array<u64, kClasses> instructions{};  ///< wave instructions by class
  u64 loaded_bytes = 0, stored_bytes = 0;    ///< global memory, of active lanes
  u64 loaded_lines = 0, stored_lines = 0;    ///< lines of 128 bytes touched by each wave instruction
  u64 lds_conflicts = 0;                     ///< cycles beyond what each LDS access needs at least
  u64 workgroups = 0, waves = 0;
  bool wants_opcodes = false;
  std::map<const Opcode*, u64> opcodes;      ///< wave instructions, if wanted
};

}  // namespace isotope::sim
