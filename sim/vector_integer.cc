// Integers and bits: arithmetic, shifts, logic, selection.
#include <algorithm>

#include "sim/vector.h"

namespace isotope::sim {
namespace {

using namespace vector;

template <class T>
T smallest(T a, T b) {
  return a < b ? a : b;
}
template <class T>
T largest(T a, T b) {
  return a > b ? a : b;
}
template <class T>
T middle(T a, T b, T c) {
  return largest(smallest(a, b), smallest(largest(a, b), c));
}
/// To the range of T.
template <class T>
T saturated(i64 value) {
  constexpr i64 kLow = std::numeric_limits<T>::min(), kHigh = std::numeric_limits<T>::max();
  return T(value < kLow ? kLow : value > kHigh ? kHigh : value);
}
i32 signed24(u32 value) { return i32(value << 8) >> 8; }
u32 unsigned24(u32 value) { return value & 0xffffff; }

/// What is carried out of the highest bit, from the bits there: such loops vectorise, comparisons
/// of unsigned numbers do not.
WithBit<u32> add_carry(u32 a, u32 b, bool carry) {
  const u32 sum = a + b + u32(carry);
  return {sum, ((a & b) | ((a | b) & ~sum)) >> 31};
}
WithBit<u32> subtract_carry(u32 a, u32 b, bool carry) {
  const u32 difference = a - b - u32(carry);
  return {difference, ((~a & b) | ((~a | b) & difference)) >> 31};
}

void add_arithmetic(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run) { opcodes.add(name, run, Class::valu); };
  add("v_add_nc_u32", lanes_clamped([](u32 a, u32 b) { return a + b; },
                                    [](u32 a, u32 b) { return saturated<u32>(i64(a) + i64(b)); }));
  add("v_sub_nc_u32", lanes_clamped([](u32 a, u32 b) { return a - b; },
                                    [](u32 a, u32 b) { return saturated<u32>(i64(a) - i64(b)); }));
  add("v_subrev_nc_u32",
      lanes_clamped([](u32 a, u32 b) { return b - a; },
                    [](u32 a, u32 b) { return saturated<u32>(i64(b) - i64(a)); }));
  add("v_add_nc_i32", lanes_clamped([](u32 a, u32 b) { return a + b; },
                                    [](i32 a, i32 b) { return saturated<i32>(i64(a) + i64(b)); }));
  add("v_sub_nc_i32", lanes_clamped([](u32 a, u32 b) { return a - b; },
                                    [](i32 a, i32 b) { return saturated<i32>(i64(a) - i64(b)); }));
  // clamp: the carry stays that of the sum, the sum ends at the largest or smallest number.
  add("v_add_co_u32", lanes_clamped([](u32 a, u32 b) { return add_carry(a, b, false); },
                                    [](u32 a, u32 b) {
                                      const auto sum = add_carry(a, b, false);
                                      return WithBit<u32>{sum.bit ? ~0u : sum.value, sum.bit};
                                    }));
  add("v_sub_co_u32", lanes_clamped([](u32 a, u32 b) { return subtract_carry(a, b, false); },
                                    [](u32 a, u32 b) {
                                      const auto sum = subtract_carry(a, b, false);
                                      return WithBit<u32>{sum.bit ? 0 : sum.value, sum.bit};
                                    }));
  add("v_subrev_co_u32", lanes_clamped([](u32 a, u32 b) { return subtract_carry(b, a, false); },
                                       [](u32 a, u32 b) {
                                         const auto sum = subtract_carry(b, a, false);
                                         return WithBit<u32>{sum.bit ? 0 : sum.value, sum.bit};
                                       }));
  add("v_add_co_ci_u32",
      lanes_clamped([](u32 a, u32 b, Bit carry) { return add_carry(a, b, carry); },
                    [](u32 a, u32 b, Bit carry) {
                      const auto sum = add_carry(a, b, carry);
                      return WithBit<u32>{sum.bit ? ~0u : sum.value, sum.bit};
                    }));
  add("v_sub_co_ci_u32",
      lanes_clamped([](u32 a, u32 b, Bit carry) { return subtract_carry(a, b, carry); },
                    [](u32 a, u32 b, Bit carry) {
                      const auto sum = subtract_carry(a, b, carry);
                      return WithBit<u32>{sum.bit ? 0 : sum.value, sum.bit};
                    }));
  add("v_subrev_co_ci_u32",
      lanes_clamped([](u32 a, u32 b, Bit carry) { return subtract_carry(b, a, carry); },
                    [](u32 a, u32 b, Bit carry) {
                      const auto sum = subtract_carry(b, a, carry);
                      return WithBit<u32>{sum.bit ? 0 : sum.value, sum.bit};
                    }));
  add("v_add3_u32", lanes([](u32 a, u32 b, u32 c) { return a + b + c; }));
  add("v_lshl_add_u32", lanes([](u32 a, u32 b, u32 c) { return (a << (b & 31)) + c; }));
  add("v_add_lshl_u32", lanes([](u32 a, u32 b, u32 c) { return (a + b) << (c & 31); }));
  add("v_xad_u32", lanes([](u32 a, u32 b, u32 c) { return (a ^ b) + c; }));
}

void add_products(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run) { opcodes.add(name, run, Class::valu); };
  add("v_mul_lo_u32", lanes([](u32 a, u32 b) { return a * b; }));
  add("v_mul_hi_u32", lanes([](u32 a, u32 b) { return u32(u64(a) * b >> 32); }));
  add("v_mul_hi_i32", lanes([](i32 a, i32 b) { return i32(i64(a) * b >> 32); }));
  add("v_mul_u32_u24", lanes([](u32 a, u32 b) { return unsigned24(a) * unsigned24(b); }));
  add("v_mul_i32_i24", lanes([](u32 a, u32 b) { return u32(signed24(a)) * u32(signed24(b)); }));
  add("v_mul_hi_u32_u24",
      lanes([](u32 a, u32 b) { return u32(u64(unsigned24(a)) * unsigned24(b) >> 32); }));
  add("v_mul_hi_i32_i24",
      lanes([](u32 a, u32 b) { return i32(i64(signed24(a)) * signed24(b) >> 32); }));
  add("v_mad_u32_u24",
      lanes_clamped([](u32 a, u32 b, u32 c) { return unsigned24(a) * unsigned24(b) + c; },
                    [](u32 a, u32 b, u32 c) {
                      return saturated<u32>(i64(unsigned24(a)) * unsigned24(b) + c);
                    }));
  add("v_mad_i32_i24",
      lanes_clamped(
          [](u32 a, u32 b, u32 c) { return u32(signed24(a)) * u32(signed24(b)) + c; },
          [](u32 a, u32 b, i32 c) { return saturated<i32>(i64(signed24(a)) * signed24(b) + c); }));
  add("v_mad_u32_u16",
      lanes_clamped([](u16 a, u16 b, u32 c) { return u32(a) * b + c; },
                    [](u16 a, u16 b, u32 c) { return saturated<u32>(i64(a) * b + c); }));
  add("v_mad_i32_i16",
      lanes_clamped([](i16 a, i16 b, u32 c) { return u32(i32(a) * b) + c; },
                    [](i16 a, i16 b, i32 c) { return saturated<i32>(i64(a) * b + c); }));
  opcodes.add("v_mad_co_u64_u32", lanes([](u32 a, u32 b, u64 c) {
                const u64 sum = u64(a) * b + c;
                return WithBit<u64>{sum, sum < c};
              }),
              Class::valu, {Type::b64, Type::b32, Type::b32, Type::b32, Type::b64});
  // The bit is the 65th of the signed sum: its sign.
  opcodes.add("v_mad_co_i64_i32", lanes([](i32 a, i32 b, i64 c) {
                const i64 product = i64(a) * b, sum = i64(u64(product) + u64(c));
                const bool overflow = ((product ^ sum) & (c ^ sum)) < 0;
                return WithBit<i64>{sum, (sum < 0) != overflow};
              }),
              Class::valu, {Type::i64, Type::b32, Type::b32, Type::b32, Type::i64});
}

