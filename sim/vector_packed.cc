// Conversions from and to 8-bit floats.
#include <cmath>

#include "sim/float8.h"
#include "sim/lanes.h"

namespace isotope::sim {
namespace {

/// FP32 sources after |x| and -x.
Lanes float_source(const Wave& wave, const Instruction& in, int source) {
  const Operand& operand = in.operands[std::size_t(source) + 1];
  const u32 keep = operand.absolute ? 0x7fffffffu : ~0u, flip = operand.negate ? 0x80000000u : 0u;
  Lanes buffer, result;
  const u32* const words = lane_words(wave, operand, 0, buffer);
  for (int lane = 0; lane < kLanes; ++lane) result[lane] = (words[lane] & keep) ^ flip;
  return result;
}

using Values = std::array<float, 256>;
using Encode = u8 (*)(float, bool);

/// Both bytes of one half of the source.
template <const Values& table>
void cvt_pk_f32(Wave& wave, const Instruction& in) {
  Lanes buffer, low, high;
  const u32* const source = lane_words(wave, in.operands[1], 0, buffer);
  const int shift = in.op_sel & 1 ? 16 : 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    low[lane] = std::bit_cast<u32>(table[source[lane] >> shift & 0xff]);
    high[lane] = std::bit_cast<u32>(table[source[lane] >> (shift + 8) & 0xff]);
  }
  set_lanes(wave, in.operands[0].index, low);
  set_lanes(wave, in.operands[0].index + 1, high);
}

template <const Values& table>
void cvt_f32(Wave& wave, const Instruction& in) {
  Lanes buffer, result;
  const u32* const source = lane_words(wave, in.operands[1], 0, buffer);
  const int shift = 8 * (in.op_sel & 3);
  for (int lane = 0; lane < kLanes; ++lane)
    result[lane] = std::bit_cast<u32>(table[source[lane] >> shift & 0xff]);
  set_lanes(wave, in.operands[0].index, result);
}

/// Two codes to one half of the result; the other half is kept.
template <Encode encode>
void cvt_pk_from_f32(Wave& wave, const Instruction& in) {
  const Lanes a = float_source(wave, in, 0), b = float_source(wave, in, 1);
  const int shift = in.op_sel & 8 ? 16 : 0;
  Lanes result = wave.vgpr[in.operands[0].index];
  const u32 exec = wave.exec();
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(exec >> lane & 1)) continue;
    const u32 codes = encode(std::bit_cast<float>(a[lane]), wave.mode.clamp_overflow) |
                      u32(encode(std::bit_cast<float>(b[lane]), wave.mode.clamp_overflow)) << 8;
    result[lane] = (result[lane] & ~(0xffffu << shift)) | codes << shift;
  }
  set_lanes(wave, in.operands[0].index, result);
}

/// Stochastic rounding as AMD's pseudocode has it: random bits are added to the mantissa, which
/// wraps around, and what comes of it is rounded to nearest. Infinity and NaN, of which it says
/// nothing, stay. The other bytes of the result are kept.
template <Encode encode, int random_shift>
void cvt_sr(Wave& wave, const Instruction& in) {
  const Lanes a = float_source(wave, in, 0);
  Lanes buffer;
  const u32* const random = lane_words(wave, in.operands[2], 0, buffer);
  const int shift = 8 * (in.op_sel & 3);
  Lanes result = wave.vgpr[in.operands[0].index];
  const u32 exec = wave.exec();
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(exec >> lane & 1)) continue;
    const u32 added = (a[lane] & 0x7f800000) == 0x7f800000 ? 0 : random[lane] >> random_shift;
    const u32 mantissa = ((a[lane] & 0x7fffff) + added) & 0x7fffff;
    const u32 code =
        encode(std::bit_cast<float>((a[lane] & 0xff800000) | mantissa), wave.mode.clamp_overflow);
    result[lane] = (result[lane] & ~(0xffu << shift)) | code << shift;
  }
  set_lanes(wave, in.operands[0].index, result);
}

}  // namespace

void add_vector_packed(Opcodes& opcodes) {
  const auto float8 = [&](std::string_view name, Handler run) {
    opcodes.add(name, run, Class::valu, {Type::f32});
  };
  float8("v_cvt_pk_f32_fp8", cvt_pk_f32<kFp8Values>);
  float8("v_cvt_pk_f32_bf8", cvt_pk_f32<kBf8Values>);
  float8("v_cvt_f32_fp8", cvt_f32<kFp8Values>);
  float8("v_cvt_f32_bf8", cvt_f32<kBf8Values>);
  float8("v_cvt_pk_fp8_f32", cvt_pk_from_f32<to_fp8>);
  float8("v_cvt_pk_bf8_f32", cvt_pk_from_f32<to_bf8>);
  float8("v_cvt_sr_fp8_f32", cvt_sr<to_fp8, 12>);
  float8("v_cvt_sr_bf8_f32", cvt_sr<to_bf8, 11>);
}

}  // namespace isotope::sim
