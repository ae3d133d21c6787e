// What a launch did.
#pragma once

#include <array>
#include <map>

#include "sim/findings.h"
#include "sim/wave.h"

namespace isotope::sim {

/// Bytes that a lane loads or stores at once.
constexpr std::array<u32, 6> kWidths = {1, 2, 4, 8, 12, 16};
constexpr std::size_t width_index(u32 bytes) {
  return bytes == 16 ? 5 : bytes == 12 ? 4 : bytes == 8 ? 3 : bytes == 4 ? 2 : bytes - 1;
}

struct Counters {
  /// Wave instructions that access global memory. Coalesced: they touch no more lines than their lanes' bytes fill.
  struct Width {
    u64 all = 0, coalesced = 0;
  };

  std::array<u64, kClasses> instructions{};  ///< wave instructions by class
  u64 loaded_bytes = 0, stored_bytes = 0;    ///< global memory, of active lanes
  u64 loaded_lines = 0, stored_lines = 0;    ///< lines of 128 bytes touched by each wave instruction
  /// Lines of 128 bytes loaded from that the launch had not loaded from or stored to before: what device memory has to bring,
  /// if the caches keep lines for so long.
  u64 distinct_lines = 0;
  u64 most_in_flight = 0;                    ///< bytes that a wave loads from global memory before it waits for the first of them
  u64 scalar_bytes = 0;                      ///< loaded through the scalar cache
  std::array<Width, kWidths.size()> load_widths{}, store_widths{};  ///< of kWidths; atomics are neither
  u64 lds_conflicts = 0;                     ///< cycles beyond what each LDS access needs at least
  u64 workgroups = 0, waves = 0;
  bool wants_opcodes = false;
  std::map<const Opcode*, u64> opcodes;      ///< wave instructions, if wanted
  Finding uninitialised_memory, uninitialised_lds, lds_races, divergent_barriers;
};

}  // namespace isotope::sim
