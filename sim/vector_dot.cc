// Dot products within a lane. Their op_sel and op_sel_hi must be what the assembler assumes, as
// compilers leave them.
//
// Float sums are those of AMD's pseudocode: FP32, C first, then the products from the lowest
// element up, each sum rounded to nearest even; subnormals are kept. The 16-bit results are rounded
// once, at the end.
#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/float8.h"
#include "sim/packed.h"

namespace isotope::sim {
namespace {

using namespace packed;

void want_no_selection(const Instruction& in) {
  if (in.op_sel || in.op_sel_hi != 7) throw Fault("a dot product with op_sel");
}

struct Sources {
  std::array<Lanes, 3> buffers;
  const u32 *a, *b, *c;
  u32 mask;

  Sources(const Wave& wave, const Instruction& in) : mask(wave.exec()) {
    a = words(wave, in, 0, buffers[0], mask);
    b = words(wave, in, 1, buffers[1], mask);
    c = words(wave, in, 2, buffers[2], mask);
  }
};

// Integers. neg_lo tells of *_iu8 and *_iu4 which sources are signed.

template <int bits, bool is_signed>
i32 element(u32 word, int i) {
  const u32 at_top = word << (32 - bits - i * bits);
  return is_signed ? i32(at_top) >> (32 - bits) : i32(at_top >> (32 - bits));
}

template <int bits, bool a_signed, bool b_signed>
void add_products(const Sources& from, std::array<i32, kLanes>& sums) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    i32 sum = 0;
    for (int i = 0; i < 32 / bits; ++i)
      sum += element<bits, a_signed>(from.a[lane], i) * element<bits, b_signed>(from.b[lane], i);
    sums[lane] = sum;
  }
}

/// C is of type T; clamp sees the whole sum.
template <typename T>
void write_sums(Wave& wave, const Instruction& in, const Sources& from,
                const std::array<i32, kLanes>& products) {
  Lanes result;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    i64 sum = i64(products[lane]) + i64(T(from.c[lane]));
    if (in.clamp)
      sum = std::clamp<i64>(sum, std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
    result[lane] = u32(sum);
  }
  write(wave, in.operands[0], result, from.mask);
}

template <int bits>
void dot_unsigned(Wave& wave, const Instruction& in) {
  want_no_selection(in);
  if (in.neg_lo || in.neg_hi) throw Fault("an unsigned dot product with neg_lo or neg_hi");
  const Sources from(wave, in);
  std::array<i32, kLanes> products;
  add_products<bits, false, false>(from, products);
  write_sums<u32>(wave, in, from, products);
}

template <int bits>
void dot_either(Wave& wave, const Instruction& in) {
  want_no_selection(in);
  if (in.neg_lo & 4 || in.neg_hi) throw Fault("an integer dot product with a negated C or neg_hi");
  const Sources from(wave, in);
  std::array<i32, kLanes> products;
  switch (in.neg_lo & 3) {
    case 0:
      add_products<bits, false, false>(from, products);
      break;
    case 1:
      add_products<bits, true, false>(from, products);
      break;
    case 2:
      add_products<bits, false, true>(from, products);
      break;
    default:
      add_products<bits, true, true>(from, products);
  }
  write_sums<i32>(wave, in, from, products);
}

// Floats.

template <auto number>
void dot2(const u32* a, const u32* b, std::array<float, kLanes>& sums) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    sums[lane] += number(a[lane] & 0xffff) * number(b[lane] & 0xffff);
    sums[lane] += number(a[lane] >> 16) * number(b[lane] >> 16);
  }
}

/// neg_lo negates elements 0 and neg_hi elements 1; of C both together, or neg_lo alone, negate it.
template <auto number>
void dot2_f32(Wave& wave, const Instruction& in) {
  want_no_selection(in);
  if (in.neg_hi & 4 && !(in.neg_lo & 4)) throw Fault("a dot product with neg_hi of C alone");
  const Sources from(wave, in);
  Lanes signs[2];
  for (int i = 0; i < 2; ++i) {
    const u32 flip = (in.neg_lo >> i & 1 ? 0x8000u : 0) | (in.neg_hi >> i & 1 ? 0x80000000u : 0);
    const u32* const source = i ? from.b : from.a;
    for (int lane = 0; lane < kLanes; ++lane) signs[i][lane] = source[lane] ^ flip;
  }
  std::array<float, kLanes> sums;
  for (std::size_t lane = 0; lane < kLanes; ++lane)
    sums[lane] = std::bit_cast<float>(from.c[lane] ^ (in.neg_lo & 4 ? 0x80000000u : 0));
  dot2<number>(signs[0].data(), signs[1].data(), sums);
  Lanes result;
  for (std::size_t lane = 0; lane < kLanes; ++lane)
    result[lane] = std::bit_cast<u32>(in.clamp ? clamp_f32(sums[lane]) : sums[lane]);
  write(wave, in.operands[0], result, from.mask);
}

