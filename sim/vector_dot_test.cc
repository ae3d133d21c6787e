// Dot products against the pseudocode: integers exactly, floats in its order of FP32 sums.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "base/dtype.h"
#include "sim/float8.h"
#include "sim/testing.h"

namespace isotope::sim {
namespace {

float f16(u32 bits) { return to_float(float16{u16(bits)}); }
float bf16(u32 bits) { return to_float(bfloat16{u16(bits)}); }
float fp8(u32 bits) { return kFp8Values[bits]; }
float bf8(u32 bits) { return kBf8Values[bits]; }

i64 integer(u32 word, int bits, int i, bool is_signed) {
  const i64 value = i64(word >> (i * bits)) % (i64(1) << bits);
  return is_signed && value >= i64(1) << (bits - 1) ? value - (i64(1) << bits) : value;
}

TEST(Dot, IntegersAreExact) {
  struct Row {
    const char* name;
    int bits;
    bool either;
  };
  const Row rows[] = {{"v_dot4_i32_iu8", 8, true},
                      {"v_dot8_i32_iu4", 4, true},
                      {"v_dot4_u32_u8", 8, false},
                      {"v_dot8_u32_u4", 4, false}};
  std::mt19937 random(8);
  for (const Row& row : rows)
    for (int form = 0; form < 40; ++form) {
      TestWave test;
      const bool a_signed = row.either && form & 1, b_signed = row.either && form & 2,
                 clamp = form & 4;
      for (std::size_t i = 0; i < 3; ++i)
        for (u32& word : test.wave.vgpr[i + 1])
          word = random() % 4 ? u32(random()) : random() % 2 ? 0xffffffff : 0x7fffffff;
      const u32 exec = form % 8 == 7 ? u32(random()) : ~0u;
      test.wave.sgpr[kExecLo] = exec;
      std::string line = std::string(row.name) + " v0, v1, v2, v3";
      if (a_signed || b_signed)
        line += std::string(" neg_lo:[") + (a_signed ? "1," : "0,") + (b_signed ? "1,0]" : "0,0]");
      test.run(line + (clamp ? " clamp" : ""));
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const u32 c = test.wave.vgpr[3][lane];
        i64 sum = row.either ? i64(i32(c)) : i64(c);
        for (int i = 0; i < 32 / row.bits; ++i)
          sum += integer(test.wave.vgpr[1][lane], row.bits, i, a_signed) *
                 integer(test.wave.vgpr[2][lane], row.bits, i, b_signed);
        const i64 low = row.either ? -(i64(1) << 31) : 0,
                  high = row.either ? (i64(1) << 31) - 1 : (i64(1) << 32) - 1;
        if (clamp) sum = sum < low ? low : sum > high ? high : sum;
        ASSERT_EQ(test.wave.vgpr[0][lane], exec >> lane & 1 ? u32(sum) : 0)
            << line << " lane " << lane;
      }
    }
}

struct FloatRow {
  const char* name;
  int bits;
  float (*a)(u32);
  float (*b)(u32);
};

u32 random_word(std::mt19937& random, int bits) {
  if (random() % 6) return u32(random()) & (bits == 16 ? 0xbfffbfff : 0xffffffff);
  constexpr u32 kWords[] = {0x7c000000, 0xfc007c00, 0x7e013c00, 0x00010001,
                            0x80000000, 0x7f803f80, 0x7fc00001, 0x3c003c00};
  return kWords[random() % std::size(kWords)];
}

void expect_same(u32 got, float want, const std::string& what) {
  if (std::isnan(want))
    ASSERT_TRUE(std::isnan(std::bit_cast<float>(got))) << what;
  else
    ASSERT_EQ(got, std::bit_cast<u32>(want))
        << what << ": " << std::bit_cast<float>(got) << " instead of " << want;
}

TEST(Dot, FloatsFollowThePseudocode) {
  const FloatRow rows[] = {
      {"v_dot2_f32_f16", 16, f16, f16},    {"v_dot2_f32_bf16", 16, bf16, bf16},
      {"v_dot4_f32_fp8_fp8", 8, fp8, fp8}, {"v_dot4_f32_fp8_bf8", 8, fp8, bf8},
      {"v_dot4_f32_bf8_fp8", 8, bf8, fp8}, {"v_dot4_f32_bf8_bf8", 8, bf8, bf8}};
  std::mt19937 random(9);
  for (const FloatRow& row : rows)
    for (int form = 0; form < 64; ++form) {
      TestWave test;
      for (std::size_t i = 0; i < 2; ++i)
        for (u32& word : test.wave.vgpr[i + 1]) word = random_word(random, row.bits);
      for (u32& word : test.wave.vgpr[3])
        word = std::bit_cast<u32>(std::ldexp(float(int(random())), int(random() % 60) - 60));
      const bool packed = row.bits == 16, c_negative = form & 1, c_absolute = form & 2,
                 clamp = packed && form & 4;
      const u32 even = packed ? form >> 3 & 3 : 0, odd = packed ? form >> 4 & 3 : 0;
      // Of 16-bit forms neg_hi of C only comes with neg_lo.
      const u32 neg_lo = even | (c_negative ? 4 : 0),
                neg_hi = odd | (c_absolute && (!packed || c_negative) ? 4 : 0);
      std::string line = std::string(row.name) + " v0, v1, v2, v3";
      for (const auto& [name, bits] :
           {std::pair{" neg_lo:[", neg_lo}, std::pair{" neg_hi:[", neg_hi}})
        line += std::string(name) + (bits & 1 ? "1," : "0,") + (bits & 2 ? "1," : "0,") +
                (bits & 4 ? "1]" : "0]");
      test.run(line + (clamp ? " clamp" : ""));
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        float sum = std::bit_cast<float>(test.wave.vgpr[3][lane]);
        if (!packed && c_absolute) sum = std::abs(sum);
        if (c_negative) sum = -sum;
        for (int i = 0; i < 32 / row.bits; ++i) {
          const u32 mask = (1u << row.bits) - 1;
          float a = row.a(test.wave.vgpr[1][lane] >> (i * row.bits) & mask),
                b = row.b(test.wave.vgpr[2][lane] >> (i * row.bits) & mask);
          const u32 negate = i % 2 ? odd : even;
          if (negate & 1) a = -a;
          if (negate & 2) b = -b;
          sum += a * b;
        }
        if (clamp) sum = sum > 0 ? (sum < 1 ? sum : 1) : 0;
        expect_same(test.wave.vgpr[0][lane], sum, line);
      }
    }
}

