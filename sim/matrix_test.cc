// WMMA against FP64 (exact integers), element by element from AMD's layout of fragments.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <tuple>

#include "base/dtype.h"
#include "sim/float8.h"
#include "sim/testing.h"

namespace isotope::sim {
namespace {

double f16(u32 bits) { return to_float(float16{u16(bits)}); }
double bf16(u32 bits) { return to_float(bfloat16{u16(bits)}); }
double fp8(u32 bits) { return kFp8Values[bits]; }
double bf8(u32 bits) { return kBf8Values[bits]; }

struct Element {
  int bits;
  double (*value)(u32 bits);
  u32 one;
};
const Element kF16{16, f16, 0x3c00}, kBf16{16, bf16, 0x3f80}, kFp8{8, fp8, 0x38},
    kBf8{8, bf8, 0x3c};

struct FloatCase {
  const char* name;
  Element a, b;
};
const FloatCase kFloatCases[] = {
    {"v_wmma_f32_16x16x16_f16", kF16, kF16},     {"v_wmma_f32_16x16x16_bf16", kBf16, kBf16},
    {"v_wmma_f32_16x16x16_fp8_fp8", kFp8, kFp8}, {"v_wmma_f32_16x16x16_fp8_bf8", kFp8, kBf8},
    {"v_wmma_f32_16x16x16_bf8_fp8", kBf8, kFp8}, {"v_wmma_f32_16x16x16_bf8_bf8", kBf8, kBf8},
};

constexpr int kA = 32, kB = 64, kC = 96, kD = 128;  // first registers

std::string registers(int first, int count) {
  if (count == 1) return "v" + std::to_string(first);
  return "v[" + std::to_string(first) + ":" + std::to_string(first + count - 1) + "]";
}
int registers_of(int bits, int k) { return k / 2 * bits / 32; }

/// Element (r, i): row r of A (column r of B) at k = i.
struct Place {
  std::size_t vgpr, lane;
  int shift;
};
Place place(int first, int bits, int k, int r, int i) {
  const int lanes_k = i % (k / 2), per_register = 32 / bits;
  return {std::size_t(first + lanes_k / per_register), std::size_t(r + i / (k / 2) * 16),
          lanes_k % per_register * bits};
}
u32 mask_of(int bits) { return (1u << bits) - 1; }
u32 get(const TestWave& test, const Place& at, int bits) {
  return test.wave.vgpr[at.vgpr][at.lane] >> at.shift & mask_of(bits);
}
void set(TestWave& test, const Place& at, int bits, u32 value) {
  u32& word = test.wave.vgpr[at.vgpr][at.lane];
  word = (word & ~(mask_of(bits) << at.shift)) | value << at.shift;
}
u32& word_of(TestWave& test, int first, int row, int column) {
  return test.wave.vgpr[std::size_t(first + row % 8)][std::size_t(row / 8 * 16 + column)];
}
float float_of(TestWave& test, int first, int row, int column) {
  return std::bit_cast<float>(word_of(test, first, row, column));
}

std::string line(const FloatCase& c, const std::string& rest = "v[96:103]") {
  return std::string(c.name) + " v[128:135], " + registers(kA, registers_of(c.a.bits, 16)) + ", " +
         registers(kB, registers_of(c.b.bits, 16)) + ", " + rest;
}
/// Codes from a list, or any that are finite and not too large.
void fill(TestWave& test, int first, const Element& element, std::mt19937& random,
          const std::vector<u32>& corners) {
  for (int r = 0; r < 16; ++r)
    for (int i = 0; i < 16; ++i) {
      u32 code = 0;
      do
        code = random() % 20 == 0 && !corners.empty() ? corners[random() % corners.size()]
                                                      : u32(random()) & mask_of(element.bits);
      while (corners.empty() && !(std::abs(element.value(code)) < 1e15));
      set(test, place(first, element.bits, 16, r, i), element.bits, code);
    }
}

/// |sum| in FP32 with `terms` additions differs by at most terms · 2^-24 · Σ|product| (1 + ε), and
/// by underflow of products.
void expect_product(TestWave& test, const FloatCase& c, double sign_even, double sign_odd,
                    const std::array<float, 256>& before, const std::string& what) {
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 16; ++column) {
      double sum = before[std::size_t(row * 16 + column)], magnitude = std::abs(sum);
      for (int i = 0; i < 16; ++i) {
        const double product = c.a.value(get(test, place(kA, c.a.bits, 16, row, i), c.a.bits)) *
                               c.b.value(get(test, place(kB, c.b.bits, 16, column, i), c.b.bits)) *
                               (i % 2 ? sign_odd : sign_even);
        sum += product;
        magnitude += std::abs(product);
      }
      const float got = float_of(test, kD, row, column);
      if (std::isnan(sum))
        ASSERT_TRUE(std::isnan(got)) << what << " " << row << " " << column;
      else if (std::isinf(sum))
        ASSERT_EQ(double(got), sum) << what << " " << row << " " << column;
      else
        ASSERT_LE(std::abs(got - sum), 17 * std::ldexp(magnitude, -24) + 17 * std::ldexp(1.0, -149))
            << what << " " << row << " " << column << ": " << got << " instead of " << sum;
    }
}
std::array<float, 256> accumulator(TestWave& test, int first) {
  std::array<float, 256> c{};
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 16; ++column)
      c[std::size_t(row * 16 + column)] = float_of(test, first, row, column);
  return c;
}