void add_order(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run) { opcodes.add(name, run, Class::valu); };
  add("v_min_u32", lanes([](u32 a, u32 b) { return smallest(a, b); }));
  add("v_max_u32", lanes([](u32 a, u32 b) { return largest(a, b); }));
  add("v_min_i32", lanes([](i32 a, i32 b) { return smallest(a, b); }));
  add("v_max_i32", lanes([](i32 a, i32 b) { return largest(a, b); }));
  add("v_min3_u32", lanes([](u32 a, u32 b, u32 c) { return smallest(smallest(a, b), c); }));
  add("v_max3_u32", lanes([](u32 a, u32 b, u32 c) { return largest(largest(a, b), c); }));
  add("v_min3_i32", lanes([](i32 a, i32 b, i32 c) { return smallest(smallest(a, b), c); }));
  add("v_max3_i32", lanes([](i32 a, i32 b, i32 c) { return largest(largest(a, b), c); }));
  add("v_med3_u32", lanes([](u32 a, u32 b, u32 c) { return middle(a, b, c); }));
  add("v_med3_i32", lanes([](i32 a, i32 b, i32 c) { return middle(a, b, c); }));
  add("v_minmax_u32", lanes([](u32 a, u32 b, u32 c) { return largest(smallest(a, b), c); }));
  add("v_maxmin_u32", lanes([](u32 a, u32 b, u32 c) { return smallest(largest(a, b), c); }));
  add("v_minmax_i32", lanes([](i32 a, i32 b, i32 c) { return largest(smallest(a, b), c); }));
  add("v_maxmin_i32", lanes([](i32 a, i32 b, i32 c) { return smallest(largest(a, b), c); }));
}

