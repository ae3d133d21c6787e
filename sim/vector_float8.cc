// Conversions from and to 8-bit floats.
#include "sim/float8.h"
#include "sim/packed.h"

namespace isotope::sim {
namespace {

using namespace packed;

/// FP32 sources after |x| and -x.
Lanes float_source(const Wave& wave, const Instruction& in, int number, u32& mask) {
  Lanes buffer, result;
  change_sign(in.operands[std::size_t(number) + 1], 0x80000000,
              words(wave, in, number, buffer, mask), result);
  return result;
}

using Values = std::array<float, 256>;
using Encode = u8 (*)(float, bool);

template <const Values& table>
Lanes decoded(const u32* source, int shift) {
  Lanes result;
  for (int lane = 0; lane < kLanes; ++lane)
    result[lane] = std::bit_cast<u32>(table[source[lane] >> shift & 0xff]);
  return result;
}

/// Both bytes of one half of the source.
template <const Values& table>
void cvt_pk_f32(Wave& wave, const Instruction& in) {
  u32 mask = wave.exec();
  Lanes buffer;
  const u32* const source = words(wave, in, 0, buffer, mask);
  const int shift = in.op_sel & 1 ? 16 : 0;
  const Lanes low = decoded<table>(source, shift), high = decoded<table>(source, shift + 8);
  Operand second = in.operands[0];
  ++second.index;
  write(wave, in.operands[0], low, mask);
  write(wave, second, high, mask);
}

template <const Values& table>
void cvt_f32(Wave& wave, const Instruction& in) {
  u32 mask = wave.exec();
  Lanes buffer;
  const u32* const source = words(wave, in, 0, buffer, mask);
  write(wave, in.operands[0], decoded<table>(source, 8 * (in.op_sel & 3)), mask);
}

/// Two codes to one half of the result; the other half is kept.
template <Encode encode>
void cvt_pk_from_f32(Wave& wave, const Instruction& in) {
  u32 mask = wave.exec();
  const Lanes a = float_source(wave, in, 0, mask), b = float_source(wave, in, 1, mask);
  Lanes codes{};
  for (int lane = 0; lane < kLanes; ++lane)
    if (mask >> lane & 1)
      codes[lane] = encode(std::bit_cast<float>(a[lane]), wave.mode.clamp_overflow) |
                    u32(encode(std::bit_cast<float>(b[lane]), wave.mode.clamp_overflow)) << 8;
  write_field(wave, in.operands[0], codes, 0xffff, in.op_sel & 8 ? 16 : 0, mask);
}

/// Stochastic rounding as AMD's pseudocode has it: random bits are added to the mantissa, which
/// wraps around, and what comes of it is rounded to nearest. Infinity and NaN, of which it says
/// nothing, stay. The other bytes of the result are kept.
template <Encode encode, int random_shift>
void cvt_sr(Wave& wave, const Instruction& in) {
  u32 mask = wave.exec();
  const Lanes a = float_source(wave, in, 0, mask);
  Lanes buffer, codes{};
  const u32* const random = words(wave, in, 1, buffer, mask);
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(mask >> lane & 1)) continue;
    const u32 added = (a[lane] & 0x7f800000) == 0x7f800000 ? 0 : random[lane] >> random_shift;
    const u32 mantissa = ((a[lane] & 0x7fffff) + added) & 0x7fffff;
    codes[lane] =
        encode(std::bit_cast<float>((a[lane] & 0xff800000) | mantissa), wave.mode.clamp_overflow);
  }
  write_field(wave, in.operands[0], codes, 0xff, 8 * (in.op_sel & 3), mask);
}

}  // namespace

void packed::add_float8_conversions(Opcodes& opcodes) {
  const auto add = [&](std::string_view name, Type type, Handler run) {
    opcodes.add(name, run, Class::valu, {type});
  };
  add("v_cvt_pk_f32_fp8", Type::b32, cvt_pk_f32<kFp8Values>);
  add("v_cvt_pk_f32_bf8", Type::b32, cvt_pk_f32<kBf8Values>);
  add("v_cvt_f32_fp8", Type::b32, cvt_f32<kFp8Values>);
  add("v_cvt_f32_bf8", Type::b32, cvt_f32<kBf8Values>);
  add("v_cvt_pk_fp8_f32", Type::f32, cvt_pk_from_f32<to_fp8>);
  add("v_cvt_pk_bf8_f32", Type::f32, cvt_pk_from_f32<to_bf8>);
  add("v_cvt_sr_fp8_f32", Type::f32, cvt_sr<to_fp8, 12>);
  add("v_cvt_sr_bf8_f32", Type::f32, cvt_sr<to_bf8, 11>);
}

}  // namespace isotope::sim