TEST(Dot, ConstantsAndSixteenBitResults) {
  TestWave test;
  test.wave.vgpr[1].fill(0x40003c00);  // f16: 1, 2
  test.wave.vgpr[2].fill(0x42004000);  // 2, 3
  test.wave.vgpr[3].fill(0x44003c00);  // 1, 4
  test.run("v_dot2_f32_f16 v0, v1, v2, 1.0");
  EXPECT_EQ(std::bit_cast<float>(test.wave.vgpr[0][3]), 9.f);
  test.run("v_dot2_f32_f16 v0, v1, 1.0, 2.0");  // the constant's high half is 0
  EXPECT_EQ(std::bit_cast<float>(test.wave.vgpr[0][3]), 3.f);
  test.run("v_dot4_i32_iu8 v0, v1, 0x01010101, 5");
  EXPECT_EQ(test.wave.vgpr[0][3], 0x40u + 0x3c + 5);
  for (const auto& [modifiers, want] : {std::pair{"v1, v2, v3", 0xa5c34880u},
                                        {"v1, v2, v3 op_sel:[0,0,1,0]", 0xa5c34a00u},
                                        {"v1, v2, v3 op_sel:[0,0,0,1]", 0x4880f069u},
                                        {"-v1, v2, v3 op_sel:[0,0,1,1]", 0xc400f069u},
                                        {"-v1, |v2|, -v3", 0xa5c3c880u}}) {
    test.wave.vgpr[0].fill(0xa5c3f069);
    test.run(std::string("v_dot2_f16_f16 v0, ") + modifiers);
    EXPECT_EQ(test.wave.vgpr[0][3], want) << modifiers;
  }
  test.wave.vgpr[1].fill(0x40003f80);  // bf16: 1, 2
  test.wave.vgpr[2].fill(0x40404000);  // 2, 3
  test.wave.vgpr[3].fill(0x40803f80);  // 1, 4
  test.run("v_dot2_bf16_bf16 v0, v1, v2, v3 op_sel:[0,0,1,1]");
  EXPECT_EQ(test.wave.vgpr[0][3] >> 16, 0x4140u);  // 12
  test.run("v_dot2_f32_bf16 v0, v1, 1.0, 2.0");
  EXPECT_EQ(std::bit_cast<float>(test.wave.vgpr[0][3]), 3.f);
}

TEST(Dot, SixteenBitResultsAreWithinOneRounding) {
  std::mt19937 random(10);
  for (const bool is_bf16 : {false, true}) {
    TestWave test;
    const auto value = is_bf16 ? bf16 : f16;
    const u16 exponents = is_bf16 ? 0x3f80 : 0x3c00;
    for (std::size_t i = 0; i < 3; ++i)
      for (u32& word : test.wave.vgpr[i + 1])
        word = (u32(random()) & 0x81ff81ff) ^ exponents * 0x10001u;
    test.run(is_bf16 ? "v_dot2_bf16_bf16 v0, v1, v2, v3" : "v_dot2_f16_f16 v0, v1, v2, v3");
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const u32 a = test.wave.vgpr[1][lane], b = test.wave.vgpr[2][lane];
      const double exact = double(value(a & 0xffff)) * value(b & 0xffff) +
                           double(value(a >> 16)) * value(b >> 16) +
                           value(test.wave.vgpr[3][lane] & 0xffff);
      const double got = value(test.wave.vgpr[0][lane] & 0xffff);
      EXPECT_LE(std::abs(got - exact), std::abs(exact) * (is_bf16 ? 0x1p-8 : 0x1p-11) + 1e-5);
    }
  }
}

}  // namespace
}  // namespace isotope::sim