void add_shifts(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run) { opcodes.add(name, run, Class::valu); };
  add("v_lshlrev_b32", lanes<kFused>([](u32 a, u32 b) { return b << (a & 31); }));
  add("v_lshrrev_b32", lanes<kFused>([](u32 a, u32 b) { return b >> (a & 31); }));
  add("v_ashrrev_i32", lanes<kFused>([](u32 a, i32 b) { return b >> (a & 31); }));
  add("v_lshl_or_b32", lanes<kFused>([](u32 a, u32 b, u32 c) { return a << (b & 31) | c; }));
  add("v_bfe_u32",
      lanes<kFused>([](u32 a, u32 b, u32 c) { return a >> (b & 31) & ((1u << (c & 31)) - 1); }));
  add("v_bfe_i32", lanes<kFused>([](i32 a, u32 b, u32 c) {
        const u32 width = c & 31, unused = 32 - width;
        const u32 field = u32(a >> (b & 31));
        return width ? i32(field << (unused & 31)) >> (unused & 31) : 0;
      }));
  add("v_bfm_b32", lanes([](u32 a, u32 b) { return ((1u << (a & 31)) - 1) << (b & 31); }));
  add("v_alignbit_b32",
      lanes([](u32 a, u32 b, u32 c) { return u32((u64(a) << 32 | b) >> (c & 31)); }));
  add("v_alignbyte_b32",
      lanes([](u32 a, u32 b, u32 c) { return u32((u64(a) << 32 | b) >> (c & 3) * 8); }));
  // 32-bit literals of unsigned numbers are extended with zeros.
  const auto add64 = [&](const char* name, Handler run, Type type) {
    opcodes.add(name, run, Class::valu, {Type::b64, Type::b32, type});
  };
  add64("v_lshlrev_b64", lanes<kFused>([](u32 a, u64 b) { return b << (a & 63); }), Type::b64);
  add64("v_lshrrev_b64", lanes<kFused>([](u32 a, u64 b) { return b >> (a & 63); }), Type::b64);
  add64("v_ashrrev_i64", lanes([](u32 a, i64 b) { return b >> (a & 63); }), Type::i64);
}

