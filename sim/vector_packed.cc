// Two 16-bit operations a lane (v_pk_*), and fused multiply-add of f16 and f32 mixed.
//
// op_sel chooses the half of each source that the result's low half comes from, op_sel_hi that of
// its high half; neg_lo and neg_hi negate them. A constant is 32 bits: integers with their sign, a
// literal as it is, but an inline float of an f16 operation is in the low half and the high half is
// 0.
#include <algorithm>
#include <cmath>

#include "sim/packed.h"

namespace isotope::sim {
namespace {

using namespace packed;

template <std::size_t sources>
struct Sources {
  std::array<Lanes, sources> buffers;
  std::array<const u32*, sources> words;
  u32 mask;

  Sources(const Wave& wave, const Instruction& in) : mask(wave.exec()) {
    for (std::size_t i = 0; i < sources; ++i)
      words[i] = packed::words(wave, in, int(i), buffers[i], mask);
  }
};

/// One half of the results: F of the chosen halves' bits. Of floats, a result that is NaN is the
/// first source that is, quiet.
template <auto F, bool mends_nans, std::size_t... I>
void compute_half(const Sources<sizeof...(I)>& from, u32 select, u32 negate, Lanes& out,
                  std::index_sequence<I...>) {
  const std::array<int, sizeof...(I)> shift{(select >> I & 1 ? 16 : 0)...};
  const std::array<u32, sizeof...(I)> flip{(negate >> I & 1 ? 0x8000u : 0u)...};
  const auto half = [&](std::size_t i, int lane) {
    return (from.words[i][lane] >> shift[i] & 0xffff) ^ flip[i];
  };
  for (int lane = 0; lane < kLanes; ++lane) out[lane] = F(half(I, lane)...);
  if constexpr (mends_nans) {
    u32 any = 0;
    for (int lane = 0; lane < kLanes; ++lane) any |= is_nan_f16(out[lane]);
    if (!any) return;
    for (int lane = 0; lane < kLanes; ++lane) {
      if (!is_nan_f16(out[lane])) continue;
      u32 nan = 0x7e00;
      for (std::size_t i = sizeof...(I); i-- > 0;)
        if (is_nan_f16(half(i, lane))) nan = half(i, lane) | 0x200;
      out[lane] = nan;
    }
  }
}

template <auto F, bool mends_nans, std::size_t sources>
void both_halves(Wave& wave, const Instruction& in, bool clamp_floats) {
  const Sources<sources> from(wave, in);
  constexpr auto kAll = std::make_index_sequence<sources>();
  Lanes low, high;
  compute_half<F, mends_nans>(from, in.op_sel, in.neg_lo, low, kAll);
  compute_half<F, mends_nans>(from, in.op_sel_hi, in.neg_hi, high, kAll);
  if (clamp_floats)
    for (int lane = 0; lane < kLanes; ++lane)
      low[lane] = clamp_f16(low[lane]), high[lane] = clamp_f16(high[lane]);
  for (int lane = 0; lane < kLanes; ++lane) low[lane] |= high[lane] << 16;
  write(wave, in.operands[0], low, from.mask);
}

// Floats: bits to bits.

/// FP32 holds products of f16 exactly, and rounding a sum first to FP32 changes nothing: 24 ≥ 2·11
/// + 2 bits.
u32 add_f16(u32 a, u32 b) { return to_f16(from_f16(a) + from_f16(b)); }
u32 mul_f16(u32 a, u32 b) { return to_f16(from_f16(a) * from_f16(b)); }

/// The product is exact in FP32, and so is what rounding takes from the sum. The sum rounded to odd
/// instead (towards zero, and then the last bit set) rounds to f16 as the exact one does.
u32 fma_f16(u32 a, u32 b, u32 c) {
  const float product = from_f16(a) * from_f16(b), addend = from_f16(c), sum = product + addend;
  const float added = sum - product, lost = (product - (sum - added)) + (addend - added);
  const u32 bits = std::bit_cast<u32>(sum);
  const bool away = (bits ^ std::bit_cast<u32>(lost)) >> 31;  // the sum was rounded away from zero
  const u32 odd = bits & 1 ? bits : away ? bits - 1 : bits + 1;
  const u32 below = lost < 0 ? odd : bits;
  return to_f16(std::bit_cast<float>(lost > 0 ? odd : below));
}

/// Order of f16 bits as integers: -0 is below +0.
i32 order_f16(u32 bits) {
  const i32 magnitude = i32(bits & 0x7fff), negative = -i32(bits >> 15);
  return magnitude ^ negative;
}

template <bool maximum>
u32 extreme_f16(u32 a, u32 b) {
  const i32 x = order_f16(a), y = order_f16(b);
  return (maximum ? x > y : x < y) ? a : b;
}
/// A number wins against NaN.
template <bool maximum>
u32 extreme_num_f16(u32 a, u32 b) {
  const u32 without_a = is_nan_f16(a) ? b : extreme_f16<maximum>(a, b);
  return is_nan_f16(b) ? a : without_a;
}
/// NaN wins against a number.
template <bool maximum>
u32 extreme_or_nan_f16(u32 a, u32 b) {
  const u32 without_a = is_nan_f16(a) ? a : extreme_f16<maximum>(a, b);
  return is_nan_f16(b) ? b : without_a;
}

template <auto F, std::size_t sources>
void pk_f16(Wave& wave, const Instruction& in) {
  want_nearest(wave);
  both_halves<F, true, sources>(wave, in, in.clamp);
}

// Integers.

template <typename T>
i64 widened(u32 bits) {
  return T(bits);
}
template <typename T, bool clamp>
u32 narrowed(i64 value) {
  if (clamp)
    value = std::clamp<i64>(value, std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
  return u32(value) & 0xffff;
}
template <typename T, bool clamp>
u32 add_16(u32 a, u32 b) {
  return narrowed<T, clamp>(widened<T>(a) + widened<T>(b));
}
template <typename T, bool clamp>
u32 sub_16(u32 a, u32 b) {
  return narrowed<T, clamp>(widened<T>(a) - widened<T>(b));
}
template <typename T, bool clamp>
u32 mad_16(u32 a, u32 b, u32 c) {
  return narrowed<T, clamp>(widened<T>(a) * widened<T>(b) + widened<T>(c));
}
u32 mul_lo_u16(u32 a, u32 b) { return a * b & 0xffff; }
template <typename T>
u32 max_16(u32 a, u32 b) {
  return T(a) >= T(b) ? a : b;
}
template <typename T>
u32 min_16(u32 a, u32 b) {
  return T(a) < T(b) ? a : b;
}
u32 lshlrev_b16(u32 a, u32 b) { return b << (a & 15) & 0xffff; }
u32 lshrrev_b16(u32 a, u32 b) { return b >> (a & 15); }
u32 ashrrev_i16(u32 a, u32 b) { return u32(i32(i16(b)) >> (a & 15)) & 0xffff; }

void want_no_signs(const Instruction& in) {
  if (in.neg_lo || in.neg_hi) throw Fault("neg_lo or neg_hi of packed integers");
}

template <auto F, std::size_t sources>
void pk_16(Wave& wave, const Instruction& in) {
  want_no_signs(in);
  if (in.clamp) throw Fault("clamp of a packed instruction that does not saturate");
  both_halves<F, false, sources>(wave, in, false);
}
template <auto F, auto Clamped, std::size_t sources>
void pk_16_clamp(Wave& wave, const Instruction& in) {
  want_no_signs(in);
  in.clamp ? both_halves<Clamped, false, sources>(wave, in, false)
           : both_halves<F, false, sources>(wave, in, false);
}

// v_fma_mix*: op_sel_hi tells which sources are f16, of the half that op_sel chooses; the others
// are FP32.

void mixed_source(const Wave& wave, const Instruction& in, int number, Lanes& to, u32& mask) {
  const Operand& operand = in.operands[std::size_t(number) + 1];
  Lanes buffer;
  const u32* const from = words(wave, in, number, buffer, mask);
  if (in.op_sel_hi >> number & 1) {
    if (operand.kind == Operand::constant) throw Fault("a constant as f16 of a mixed multiply-add");
    const int shift = in.op_sel >> number & 1 ? 16 : 0;
    for (int lane = 0; lane < kLanes; ++lane)
      to[lane] = std::bit_cast<u32>(from_f16(from[lane] >> shift & 0xffff));
  } else {
    for (int lane = 0; lane < kLanes; ++lane) to[lane] = from[lane];
    if (!wave.mode.denormals_32)
      for (u32& bits : to) bits = bits & 0x7f800000 ? bits : bits & 0x80000000;
  }
  change_sign(operand, 0x80000000, to.data(), to);
}

/// FP32 results before clamp.
u32 fma_mix(const Wave& wave, const Instruction& in, std::array<float, kLanes>& out) {
  want_nearest(wave);
  u32 mask = wave.exec();
  std::array<Lanes, 3> from;
  for (int i = 0; i < 3; ++i) mixed_source(wave, in, i, from[std::size_t(i)], mask);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const float a = std::bit_cast<float>(from[0][lane]), b = std::bit_cast<float>(from[1][lane]),
                c = std::bit_cast<float>(from[2][lane]);
    float value = std::fma(a, b, c);
    if (std::isnan(value))
      value = std::bit_cast<float>((std::isnan(a)   ? from[0][lane]
                                    : std::isnan(b) ? from[1][lane]
                                    : std::isnan(c) ? from[2][lane]
                                                    : 0x7fc00000) |
                                   0x400000);
    out[lane] = value;
  }
  return mask;
}

void fma_mix_f32(Wave& wave, const Instruction& in) {
  std::array<float, kLanes> values;
  const u32 mask = fma_mix(wave, in, values);
  Lanes result;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const u32 bits = std::bit_cast<u32>(in.clamp ? clamp_f32(values[lane]) : values[lane]);
    result[lane] = wave.mode.denormals_32 || bits & 0x7f800000 ? bits : bits & 0x80000000;
  }
  write(wave, in.operands[0], result, mask);
}

/// FP32 rounded once more, to half of a register.
template <int shift>
void fma_mix_f16(Wave& wave, const Instruction& in) {
  std::array<float, kLanes> values;
  const u32 mask = fma_mix(wave, in, values);
  Lanes result;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const u32 bits = to_f16(values[lane]);
    result[lane] = in.clamp ? clamp_f16(bits) : bits;
  }
  write_field(wave, in.operands[0], result, 0xffff, shift, mask);
}

}  // namespace

