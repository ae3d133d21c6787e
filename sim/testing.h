// For tests: instructions given as assembler, executed on one wave.
#pragma once

#include <set>
#include <string_view>

#include "sim/counters.h"
#include "sim/memory.h"
#include "sim/wave.h"

namespace isotope::sim {

/// A wave of its own workgroup with 256 registers, all lanes on; everything else is 0.
class TestWave {
 public:
  explicit TestWave(std::size_t lds_bytes = 0);
  /// Assembles and executes lines of assembler; what registers hold stays from call to call. Errors: Fault.
  void run(std::string_view assembler);

  Wave wave;
  Workgroup group;
  Memory memory;
  Counters counters;
};

/// Opcodes that TestWave has executed in this process, for the coverage table.
const std::set<const Opcode*>& exercised_opcodes();

}  // namespace isotope::sim