void add_logic(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run) { opcodes.add(name, run, Class::valu); };
  add("v_and_b32", lanes([](u32 a, u32 b) { return a & b; }));
  add("v_or_b32", lanes([](u32 a, u32 b) { return a | b; }));
  add("v_xor_b32", lanes([](u32 a, u32 b) { return a ^ b; }));
  add("v_xnor_b32", lanes([](u32 a, u32 b) { return ~(a ^ b); }));
  add("v_not_b32", lanes([](u32 a) { return ~a; }));
  add("v_and_or_b32", lanes([](u32 a, u32 b, u32 c) { return (a & b) | c; }));
  add("v_or3_b32", lanes([](u32 a, u32 b, u32 c) { return a | b | c; }));
  add("v_xor3_b32", lanes([](u32 a, u32 b, u32 c) { return a ^ b ^ c; }));
  add("v_bfi_b32", lanes([](u32 a, u32 b, u32 c) { return (a & b) | (~a & c); }));
  add("v_mov_b32", lanes([](u32 a) { return a; }));
  add("v_cndmask_b32", lanes([](Bits a, Bits b, Bit take) { return take ? b.value : a.value; }));
}

u32 reversed(u32 bits) {
  bits = (bits >> 1 & 0x55555555) | (bits & 0x55555555) << 1;
  bits = (bits >> 2 & 0x33333333) | (bits & 0x33333333) << 2;
  bits = (bits >> 4 & 0x0f0f0f0f) | (bits & 0x0f0f0f0f) << 4;
  return __builtin_bswap32(bits);
}

void add_counts(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run) { opcodes.add(name, run, Class::valu); };
  add("v_bfrev_b32", lanes([](u32 a) { return reversed(a); }));
  add("v_clz_i32_u32", lanes([](u32 a) { return a ? u32(std::countl_zero(a)) : ~0u; }));
  add("v_ctz_i32_b32", lanes([](u32 a) { return a ? u32(std::countr_zero(a)) : ~0u; }));
  add("v_cls_i32", lanes([](u32 a) {
        const u32 differs = a ^ u32(i32(a) >> 31);
        return differs ? u32(std::countl_zero(differs)) : ~0u;
      }));
  add("v_bcnt_u32_b32", lanes([](u32 a, u32 b) { return u32(std::popcount(a)) + b; }));
}

/// Of the bytes {a, b}, b's first: as a selector's byte says; 8…11 spread a sign, 12 is 0, from 13
/// on 0xff.
u32 permuted_byte(u64 bytes, u32 select) {
  if (select < 8) return u32(bytes >> select * 8) & 0xff;
  if (select > 12) return 0xff;
  if (select == 12) return 0;
  return bytes >> ((select - 8) * 16 + 15) & 1 ? 0xff : 0;
}
u32 permuted(u32 a, u32 b, u32 select) {
  const u64 bytes = u64(a) << 32 | b;
  u32 result = 0;
  for (int i = 0; i < 4; ++i) result |= permuted_byte(bytes, select >> 8 * i & 0xff) << 8 * i;
  return result;
}
/// kMasked: bytes where b is 0 do not count.
template <bool kMasked>
u32 byte_differences(u32 a, u32 b) {
  u32 sum = 0;
  for (int i = 0; i < 4; ++i) {
    const u32 x = a >> 8 * i & 0xff, y = b >> 8 * i & 0xff;
    sum += kMasked && y == 0 ? 0 : x > y ? x - y : y - x;
  }
  return sum;
}
u32 lerp(u32 a, u32 b, u32 c) {
  u32 result = 0;
  for (int i = 0; i < 32; i += 8)
    result |= ((a >> i & 0xff) + (b >> i & 0xff) + (c >> i & 1)) >> 1 << i;
  return result;
}