void add_vector_packed(Opcodes& opcodes) {
  const auto f16 = [&](std::string_view name, Handler run) {
    opcodes.add(name, run, Class::valu, {Type::f16});
  };
  f16("v_pk_add_f16", pk_f16<add_f16, 2>);
  f16("v_pk_mul_f16", pk_f16<mul_f16, 2>);
  f16("v_pk_fma_f16", pk_f16<fma_f16, 3>);
  f16("v_pk_min_num_f16", pk_f16<extreme_num_f16<false>, 2>);
  f16("v_pk_max_num_f16", pk_f16<extreme_num_f16<true>, 2>);
  f16("v_pk_minimum_f16", pk_f16<extreme_or_nan_f16<false>, 2>);
  f16("v_pk_maximum_f16", pk_f16<extreme_or_nan_f16<true>, 2>);

  const auto integer = [&](std::string_view name, Handler run) {
    opcodes.add(name, run, Class::valu);
  };
  integer("v_pk_add_u16", pk_16_clamp<add_16<u16, false>, add_16<u16, true>, 2>);
  integer("v_pk_add_i16", pk_16_clamp<add_16<i16, false>, add_16<i16, true>, 2>);
  integer("v_pk_sub_u16", pk_16_clamp<sub_16<u16, false>, sub_16<u16, true>, 2>);
  integer("v_pk_sub_i16", pk_16_clamp<sub_16<i16, false>, sub_16<i16, true>, 2>);
  integer("v_pk_mad_u16", pk_16_clamp<mad_16<u16, false>, mad_16<u16, true>, 3>);
  integer("v_pk_mad_i16", pk_16_clamp<mad_16<i16, false>, mad_16<i16, true>, 3>);
  integer("v_pk_mul_lo_u16", pk_16<mul_lo_u16, 2>);
  integer("v_pk_max_u16", pk_16<max_16<u16>, 2>);
  integer("v_pk_max_i16", pk_16<max_16<i16>, 2>);
  integer("v_pk_min_u16", pk_16<min_16<u16>, 2>);
  integer("v_pk_min_i16", pk_16<min_16<i16>, 2>);
  integer("v_pk_lshlrev_b16", pk_16<lshlrev_b16, 2>);
  integer("v_pk_lshrrev_b16", pk_16<lshrrev_b16, 2>);
  integer("v_pk_ashrrev_i16", pk_16<ashrrev_i16, 2>);

  opcodes.add("v_fma_mix_f32", fma_mix_f32, Class::valu, {Type::f32});
  opcodes.add("v_fma_mixlo_f16", fma_mix_f16<0>, Class::valu, {Type::f32});
  opcodes.add("v_fma_mixhi_f16", fma_mix_f16<16>, Class::valu, {Type::f32});

  add_dot_products(opcodes);
  add_float8_conversions(opcodes);
}

}  // namespace isotope::sim
