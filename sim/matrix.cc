// Matrix products of a whole wave: D = A·B + C with A 16 × k, B k × 16, C and D 16 × 16.
//
// Lane 16·h + r holds of row r of A (of column r of B) n elements of k, the lowest bits first.
// WMMA: those from n·h on, n being half of the instruction's k. Register i of C and D is row 8·h +
// i of column r; results of 16 bits are two rows a register.
//
// SWMMAC: of each four elements of k that a lane of B holds, the lane of A of the same h has two,
// and two bits of the index register's lane for each of them say which: the lowest bits are the
// first element's. C is D.
//
// Floats: products and sums are FP32 whatever MODE says, subnormals are kept, and the products are
// added to C one after the other, those of the lower lanes first, each sum rounded to nearest even.
// Results of 16 bits are rounded once, at the end. The hardware's order is not documented: it may
// differ within the bounds of FP32 accumulation.
#include <algorithm>
#include <limits>

#include "sim/float16.h"
#include "sim/float8.h"
#include "sim/lanes.h"

namespace isotope::sim {
namespace {

constexpr int kRows = 16, kColumns = 16, kHalves = 2, kRowsOfHalf = 8;

template <typename T>
using Tile = std::array<std::array<T, kColumns>, kRows>;
/// [k][row of A or column of B], the lower lanes' k first.
template <typename T, int k>
using Fragment = std::array<std::array<T, kRows>, k>;

/// These instructions ignore EXEC, and the result is not defined unless it is all ones.
void want_all_lanes(const Wave& wave) {
  if (wave.exec() != ~0u) throw Fault("a matrix product while some lanes are switched off");
}

const Lanes& register_of(const Wave& wave, const Operand& operand, int i) {
  if (operand.kind != Operand::vgpr) throw Fault("a matrix was expected in vector registers");
  return wave.vgpr[operand.index + std::size_t(i)];
}

// Elements: their bits, the number that is multiplied, and what products are summed in.

template <int bits_of_element>
struct FloatElement {
  using Number = float;
  using Sum = float;
  static constexpr int kBits = bits_of_element;
};
struct F16 : FloatElement<16> {
  static float number(u32 bits, bool) { return from_f16(bits); }
  static u32 rounded(float sum) { return to_f16(sum); }
};
struct Bf16 : FloatElement<16> {
  static float number(u32 bits, bool) { return from_bf16(bits); }
  static u32 rounded(float sum) { return to_bf16(sum); }
};
struct Fp8 : FloatElement<8> {
  static float number(u32 bits, bool) { return kFp8Values[bits]; }
};
struct Bf8 : FloatElement<8> {
  static float number(u32 bits, bool) { return kBf8Values[bits]; }
};
template <int bits_of_element>
struct Int {
  using Number = i16;
  using Sum = i32;
  static constexpr int kBits = bits_of_element;
  static i16 number(u32 bits, bool is_signed) {
    return i16(is_signed ? i32(bits << (32 - kBits)) >> (32 - kBits) : i32(bits));
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

/// C and D of 32-bit elements. Of floats neg_hi takes the absolute value of C, and then neg_lo
/// negates it.
template <typename T>
Tile<T> load_c(const Wave& wave, const Instruction& in, const Operand& c) {
  constexpr bool kFloat = std::is_same_v<T, float>;
  const u32 clear = kFloat && (in.neg_hi & 4) ? 0x80000000u : 0,
            flip = kFloat && (in.neg_lo & 4) ? 0x80000000u : 0;
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
void store_d(Wave& wave, const Operand& d, const Tile<T>& tile) {
  for (int i = 0; i < kRowsOfHalf; ++i)
    for (int half = 0; half < kHalves; ++half)
      for (int column = 0; column < kColumns; ++column)
        wave.vgpr[d.index + std::size_t(i)][std::size_t(half * kColumns + column)] =
            std::bit_cast<u32>(tile[std::size_t(half * kRowsOfHalf + i)][std::size_t(column)]);
}

/// The same of 16-bit floats; a constant is in both halves.
template <typename Element>
Tile<float> load_c16(const Wave& wave, const Instruction& in, const Operand& c) {
  const u32 clear = in.neg_hi & 4 ? 0x8000u : 0, flip = in.neg_lo & 4 ? 0x8000u : 0;
  Tile<float> tile;
  Lanes buffer;
  for (int row = 0; row < kRows; ++row) {
    const int i = row % kRowsOfHalf;
    const u32* const lanes = lane_words(wave, c, c.kind == Operand::vgpr ? i / 2 : 0, buffer) +
                             row / kRowsOfHalf * kColumns;
    const int shift = c.kind == Operand::vgpr ? i % 2 * 16 : 0;
    for (int column = 0; column < kColumns; ++column)
      tile[std::size_t(row)][std::size_t(column)] =
          Element::number(((lanes[column] >> shift & 0xffff) & ~clear) ^ flip, false);
  }
  return tile;
}
template <typename Element>
void store_d16(Wave& wave, const Operand& d, const Tile<float>& tile) {
  for (std::size_t row = 0; row < kRows; row += 2) {
    u32* const lanes =
        wave.vgpr[d.index + row % kRowsOfHalf / 2].data() + row / kRowsOfHalf * kColumns;
    for (std::size_t column = 0; column < kColumns; ++column)
      lanes[column] = Element::rounded(tile[row][column]) | Element::rounded(tile[row + 1][column])
                                                                << 16;
  }
}

/// Integers' C is added at the end, for clamp to see the whole sum.
Tile<i32> with_c(const Tile<i32>& products, const Tile<i32>& c, bool clamp) {
  Tile<i32> result;
  for (std::size_t row = 0; row < kRows; ++row)
    for (std::size_t column = 0; column < kColumns; ++column) {
      const i64 sum = i64(products[row][column]) + c[row][column];
      result[row][column] = clamp ? i32(std::clamp<i64>(sum, std::numeric_limits<i32>::min(),
                                                        std::numeric_limits<i32>::max()))
                                  : i32(u32(sum));
    }
  return result;
}

template <typename A, typename B, int k>
struct Dense {
  static constexpr std::size_t kC = 3;  ///< its operand
  using Sum = typename A::Sum;
  static void add(const Wave& wave, const Instruction& in, Tile<Sum>& sums) {
    const auto a = fragment<A, k>(wave, in, 0);
    const auto b = fragment<B, k>(wave, in, 1);
    for (std::size_t row = 0; row < kRows; ++row) {
      std::array<Sum, kColumns> sum = sums[row];
      for (std::size_t i = 0; i < k; ++i)
        for (std::size_t column = 0; column < kColumns; ++column)
          sum[column] += a[i][row] * b[i][column];
      sums[row] = sum;
    }
  }
};

template <typename A, typename B, int k>
struct Sparse {
  static constexpr std::size_t kC = 0;  ///< D
  using Sum = typename A::Sum;
  static void add(const Wave& wave, const Instruction& in, Tile<Sum>& sums) {
    constexpr std::size_t kOfHalf = k / 2 / kHalves;  // elements of A in a lane
    const auto a = fragment<A, k / 2>(wave, in, 0);
    const auto b = fragment<B, k>(wave, in, 1);
    const Lanes& index = register_of(wave, in.operands[3], 0);
    const int first_bit = kOfHalf * 2 == 16 ? 16 * (in.op_sel & 1) : 0;
    for (std::size_t row = 0; row < kRows; ++row) {
      std::array<Sum, kColumns> sum = sums[row];
      for (std::size_t i = 0; i < k / 2; ++i) {
        const std::size_t half = i / kOfHalf, e = i % kOfHalf;
        const std::size_t which = index[half * kRows + row] >> (std::size_t(first_bit) + 2 * e) & 3;
        const auto& values = b[half * (k / kHalves) + e / 2 * 4 + which];
        for (std::size_t column = 0; column < kColumns; ++column)
          sum[column] += a[i][row] * values[column];
      }
      sums[row] = sum;
    }
  }
};

template <typename Product>
void run_f32(Wave& wave, const Instruction& in) {
  want_all_lanes(wave);
  Tile<float> tile = load_c<float>(wave, in, in.operands[Product::kC]);
  Product::add(wave, in, tile);
  store_d(wave, in.operands[0], tile);
}

template <typename Product, typename Result>
void run_16(Wave& wave, const Instruction& in) {
  want_all_lanes(wave);
  Tile<float> tile = load_c16<Result>(wave, in, in.operands[Product::kC]);
  Product::add(wave, in, tile);
  store_d16<Result>(wave, in.operands[0], tile);
}

template <typename Product>
void run_i32(Wave& wave, const Instruction& in) {
  want_all_lanes(wave);
  Tile<i32> products{};
  Product::add(wave, in, products);
  store_d(wave, in.operands[0],
          with_c(products, load_c<i32>(wave, in, in.operands[Product::kC]), in.clamp));
}

}  // namespace

void add_matrix(Opcodes& opcodes) {
  const auto add = [&](std::string_view name, Type type, Handler run) {
    opcodes.add(name, run, Class::wmma, {type});
  };
  add("v_wmma_f32_16x16x16_f16", Type::f32, run_f32<Dense<F16, F16, 16>>);
  add("v_wmma_f32_16x16x16_bf16", Type::f32, run_f32<Dense<Bf16, Bf16, 16>>);
  add("v_wmma_f32_16x16x16_fp8_fp8", Type::f32, run_f32<Dense<Fp8, Fp8, 16>>);
  add("v_wmma_f32_16x16x16_fp8_bf8", Type::f32, run_f32<Dense<Fp8, Bf8, 16>>);
  add("v_wmma_f32_16x16x16_bf8_fp8", Type::f32, run_f32<Dense<Bf8, Fp8, 16>>);
  add("v_wmma_f32_16x16x16_bf8_bf8", Type::f32, run_f32<Dense<Bf8, Bf8, 16>>);
  add("v_wmma_f16_16x16x16_f16", Type::f16, run_16<Dense<F16, F16, 16>, F16>);
  add("v_wmma_bf16_16x16x16_bf16", Type::bf16, run_16<Dense<Bf16, Bf16, 16>, Bf16>);
  add("v_wmma_i32_16x16x16_iu8", Type::b32, run_i32<Dense<Int<8>, Int<8>, 16>>);
  add("v_wmma_i32_16x16x16_iu4", Type::b32, run_i32<Dense<Int<4>, Int<4>, 16>>);
  add("v_wmma_i32_16x16x32_iu4", Type::b32, run_i32<Dense<Int<4>, Int<4>, 32>>);

  add("v_swmmac_f32_16x16x32_f16", Type::f32, run_f32<Sparse<F16, F16, 32>>);
  add("v_swmmac_f32_16x16x32_bf16", Type::f32, run_f32<Sparse<Bf16, Bf16, 32>>);
  add("v_swmmac_f32_16x16x32_fp8_fp8", Type::f32, run_f32<Sparse<Fp8, Fp8, 32>>);
  add("v_swmmac_f32_16x16x32_fp8_bf8", Type::f32, run_f32<Sparse<Fp8, Bf8, 32>>);
  add("v_swmmac_f32_16x16x32_bf8_fp8", Type::f32, run_f32<Sparse<Bf8, Fp8, 32>>);
  add("v_swmmac_f32_16x16x32_bf8_bf8", Type::f32, run_f32<Sparse<Bf8, Bf8, 32>>);
  add("v_swmmac_f16_16x16x32_f16", Type::f16, run_16<Sparse<F16, F16, 32>, F16>);
  add("v_swmmac_bf16_16x16x32_bf16", Type::bf16, run_16<Sparse<Bf16, Bf16, 32>, Bf16>);
  add("v_swmmac_i32_16x16x32_iu8", Type::b32, run_i32<Sparse<Int<8>, Int<8>, 32>>);
  add("v_swmmac_i32_16x16x32_iu4", Type::b32, run_i32<Sparse<Int<4>, Int<4>, 32>>);
  add("v_swmmac_i32_16x16x64_iu4", Type::b32, run_i32<Sparse<Int<4>, Int<4>, 64>>);
}

}  // namespace isotope::sim