/// op_sel chooses C's half and the result's, of which the other one is kept. Signs act on both
/// elements of a source.
template <auto number, auto rounded>
void dot2_16(Wave& wave, const Instruction& in) {
  if (in.op_sel & 3) throw Fault("a dot product with op_sel of A or B");
  const Sources from(wave, in);
  Lanes a, b, c;
  for (const std::size_t i : {1u, 2u})
    if (in.operands[i].kind == Operand::constant && in.operands[i].value)
      throw Fault("a constant as two 16-bit floats");
  for (int lane = 0; lane < kLanes; ++lane)
    c[lane] = from.c[lane] >> (in.op_sel & 4 ? 16 : 0) & 0xffff;
  change_sign(in.operands[1], 0x80008000, from.a, a);
  change_sign(in.operands[2], 0x80008000, from.b, b);
  change_sign(in.operands[3], 0x8000, c.data(), c);
  std::array<float, kLanes> sums;
  for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] = number(c[lane]);
  dot2<number>(a.data(), b.data(), sums);
  for (std::size_t lane = 0; lane < kLanes; ++lane) c[lane] = rounded(sums[lane]);
  write_field(wave, in.operands[0], c, 0xffff, in.op_sel & 8 ? 16 : 0, from.mask);
}

using Values = std::array<float, 256>;
/// neg_hi takes the absolute value of C, and then neg_lo negates it.
template <const Values& a_values, const Values& b_values>
void dot4_f32(Wave& wave, const Instruction& in) {
  want_no_selection(in);
  if (in.neg_lo & 3 || in.neg_hi & 3)
    throw Fault("a dot product of 8-bit floats with a negated A or B");
  const Sources from(wave, in);
  const u32 keep = in.neg_hi & 4 ? 0x7fffffffu : ~0u, flip = in.neg_lo & 4 ? 0x80000000u : 0;
  Lanes result;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    float sum = std::bit_cast<float>((from.c[lane] & keep) ^ flip);
    for (int shift = 0; shift < 32; shift += 8)
      sum += a_values[from.a[lane] >> shift & 0xff] * b_values[from.b[lane] >> shift & 0xff];
    result[lane] = std::bit_cast<u32>(sum);
  }
  write(wave, in.operands[0], result, from.mask);
}

}  // namespace

void packed::add_dot_products(Opcodes& opcodes) {
  const auto add = [&](std::string_view name, Handler run, std::initializer_list<Type> types) {
    opcodes.add(name, run, Class::valu, types);
  };
  add("v_dot4_i32_iu8", dot_either<8>, {Type::b32});
  add("v_dot8_i32_iu4", dot_either<4>, {Type::b32});
  add("v_dot4_u32_u8", dot_unsigned<8>, {Type::b32});
  add("v_dot8_u32_u4", dot_unsigned<4>, {Type::b32});
  add("v_dot2_f32_f16", dot2_f32<from_f16>, {Type::f32, Type::f16, Type::f16, Type::f32});
  add("v_dot2_f32_bf16", dot2_f32<from_bf16>, {Type::f32, Type::bf16, Type::bf16, Type::f32});
  add("v_dot2_f16_f16", dot2_16<from_f16, to_f16>, {Type::f16});
  add("v_dot2_bf16_bf16", dot2_16<from_bf16, to_bf16>, {Type::bf16});
  add("v_dot4_f32_fp8_fp8", dot4_f32<kFp8Values, kFp8Values>,
      {Type::b32, Type::b32, Type::b32, Type::f32});
  add("v_dot4_f32_fp8_bf8", dot4_f32<kFp8Values, kBf8Values>,
      {Type::b32, Type::b32, Type::b32, Type::f32});
  add("v_dot4_f32_bf8_fp8", dot4_f32<kBf8Values, kFp8Values>,
      {Type::b32, Type::b32, Type::b32, Type::f32});
  add("v_dot4_f32_bf8_bf8", dot4_f32<kBf8Values, kBf8Values>,
      {Type::b32, Type::b32, Type::b32, Type::f32});
}

}  // namespace isotope::sim
