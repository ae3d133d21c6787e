// What handlers of vector instructions are made of: sources of 32 lanes, results under the execution mask.
#pragma once

#include <bit>
#include <cstring>
#include <type_traits>

#include "sim/wave.h"

namespace isotope::sim {

/// A scalar operand of up to 64 bits, without modifiers.
inline u64 scalar_value(const Wave& wave, const Operand& operand) {
  if (operand.kind == Operand::constant) return operand.value;
  if (operand.kind != Operand::sgpr) throw Fault("a scalar operand was expected");
  if (operand.index == kNull) return 0;
  u64 value = wave.sgpr[operand.index];
  if (operand.words > 1) value |= u64(wave.sgpr[operand.index + 1]) << 32;
  return value;
}
inline void set_scalar(Wave& wave, const Operand& operand, u64 value) {
  if (operand.index == kNull) return;
  wave.sgpr[operand.index] = u32(value);
  if (operand.words > 1) wave.sgpr[operand.index + 1] = u32(value >> 32);
}

/// 32 bits of each lane of word `word` of an operand, before modifiers. Points into the wave or to `buffer`.
inline const u32* lane_words(const Wave& wave, const Operand& operand, int word, Lanes& buffer) {
  if (operand.kind == Operand::vgpr) return wave.vgpr[operand.index + word].data();
  u32 value = 0;
  if (operand.kind == Operand::constant)
    value = u32(operand.value >> (32 * word));
  else if (operand.index != kNull)
    value = wave.sgpr[operand.index + word];
  buffer.fill(value);
  return buffer.data();
}

/// Writes the lanes of the execution mask.
inline void set_lanes(Wave& wave, int vgpr, const Lanes& values) {
  Lanes& target = wave.vgpr[vgpr];
  const u32 exec = wave.exec();
  if (exec == ~0u) {
    target = values;
    return;
  }
  for (int lane = 0; lane < kLanes; ++lane) target[lane] = exec >> lane & 1 ? values[lane] : target[lane];
}

/// A mask result (compares, carries): lanes outside of the execution mask are 0.
inline void set_mask(Wave& wave, const Operand& operand, u32 mask) {
  if (operand.kind == Operand::sgpr && operand.index != kNull) wave.sgpr[operand.index] = mask & wave.exec();
}

/// Applies DPP to the first source: lanes that have no source keep `mask` clear.
const u32* moved_lanes(const Wave& wave, const Instruction& instruction, const u32* source, Lanes& buffer, u32& mask);

}  // namespace isotope::sim