TEST(Matrix, OneElementOfEachMatrixLandsInOnePlace) {
  for (const FloatCase& c : kFloatCases) {
    TestWave test;
    for (int row = 0; row < 16; ++row)
      for (int k = 0; k < 16; ++k)
        for (int column = 0; column < 16; ++column) {
          const Place a = place(kA, c.a.bits, 16, row, k), b = place(kB, c.b.bits, 16, column, k);
          set(test, a, c.a.bits, c.a.one);
          set(test, b, c.b.bits, c.b.one);
          test.run(line(c));
          for (int r = 0; r < 16; ++r)
            for (int q = 0; q < 16; ++q)
              ASSERT_EQ(float_of(test, kD, r, q), r == row && q == column ? 1.f : 0.f)
                  << c.name << row << k << column;
          // A neighbour in k meets nothing.
          set(test, b, c.b.bits, 0);
          const Place other = place(kB, c.b.bits, 16, column, (k + 1) % 16);
          set(test, other, c.b.bits, c.b.one);
          test.run(line(c));
          ASSERT_EQ(float_of(test, kD, row, column), 0.f) << c.name << row << k << column;
          set(test, a, c.a.bits, 0);
          set(test, other, c.b.bits, 0);
        }
  }
}

TEST(Matrix, FloatsAgreeWithFp64) {
  std::mt19937 random(3);
  for (const FloatCase& c : kFloatCases)
    for (int round = 0; round < 50; ++round) {
      TestWave test;
      fill(test, kA, c.a, random, {});
      fill(test, kB, c.b, random, {});
      for (int i = 0; i < 8; ++i)
        for (u32& word : test.wave.vgpr[std::size_t(kC + i)])
          word = std::bit_cast<u32>(std::ldexp(float(random()), int(random() % 40) - 50));
      const std::array<float, 256> before = accumulator(test, kC);
      test.run(line(c));
      expect_product(test, c, 1, 1, before, c.name);
      test.run(line(c, "0"));
      expect_product(test, c, 1, 1, {}, c.name);
      test.run(line(c, "1.0"));
      std::array<float, 256> ones;
      ones.fill(1);
      expect_product(test, c, 1, 1, ones, c.name);
      std::array<float, 256> changed = before;
      for (float& x : changed) x = -std::abs(x);
      test.run(line(c, "v[96:103] neg_lo:[0,0,1] neg_hi:[0,0,1]"));
      expect_product(test, c, 1, 1, changed, c.name);
      if (c.a.bits == 16) {
        test.run(line(c, "v[96:103] neg_lo:[1,0,0] neg_hi:[1,1,0]"));
        expect_product(test, c, -1, 1, before, c.name);
      }
      for (int i = 0; i < 8; ++i)
        test.wave.vgpr[std::size_t(kD + i)] = test.wave.vgpr[std::size_t(kC + i)];
      test.run(line(c, "v[128:135]"));
      expect_product(test, c, 1, 1, before, c.name);
    }
}