void add_bytes(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run) { opcodes.add(name, run, Class::valu); };
  add("v_perm_b32", lanes([](u32 a, u32 b, u32 c) { return permuted(a, b, c); }));
  add("v_lerp_u8", lanes([](u32 a, u32 b, u32 c) { return lerp(a, b, c); }));
  add("v_sad_u8", lanes([](u32 a, u32 b, u32 c) { return byte_differences<false>(a, b) + c; }));
  add("v_msad_u8", lanes([](u32 a, u32 b, u32 c) { return byte_differences<true>(a, b) + c; }));
  add("v_sad_hi_u8",
      lanes([](u32 a, u32 b, u32 c) { return (byte_differences<false>(a, b) << 16) + c; }));
  add("v_sad_u16", lanes([](u32 a, u32 b, u32 c) {
        const u32 low =
            (a & 0xffff) > (b & 0xffff) ? (a & 0xffff) - (b & 0xffff) : (b & 0xffff) - (a & 0xffff);
        const u32 high = a >> 16 > b >> 16 ? (a >> 16) - (b >> 16) : (b >> 16) - (a >> 16);
        return low + high + c;
      }));
  add("v_sad_u32", lanes([](u32 a, u32 b, u32 c) { return (a > b ? a - b : b - a) + c; }));
}

/// Four neighbouring groups of four bytes of `a`, each against the four of `b`, into 16 bits each.
template <bool kMasked>
u64 four_differences(u64 a, u32 b, u64 c) {
  u64 result = 0;
  for (int i = 0; i < 4; ++i) {
    const u32 sum = byte_differences<kMasked>(u32(a >> 8 * i), b) + u32(c >> 16 * i & 0xffff);
    result |= u64(sum & 0xffff) << 16 * i;
  }
  return result;
}

void add_sums_of_bytes(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run) {
    opcodes.add(name, run, Class::valu, {Type::b64, Type::b64, Type::b32, Type::b64});
  };
  add("v_qsad_pk_u16_u8",
      lanes([](u64 a, u32 b, u64 c) { return four_differences<false>(a, b, c); }));
  add("v_mqsad_pk_u16_u8",
      lanes([](u64 a, u32 b, u64 c) { return four_differences<true>(a, b, c); }));
}

