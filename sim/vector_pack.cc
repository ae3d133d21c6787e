// Conversions from and to 8-bit floats, and those that pack two results in a register.
#include <algorithm>
#include <cmath>
#include <limits>

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

/// F of either source's bits, packed.
template <auto F>
void pack(Wave& wave, const Instruction& in, const Lanes& a, const Lanes& b, u32 mask) {
  Lanes result;
  for (int lane = 0; lane < kLanes; ++lane) result[lane] = F(a[lane]) | F(b[lane]) << 16;
  write(wave, in.operands[0], result, mask);
}

/// f16 of a float, rounded to zero: what is too large is 65504, but infinity stays.
u32 f16_to_zero(u32 bits) {
  const u32 magnitude = bits & 0x7fffffff, sign = bits >> 16 & 0x8000;
  if (magnitude >= 0x7f800000) return to_f16(std::bit_cast<float>(bits));
  if (magnitude >= 0x47800000) return sign | 0x7bff;
  if (magnitude >= u32(127 - 14) << 23) return sign | (magnitude - ((127 - 15) << 23)) >> 13;
  return sign | u32(std::bit_cast<float>(magnitude) * 0x1p24f);
}

void cvt_pk_rtz_f16_f32(Wave& wave, const Instruction& in) {
  if (wave.mode.clamp_overflow || !wave.mode.denormals_16_64) want_nearest(wave);
  u32 mask = wave.exec();
  const Lanes a = float_source(wave, in, 0, mask), b = float_source(wave, in, 1, mask);
  if (in.clamp)
    pack<[](u32 bits) { return clamp_f16(f16_to_zero(bits)); }>(wave, in, a, b, mask);
  else
    pack<f16_to_zero>(wave, in, a, b, mask);
}

/// Rounded to zero and saturated; NaN is 0.
template <typename T>
u32 float_to(u32 bits) {
  const float value = std::bit_cast<float>(bits);
  if (std::isnan(value)) return 0;
  return u16(T(std::clamp(value, float(std::numeric_limits<T>::min()),
                          float(std::numeric_limits<T>::max()))));
}
template <typename T>
void cvt_pk_from_float(Wave& wave, const Instruction& in) {
  u32 mask = wave.exec();
  const Lanes a = float_source(wave, in, 0, mask), b = float_source(wave, in, 1, mask);
  pack<float_to<T>>(wave, in, a, b, mask);
}

/// Saturated.
template <typename Wide, typename T>
u32 integer_to(u32 bits) {
  return u16(
      std::clamp<Wide>(Wide(bits), std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
}
template <typename Wide, typename T>
void cvt_pk_from_integer(Wave& wave, const Instruction& in) {
  u32 mask = wave.exec();
  Lanes buffers[2], a, b;
  const u32 *const first = words(wave, in, 0, buffers[0], mask), *const second = words(
                                                                     wave, in, 1, buffers[1], mask);
  std::copy_n(first, kLanes, a.begin());
  std::copy_n(second, kLanes, b.begin());
  pack<integer_to<Wide, T>>(wave, in, a, b, mask);
}

u32 saturate_u8(u32 bits) { return u32(std::clamp<i32>(i16(bits), 0, 255)); }
/// To the low half; the high one is kept.
void sat_pk_u8_i16(Wave& wave, const Instruction& in) {
  u32 mask = wave.exec();
  Lanes buffer, result;
  const u32* const source = words(wave, in, 0, buffer, mask);
  for (int lane = 0; lane < kLanes; ++lane)
    result[lane] = saturate_u8(source[lane]) | saturate_u8(source[lane] >> 16) << 8;
  write_field(wave, in.operands[0], result, 0xffff, 0, mask);
}

/// Moves halves; |x| and -x act on them.
void pack_b32_f16(Wave& wave, const Instruction& in) {
  if (!wave.mode.denormals_16_64) want_nearest(wave);
  u32 mask = wave.exec();
  Lanes halves[2];
  for (int i = 0; i < 2; ++i) {
    Lanes buffer;
    const u32* const source = words(wave, in, i, buffer, mask);
    Lanes& half = halves[i];
    for (int lane = 0; lane < kLanes; ++lane)
      half[lane] = source[lane] >> (in.op_sel >> i & 1 ? 16 : 0) & 0xffff;
    change_sign(in.operands[std::size_t(i) + 1], 0x8000, half.data(), half);
  }
  pack<[](u32 bits) { return bits; }>(wave, in, halves[0], halves[1], mask);
}

}  // namespace

void packed::add_packing_conversions(Opcodes& opcodes) {
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
  add("v_cvt_pk_rtz_f16_f32", Type::f32, cvt_pk_rtz_f16_f32);
  add("v_cvt_pk_i16_f32", Type::f32, cvt_pk_from_float<i16>);
  add("v_cvt_pk_u16_f32", Type::f32, cvt_pk_from_float<u16>);
  add("v_cvt_pk_i16_i32", Type::b32, cvt_pk_from_integer<i32, i16>);
  add("v_cvt_pk_u16_u32", Type::b32, cvt_pk_from_integer<u32, u16>);
  add("v_sat_pk_u8_i16", Type::b32, sat_pk_u8_i16);
  add("v_pack_b32_f16", Type::f16, pack_b32_f16);
}

}  // namespace isotope::sim