TEST(Matrix, InfinityNanAndSubnormals) {
  std::mt19937 random(4);
  const std::vector<u32> corners_16{0,      0x8000, 1,      0x8001, 0x3ff, 0x7c00,
                                    0xfc00, 0x7e00, 0x7f80, 0xff80, 0x7fc0};
  for (const FloatCase& c : kFloatCases)
    for (int round = 0; round < 50; ++round) {
      TestWave test;
      std::vector<u32> corners = corners_16;
      if (c.a.bits == 8) corners = {0, 0x80, 1, 0x81, 3, 0x7c, 0xfc, 0x7f, 0xff};
      fill(test, kA, c.a, random, corners);
      fill(test, kB, c.b, random, corners);
      // What overflows FP32 on the way is not FP64's business.
      for (const int first : {kA, kB})
        for (int r = 0; r < 16; ++r)
          for (int i = 0; i < 16; ++i) {
            const Element& element = first == kA ? c.a : c.b;
            const Place at = place(first, element.bits, 16, r, i);
            const double value = element.value(get(test, at, element.bits));
            if (std::isfinite(value) && std::abs(value) > 1e15)
              set(test, at, element.bits, element.one);
          }
      test.run(line(c));
      expect_product(test, c, 1, 1, {}, c.name);
    }
}

// The other forms, checked in terms of whole matrices.

double iu(u32 bits, int width, bool is_signed) {
  return is_signed && bits >> (width - 1) ? double(bits) - double(1 << width) : double(bits);
}

/// Where SWMMAC's B has element k of a column: runs of 8 take turns between the lanes. A's are half
/// as long.
Place sparse_b(int bits, int column, int k) {
  const int e = k / 16 * 8 + k % 8, per_register = 32 / bits;
  return {std::size_t(kB + e / per_register), std::size_t(column + k / 8 % 2 * 16),
          e % per_register * bits};
}
Place sparse_a(int bits, int row, int stored) {
  const int e = stored / 8 * 4 + stored % 4, per_register = 32 / bits;
  return {std::size_t(kA + e / per_register), std::size_t(row + stored / 4 % 2 * 16),
          e % per_register * bits};
}
constexpr int kIndex = 24;

struct Case {
  std::string name;
  int bits, k;
  bool sparse;
  double (*a)(u32);
  double (*b)(u32);  ///< null: integers
  int result_bits;
  double (*result)(u32);  ///< of 16 bits
  double precision;       ///< of the result: half a unit in its last place, relative
  double smallest;        ///< and of its subnormals
};
const Case kCases[] = {
    {"v_wmma_f16_16x16x16_f16", 16, 16, false, f16, f16, 16, f16, 0x1p-11, 0x1p-25},
    {"v_wmma_bf16_16x16x16_bf16", 16, 16, false, bf16, bf16, 16, bf16, 0x1p-8, 0x1p-134},
    {"v_wmma_i32_16x16x16_iu8", 8, 16, false, nullptr, nullptr, 32, nullptr, 0, 0},
    {"v_wmma_i32_16x16x16_iu4", 4, 16, false, nullptr, nullptr, 32, nullptr, 0, 0},
    {"v_wmma_i32_16x16x32_iu4", 4, 32, false, nullptr, nullptr, 32, nullptr, 0, 0},
    {"v_swmmac_f32_16x16x32_f16", 16, 32, true, f16, f16, 32, nullptr, 0, 0},
    {"v_swmmac_f32_16x16x32_bf16", 16, 32, true, bf16, bf16, 32, nullptr, 0, 0},
    {"v_swmmac_f32_16x16x32_fp8_fp8", 8, 32, true, fp8, fp8, 32, nullptr, 0, 0},
    {"v_swmmac_f32_16x16x32_fp8_bf8", 8, 32, true, fp8, bf8, 32, nullptr, 0, 0},
    {"v_swmmac_f32_16x16x32_bf8_fp8", 8, 32, true, bf8, fp8, 32, nullptr, 0, 0},
    {"v_swmmac_f32_16x16x32_bf8_bf8", 8, 32, true, bf8, bf8, 32, nullptr, 0, 0},
    {"v_swmmac_f16_16x16x32_f16", 16, 32, true, f16, f16, 16, f16, 0x1p-11, 0x1p-25},
    {"v_swmmac_bf16_16x16x32_bf16", 16, 32, true, bf16, bf16, 16, bf16, 0x1p-8, 0x1p-134},
    {"v_swmmac_i32_16x16x32_iu8", 8, 32, true, nullptr, nullptr, 32, nullptr, 0, 0},
    {"v_swmmac_i32_16x16x32_iu4", 4, 32, true, nullptr, nullptr, 32, nullptr, 0, 0},
    {"v_swmmac_i32_16x16x64_iu4", 4, 64, true, nullptr, nullptr, 32, nullptr, 0, 0},
};

