// Matrix products of a whole wave: D = A·B + C with A 16 × k, B k × 16, C and D 16 × 16.
//
// Lane 16·h + r holds of row r of A (of column r of B) the elements k = n·h … n·h + n - 1, lowest
// first, n being half of the instruction's k. Register i of C and D is row 8·h + i of column r;
// 16-bit results are two rows a register.
//
// Floats: products and sums are FP32 whatever MODE says, subnormals are kept, and the products are
// added to C one after the other, k ascending, each rounded to nearest even. 16-bit results are
// rounded once, at the end. The hardware's order is not documented: results may differ from it
// within the bounds of FP32 accumulation.
#include <cmath>

#include "sim/float16.h"
#include "sim/float8.h"
#include "sim/lanes.h"

namespace isotope::sim {
namespace {

constexpr int kRows = 16, kColumns = 16, kHalves = 2, kRowsOfHalf = 8;

template <typename T>
using Tile = std::array<std::array<T, kColumns>, kRows>;
/// [k][row of A or column of B]
template <typename T, int k>
using Fragment = std::array<std::array<T, kRows>, k>;

void want_all_lanes(const Wave& wave) {
  if (wave.exec() != ~0u) throw Fault("a matrix product while some lanes are switched off");
}

const Lanes& register_of(const Wave& wave, const Operand& operand, int i) {
  if (operand.kind != Operand::vgpr) throw Fault("a matrix was expected in vector registers");
  return wave.vgpr[operand.index + std::size_t(i)];
}

// How elements lie in a register of 32 bits, and what they are as a number that is multiplied.

struct F16 {
  using Number = float;
  static constexpr int kBits = 16;
  static float number(u32 bits, bool) { return from_f16(bits); }
};
struct Bf16 {
  using Number = float;
  static constexpr int kBits = 16;
  static float number(u32 bits, bool) { return from_bf16(bits); }
};
struct Fp8 {
  using Number = float;
  static constexpr int kBits = 8;
  static float number(u32 bits, bool) { return fp8_values()[bits]; }
};
struct Bf8 {
  using Number = float;
  static constexpr int kBits = 8;
  static float number(u32 bits, bool) { return bf8_values()[bits]; }
};
template <int bits_of_element>
struct Int {
  using Number = i32;
  static constexpr int kBits = bits_of_element;
  static i32 number(u32 bits, bool is_signed) {
    return is_signed ? i32(bits << (32 - kBits)) >> (32 - kBits) : i32(bits);
  }
};

/// Source `source` (0: A, 1: B). Of floats of 16 bits neg_lo negates the elements of even k and
/// neg_hi those of odd k; of integers neg_lo tells that they are signed.
template <typename Element, int k>
Fragment<typename Element::Number, k> fragment(const Wave& wave, const Instruction& in,
                                               int source) {
  constexpr int kPerRegister = 32 / Element::kBits, kOfHalf = k / kHalves;
  constexpr u32 kMask = (1u << Element::kBits) - 1;
  constexpr bool kNegatable =
      std::is_same_v<typename Element::Number, float> && Element::kBits == 16;
  const bool lo = in.neg_lo >> source & 1, hi = in.neg_hi >> source & 1;
  const u32 flip = kNegatable ? (lo ? 0x8000u : 0u) | (hi ? 0x80000000u : 0u) : 0;
  Fragment<typename Element::Number, k> result;
  for (int i = 0; i < kOfHalf / kPerRegister; ++i) {
    const Lanes& lanes = register_of(wave, in.operands[std::size_t(source) + 1], i);
    for (int half = 0; half < kHalves; ++half)
      for (int e = 0; e < kPerRegister; ++e)
        for (int r = 0; r < kRows; ++r)
          result[std::size_t(half * kOfHalf + i * kPerRegister + e)][std::size_t(r)] =
              Element::number(
                  ((lanes[std::size_t(half * kRows + r)] ^ flip) >> (e * Element::kBits)) & kMask,
                  lo);
  }
  return result;
}

/// A register (or constant) of C of 32-bit elements: bits after neg_lo (negate) and neg_hi
/// (absolute value), which only floats have.
template <typename T>
Tile<T> accumulator(const Wave& wave, const Instruction& in, const Operand& c) {
  constexpr bool kFloat = std::is_same_v<T, float>;
  const u32 clear = kFloat && (in.neg_hi >> 2 & 1) ? 0x80000000u : 0,
            flip = kFloat && (in.neg_lo >> 2 & 1) ? 0x80000000u : 0;
  Tile<T> tile;
  Lanes buffer;
  for (int i = 0; i < kRowsOfHalf; ++i) {
    const u32* const lanes = lane_words(wave, c, c.kind == Operand::vgpr ? i : 0, buffer);
    for (int half = 0; half < kHalves; ++half)
      for (int column = 0; column < kColumns; ++column)
        tile[std::size_t(half * kRowsOfHalf + i)][std::size_t(column)] =
            std::bit_cast<T>((lanes[half * kColumns + column] & ~clear) ^ flip);
  }
  return tile;
}

template <typename T>
void store(Wave& wave, const Operand& d, const Tile<T>& tile) {
  for (int i = 0; i < kRowsOfHalf; ++i)
    for (int half = 0; half < kHalves; ++half)
      for (int column = 0; column < kColumns; ++column)
        wave.vgpr[d.index + std::size_t(i)][std::size_t(half * kColumns + column)] =
            std::bit_cast<u32>(tile[std::size_t(half * kRowsOfHalf + i)][std::size_t(column)]);
}

template <int k>
void multiply(const Fragment<float, k>& a, const Fragment<float, k>& b, Tile<float>& sums) {
  for (std::size_t row = 0; row < kRows; ++row) {
    std::array<float, kColumns> sum = sums[row];
    for (std::size_t i = 0; i < k; ++i)
      for (std::size_t column = 0; column < kColumns; ++column)
        sum[column] += a[i][row] * b[i][column];
    sums[row] = sum;
  }
}

template <typename A, typename B>
void wmma_f32(Wave& wave, const Instruction& in) {
  want_all_lanes(wave);
  Tile<float> tile = accumulator<float>(wave, in, in.operands[3]);
  multiply<16>(fragment<A, 16>(wave, in, 0), fragment<B, 16>(wave, in, 1), tile);
  store(wave, in.operands[0], tile);
}

}  // namespace

void add_matrix(Opcodes& opcodes) {
  const auto f32 = [&](std::string_view name, Handler run) {
    opcodes.add(name, run, Class::wmma, {Type::f32});
  };
  f32("v_wmma_f32_16x16x16_f16", wmma_f32<F16, F16>);
  f32("v_wmma_f32_16x16x16_bf16", wmma_f32<Bf16, Bf16>);
  f32("v_wmma_f32_16x16x16_fp8_fp8", wmma_f32<Fp8, Fp8>);
  f32("v_wmma_f32_16x16x16_fp8_bf8", wmma_f32<Fp8, Bf8>);
  f32("v_wmma_f32_16x16x16_bf8_fp8", wmma_f32<Bf8, Fp8>);
  f32("v_wmma_f32_16x16x16_bf8_bf8", wmma_f32<Bf8, Bf8>);
}

}  // namespace isotope::sim
