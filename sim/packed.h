// Sources and results of instructions that work on halves or bytes of a register.
#pragma once

#include "sim/float16.h"
#include "sim/lanes.h"
#include "sim/vector.h"

namespace isotope::sim::packed {

/// 32 bits a lane of source `number` before op_sel and signs. DPP takes lanes out of `mask`.
inline const u32* words(const Wave& wave, const Instruction& in, int number, Lanes& buffer,
                        u32& mask) {
  const u32* const source = lane_words(wave, in.operands[std::size_t(number) + 1], 0, buffer);
  if (number == 0 && in.dpp.kind != LaneMove::none) [[unlikely]]
    return moved_lanes(wave, in, source, buffer, mask);
  return source;
}

inline void write(Wave& wave, const Operand& to, const Lanes& values, u32 mask) {
  vector::write_words(wave, to.index, values, mask);
}
/// Only the bits `field` << shift of each register change.
inline void write_field(Wave& wave, const Operand& to, const Lanes& values, u32 field, int shift,
                        u32 mask) {
  const Lanes& before = wave.vgpr[to.index];
  Lanes result;
  for (int lane = 0; lane < kLanes; ++lane)
    result[lane] = (before[lane] & ~(field << shift)) | (values[lane] & field) << shift;
  write(wave, to, result, mask);
}

/// |x|, -x or -|x| of floats whose sign is `sign`.
inline void change_sign(const Operand& operand, u32 sign, const u32* from, Lanes& to) {
  const u32 keep = operand.absolute ? ~sign : ~0u, flip = operand.negate ? sign : 0;
  for (int lane = 0; lane < kLanes; ++lane) to[lane] = (from[lane] & keep) ^ flip;
}

inline bool is_nan_f16(u32 bits) { return (bits & 0x7fff) > 0x7c00; }
/// [0, 1]; NaN becomes 0.
inline u32 clamp_f16(u32 bits) {
  const u32 limited = bits > 0x3c00 ? 0x3c00 : bits;
  return bits & 0x8000 || is_nan_f16(bits) ? 0 : limited;
}
inline float clamp_f32(float value) { return value > 0 ? (value < 1 ? value : 1) : 0; }

/// What only these modes are known of.
inline void want_nearest(const Wave& wave) {
  if (wave.mode.round_16_64 || wave.mode.round_32 || wave.mode.clamp_overflow ||
      !wave.mode.denormals_16_64)
    throw Fault(
        "packed floats in a mode other than round to nearest even, with f16 subnormals and "
        "overflow");
}

void add_dot_products(Opcodes& opcodes);
void add_float8_conversions(Opcodes& opcodes);

}  // namespace isotope::sim::packed