struct Matrices {
  double a[16][64]{}, b[64][16]{};
};

/// Writes random fragments and tells what matrices they are.
Matrices randomize(TestWave& test, const Case& c, int key, bool a_signed, bool b_signed,
                   std::mt19937& random) {
  Matrices m;
  const auto code = [&](double (*value)(u32)) {
    u32 bits = 0;
    do bits = u32(random()) & mask_of(c.bits);
    while (value && !(std::abs(value(bits)) < 100));
    return bits;
  };
  const int stored = c.sparse ? c.k / 2 : c.k;
  for (int row = 0; row < 16; ++row)
    for (int i = 0; i < stored; ++i) {
      const Place at = c.sparse ? sparse_a(c.bits, row, i) : place(kA, c.bits, c.k, row, i);
      const u32 bits = code(c.a);
      set(test, at, c.bits, bits);
      int k = i;
      if (c.sparse) {
        // Of each four two in rising order.
        const u32 pair = u32(random() % 6),
                  low = pair < 3   ? 0
                        : pair < 5 ? 1
                                   : 2,
                  high = pair < 3   ? pair + 1
                         : pair < 5 ? pair - 1
                                    : 3;
        const int e = i / 8 * 4 + i % 4;
        Place index{kIndex, at.lane, (stored == 16 ? 16 * key : 0) + 2 * e};
        if (i % 2 == 0) set(test, index, 4, low | high << 2);
        k = i / 2 * 4 + int(get(test, index, 2));
      }
      m.a[row][k] = c.a ? c.a(bits) : iu(bits, c.bits, a_signed);
    }
  for (int k = 0; k < c.k; ++k)
    for (int column = 0; column < 16; ++column) {
      const u32 bits = code(c.b);
      set(test, c.sparse ? sparse_b(c.bits, column, k) : place(kB, c.bits, c.k, column, k), c.bits,
          bits);
      m.b[k][column] = c.b ? c.b(bits) : iu(bits, c.bits, b_signed);
    }
  return m;
}

double element_of(TestWave& test, const Case& c, int first, int row, int column) {
  if (c.result_bits == 16)
    return c.result(
        test.wave.vgpr[std::size_t(first + row % 8 / 2)][std::size_t(row / 8 * 16 + column)] >>
            (row % 2 * 16) &
        0xffff);
  const u32 word = word_of(test, first, row, column);
  return c.a ? double(std::bit_cast<float>(word)) : double(i32(word));
}

void check(TestWave& test, const Case& c, const Matrices& m, const double (&before)[16][16],
           bool clamp) {
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 16; ++column) {
      double sum = before[row][column], magnitude = std::abs(sum);
      for (int k = 0; k < c.k; ++k) {
        sum += m.a[row][k] * m.b[k][column];
        magnitude += std::abs(m.a[row][k] * m.b[k][column]);
      }
      const double got = element_of(test, c, kD, row, column);
      if (!c.a) {
        const double expected =
            clamp ? std::min(std::max(sum, -0x1p31), 0x1p31 - 1) : double(i32(u32(i64(sum))));
        ASSERT_EQ(got, expected) << c.name << " " << row << " " << column;
        continue;
      }
      const double bound = (c.k + 1) * (std::ldexp(magnitude, -24) + 0x1p-149);
      ASSERT_LE(std::abs(got - sum), bound + c.precision * (std::abs(sum) + bound) + c.smallest)
          << c.name << row << column;
    }
}