void add_16_bits(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run) {
    opcodes.add(name, run, Class::valu, {Type::b16});
  };
  add("v_add_nc_u16", lanes_clamped([](u16 a, u16 b) { return u16(a + b); },
                                    [](u16 a, u16 b) { return saturated<u16>(a + b); }));
  add("v_sub_nc_u16", lanes_clamped([](u16 a, u16 b) { return u16(a - b); },
                                    [](u16 a, u16 b) { return saturated<u16>(a - b); }));
  add("v_add_nc_i16", lanes_clamped([](i16 a, i16 b) { return i16(a + b); },
                                    [](i16 a, i16 b) { return saturated<i16>(a + b); }));
  add("v_sub_nc_i16", lanes_clamped([](i16 a, i16 b) { return i16(a - b); },
                                    [](i16 a, i16 b) { return saturated<i16>(a - b); }));
  add("v_mul_lo_u16", lanes([](u16 a, u16 b) { return u16(u32(a) * b); }));
  add("v_mad_u16",
      lanes_clamped([](u16 a, u16 b, u16 c) { return u16(u32(a) * b + c); },
                    [](u16 a, u16 b, u16 c) { return saturated<u16>(i64(a) * b + c); }));
  add("v_mad_i16",
      lanes_clamped([](i16 a, i16 b, i16 c) { return i16(i32(a) * b + c); },
                    [](i16 a, i16 b, i16 c) { return saturated<i16>(i64(a) * b + c); }));
  add("v_min_u16", lanes([](u16 a, u16 b) { return smallest(a, b); }));
  add("v_max_u16", lanes([](u16 a, u16 b) { return largest(a, b); }));
  add("v_min_i16", lanes([](i16 a, i16 b) { return smallest(a, b); }));
  add("v_max_i16", lanes([](i16 a, i16 b) { return largest(a, b); }));
  add("v_min3_u16", lanes([](u16 a, u16 b, u16 c) { return smallest(smallest(a, b), c); }));
  add("v_max3_u16", lanes([](u16 a, u16 b, u16 c) { return largest(largest(a, b), c); }));
  add("v_min3_i16", lanes([](i16 a, i16 b, i16 c) { return smallest(smallest(a, b), c); }));
  add("v_max3_i16", lanes([](i16 a, i16 b, i16 c) { return largest(largest(a, b), c); }));
  add("v_med3_u16", lanes([](u16 a, u16 b, u16 c) { return middle(a, b, c); }));
  add("v_med3_i16", lanes([](i16 a, i16 b, i16 c) { return middle(a, b, c); }));
  add("v_lshlrev_b16", lanes([](u16 a, u16 b) { return u16(b << (a & 15)); }));
  add("v_lshrrev_b16", lanes([](u16 a, u16 b) { return u16(b >> (a & 15)); }));
  add("v_ashrrev_i16", lanes([](u16 a, i16 b) { return i16(b >> (a & 15)); }));
  add("v_and_b16", lanes([](u16 a, u16 b) { return u16(a & b); }));
  add("v_or_b16", lanes([](u16 a, u16 b) { return u16(a | b); }));
  add("v_xor_b16", lanes([](u16 a, u16 b) { return u16(a ^ b); }));
  add("v_not_b16", lanes([](u16 a) { return u16(~a); }));
  opcodes.add("v_cndmask_b16",
              lanes([](Bits16 a, Bits16 b, Bit take) { return u16(take ? b.value : a.value); }),
              Class::valu, {Type::f16});
  opcodes.add("v_pack_b32_f16",
              lanes([](Bits16 a, Bits16 b) { return u32(a.value) | u32(b.value) << 16; }),
              Class::valu, {Type::f16});
}

void swap(Wave& wave, const Instruction& in) {
  const Lanes first = wave.vgpr[in.operands[0].index];
  write_words(wave, in.operands[0].index, wave.vgpr[in.operands[1].index], wave.exec());
  write_words(wave, in.operands[1].index, first, wave.exec());
}

/// A register as far behind the named one as m0 says.
int indexed(const Wave& wave, const Operand& operand) {
  const u64 index = u64(operand.index) + wave.sgpr[kM0];
  if (operand.kind != Operand::vgpr || index >= wave.vgpr.size())
    throw Fault("m0 names a vector register that the wave does not have");
  return int(index);
}
template <bool kSource, bool kDestination>
void move_indexed(Wave& wave, const Instruction& in) {
  const Operand &to = in.operands[0], &from = in.operands[1];
  Lanes buffer;
  const u32* source = kSource ? wave.vgpr[std::size_t(indexed(wave, from))].data()
                              : lane_words(wave, from, 0, buffer);
  if (in.dpp.kind != LaneMove::none) throw Fault("the simulator has no DPP of indexed moves");
  std::copy(source, source + kLanes, buffer.begin());
  write_words(wave, kDestination ? indexed(wave, to) : to.index, buffer, wave.exec());
}

}  // namespace

void add_vector_integer(Opcodes& opcodes) {
  add_arithmetic(opcodes);
  add_products(opcodes);
  add_order(opcodes);
  add_shifts(opcodes);
  add_logic(opcodes);
  add_counts(opcodes);
  add_bytes(opcodes);
  add_sums_of_bytes(opcodes);
  add_16_bits(opcodes);
  opcodes.add("v_movrels_b32", move_indexed<true, false>, Class::valu);
  opcodes.add("v_movreld_b32", move_indexed<false, true>, Class::valu);
  opcodes.add("v_movrelsd_b32", move_indexed<true, true>, Class::valu);
  opcodes.add("v_swap_b32", swap, Class::valu);
}

}  // namespace isotope::sim