TEST(Matrix, OtherFormsAgreeWithFp64) {
  std::mt19937 random(5);
  for (const Case& c : kCases)
    for (int round = 0; round < 40; ++round) {
      TestWave test;
      const int key = c.sparse && c.k == 32 ? round % 2 : 0;
      const bool a_signed = !c.a && round & 2, b_signed = !c.a && round & 4,
                 clamp = !c.a && round & 8;
      const Matrices m = randomize(test, c, key, a_signed, b_signed, random);
      const int c_registers = c.result_bits == 16 ? 4 : 8, first = c.sparse ? kD : kC;
      for (int i = 0; i < c_registers; ++i)
        for (u32& word : test.wave.vgpr[std::size_t(first + i)])
          word = !c.a ? (random() % 2 ? u32(random()) : 0x7ffffff0u ^ u32(-int(random() % 2)))
                 : c.result_bits == 16 ? 0x3c004000u ^ u32(random() & 0x81ff81ff)
                                       : std::bit_cast<u32>(float(int(random() % 2000) - 1000) / 7);
      double before[16][16];
      for (int row = 0; row < 16; ++row)
        for (int column = 0; column < 16; ++column)
          before[row][column] = element_of(test, c, first, row, column);
      const int stored = c.sparse ? c.k / 2 : c.k;
      const std::string start = c.name + " " + registers(kD, c_registers) + ", " +
                                registers(kA, registers_of(c.bits, stored)) + ", " +
                                registers(kB, registers_of(c.bits, c.k)) + ", ";
      std::string end = key ? " index_key:1" : "";
      if (a_signed || b_signed)
        end += std::string(" neg_lo:[") + (a_signed ? "1," : "0,") + (b_signed ? "1,0]" : "0,0]");
      if (clamp) end += " clamp";
      test.run(start + (c.sparse ? "v24" : registers(kC, c_registers)) + end);
      check(test, c, m, before, clamp);
      if (c.sparse) continue;
      for (const bool zero : {true, false}) {
        for (auto& row : before)
          for (double& x : row) x = zero ? 0 : c.a ? 2 : -7;
        test.run(start + (zero ? "0" : c.a ? "2.0" : "-7") + end);
        check(test, c, m, before, clamp);
      }
      if (!c.a) continue;
      for (int row = 0; row < 16; ++row)
        for (int column = 0; column < 16; ++column)
          before[row][column] = -std::abs(element_of(test, c, kC, row, column));
      test.run(start + registers(kC, c_registers) + " neg_lo:[0,0,1] neg_hi:[0,0,1]");
      check(test, c, m, before, false);
    }
}

TEST(Matrix, SixteenBitResultsAreRoundedToNearestEven) {
  TestWave test;
  // 2048 + 1 is halfway between two f16 numbers, 2050 + 1 too; 65520 rounds to infinity.
  for (const auto& [first, second, expected] : {std::tuple{0x6800u, 0x3c00u, 0x6800u},
                                                {0x6801u, 0x3c00u, 0x6802u},
                                                {0x7bffu, 0x4c00u, 0x7c00u},
                                                {0x7bffu, 0x4b00u, 0x7bffu},
                                                {1u, 1u, 2u}}) {
    for (int i = 0; i < 4; ++i) test.wave.vgpr[std::size_t(kC + i)].fill(first * 0x10001);
    for (int i = 0; i < 2; ++i) test.wave.vgpr[std::size_t((i ? kB : kA))].fill(0);
    set(test, place(kA, 16, 16, 3, 9), 16, second);
    set(test, place(kB, 16, 16, 5, 9), 16, 0x3c00);
    test.run("v_wmma_f16_16x16x16_f16 v[128:131], v[32:35], v[64:67], v[96:99]");
    EXPECT_EQ(test.wave.vgpr[kD + 1][5] >> 16, expected);
    EXPECT_EQ(test.wave.vgpr[kD + 1][5] & 0xffff, first);
  }
}

TEST(Matrix, AllLanesMustBeOn) {
  TestWave test;
  test.wave.sgpr[kExecLo] = 0xfffffffe;
  EXPECT_THROW(test.run(line(kFloatCases[1])), Fault);
}

}  // namespace
}  // namespace isotope::sim
