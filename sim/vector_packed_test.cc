// Packed 16-bit operations against exact arithmetic: f16 numbers are multiples of 2^-24, their
// products of 2^-48.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <random>
#include <string>

#include "base/dtype.h"
#include "sim/testing.h"

namespace isotope::sim {
namespace {

using Wide = __int128;

double number(u32 half) { return to_float(float16{u16(half)}); }
bool is_nan(u32 half) { return (half & 0x7fff) > 0x7c00; }
bool is_infinite(u32 half) { return (half & 0x7fff) == 0x7c00; }
bool sign(u32 half) { return half & 0x8000; }
/// In units of 2^-24; finite numbers. Infinity's code is what comes after the largest number.
Wide fixed(u32 half) {
  const Wide magnitude =
      half & 0x7c00 ? Wide((half & 0x3ff) | 0x400) << ((half >> 10 & 31) - 1) : Wide(half & 0x3ff);
  return sign(half) ? -magnitude : magnitude;
}

/// The f16 nearest to `value` · 2^-48, ties to even. `zero` is the sign of an exact zero.
u32 rounded(Wide value, bool zero) {
  if (value == 0) return zero ? 0x8000 : 0;
  const Wide magnitude = value < 0 ? -value : value;
  u32 below = 0, above = 0x7c00;
  if (magnitude >= fixed(above) << 24) return (value < 0 ? 0x8000u : 0) | 0x7c00;
  while (above - below > 1) {
    const u32 middle = (below + above) / 2;
    (fixed(middle) << 24 <= magnitude ? below : above) = middle;
  }
  const Wide down = magnitude - (fixed(below) << 24), up = (fixed(above) << 24) - magnitude;
  const bool take_above = up < down || (up == down && below % 2);
  return (value < 0 ? 0x8000u : 0) | (take_above ? above : below);
}

u32 fma_exact(u32 a, u32 b, u32 c) {
  for (const u32 x : {a, b, c})
    if (is_nan(x)) return x | 0x200;
  const bool product_sign = sign(a) != sign(b);
  if (is_infinite(a) || is_infinite(b)) {
    const bool invalid =
        fixed(a) == 0 || fixed(b) == 0 || (is_infinite(c) && sign(c) != product_sign);
    return invalid ? 0x7e00 : product_sign ? 0xfc00 : 0x7c00;
  }
  if (is_infinite(c)) return c;
  return rounded(fixed(a) * fixed(b) + (fixed(c) << 24), product_sign && sign(c));
}
u32 add_exact(u32 a, u32 b, u32) { return fma_exact(a, 0x3c00, b); }
/// Minus zero does not change a sum.
u32 mul_exact(u32 a, u32 b, u32) {
  return fma_exact(a, b, is_nan(a) || is_nan(b) || sign(a) != sign(b) ? 0x8000 : 0);
}

template <bool maximum, bool nan_wins>
u32 extreme(u32 a, u32 b, u32) {
  if (is_nan(a) && (nan_wins || is_nan(b))) return a | 0x200;
  if (is_nan(b)) return nan_wins ? b | 0x200 : a;
  if (is_nan(a)) return b;
  const double x = number(a), y = number(b);
  if (x == 0 && y == 0)
    return maximum ? (sign(a) && sign(b) ? 0x8000 : 0) : (sign(a) || sign(b) ? 0x8000 : 0);
  return (maximum ? x > y : x < y) ? a : b;
}

i64 saturated(i64 value, bool is_signed) {
  return is_signed ? std::min<i64>(std::max<i64>(value, -32768), 32767)
                   : std::min<i64>(std::max<i64>(value, 0), 65535);
}
i64 u(u32 x) { return i64(x); }
i64 s(u32 x) { return x < 0x8000 ? i64(x) : i64(x) - 65536; }

struct Row {
  const char* name;
  int sources;
  bool is_float;
  bool has_clamp;  ///< saturates, or limits floats
  bool is_signed;
  std::function<i64(u32, u32, u32)> exact;  ///< before clamp; integers may lie outside of 16 bits
};
const Row kRows[] = {
    {"v_pk_add_f16", 2, true, true, false, add_exact},
    {"v_pk_mul_f16", 2, true, true, false, mul_exact},
    {"v_pk_fma_f16", 3, true, true, false, fma_exact},
    {"v_pk_min_num_f16", 2, true, true, false, extreme<false, false>},
    {"v_pk_max_num_f16", 2, true, true, false, extreme<true, false>},
    {"v_pk_minimum_f16", 2, true, true, false, extreme<false, true>},
    {"v_pk_maximum_f16", 2, true, true, false, extreme<true, true>},
    {"v_pk_add_u16", 2, false, true, false, [](u32 a, u32 b, u32) { return u(a) + u(b); }},
    {"v_pk_add_i16", 2, false, true, true, [](u32 a, u32 b, u32) { return s(a) + s(b); }},
    {"v_pk_sub_u16", 2, false, true, false, [](u32 a, u32 b, u32) { return u(a) - u(b); }},
    {"v_pk_sub_i16", 2, false, true, true, [](u32 a, u32 b, u32) { return s(a) - s(b); }},
    {"v_pk_mad_u16", 3, false, true, false, [](u32 a, u32 b, u32 c) { return u(a) * u(b) + u(c); }},
    {"v_pk_mad_i16", 3, false, true, true, [](u32 a, u32 b, u32 c) { return s(a) * s(b) + s(c); }},
    {"v_pk_mul_lo_u16", 2, false, false, false, [](u32 a, u32 b, u32) { return u(a) * u(b); }},
    {"v_pk_max_u16", 2, false, false, false,
     [](u32 a, u32 b, u32) { return std::max(u(a), u(b)); }},
    {"v_pk_max_i16", 2, false, false, true, [](u32 a, u32 b, u32) { return std::max(s(a), s(b)); }},
    {"v_pk_min_u16", 2, false, false, false,
     [](u32 a, u32 b, u32) { return std::min(u(a), u(b)); }},
    {"v_pk_min_i16", 2, false, false, true, [](u32 a, u32 b, u32) { return std::min(s(a), s(b)); }},
    {"v_pk_lshlrev_b16", 2, false, false, false,
     [](u32 a, u32 b, u32) { return u(b) * (i64(1) << a % 16); }},
    {"v_pk_lshrrev_b16", 2, false, false, false,
     [](u32 a, u32 b, u32) { return u(b) / (i64(1) << a % 16); }},
    {"v_pk_ashrrev_i16", 2, false, false, true,
     [](u32 a, u32 b, u32) { return i64(std::floor(double(s(b)) / double(1 << a % 16))); }},
};

u32 expected_half(const Row& row, bool clamp, u32 a, u32 b, u32 c) {
  const i64 exact = row.exact(a, b, c);
  if (!row.is_float) return u32(clamp ? saturated(exact, row.is_signed) : exact) & 0xffff;
  const u32 half = u32(exact);
  if (!clamp) return half;
  return is_nan(half) || number(half) <= 0 ? 0 : number(half) >= 1 ? 0x3c00 : half;
}

constexpr u16 kCorners[] = {0,      0x8000, 1,      0x8001, 0x3ff,  0x83ff, 0x400,  0x3c00, 0xbc00,
                            0x3bff, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0x7d01, 0xfd55, 0x3555,
                            0x1400, 0x0c00, 0x7fff, 0xffff, 0x6800, 0x6801, 0x0801, 0x2bff};
u32 random_half(std::mt19937& random) {
  return random() % 3 ? u32(random()) & 0xffff : kCorners[random() % std::size(kCorners)];
}
void randomize(Lanes& lanes, std::mt19937& random) {
  for (u32& word : lanes) word = random_half(random) | random_half(random) << 16;
}

std::string list(const char* name, u32 bits, int count) {
  std::string text = std::string(" ") + name + ":[";
  for (int i = 0; i < count; ++i) text += std::string(i ? "," : "") + (bits >> i & 1 ? "1" : "0");
  return text + "]";
}

/// The result of a lane whose sources are these words.
u32 expected(const Row& row, const std::array<u32, 3>& words, u32 op_sel, u32 op_sel_hi, u32 neg_lo,
             u32 neg_hi, bool clamp) {
  u32 result = 0;
  for (const bool high : {false, true}) {
    std::array<u32, 3> half{};
    for (std::size_t i = 0; i < 3; ++i)
      half[i] = (words[i] >> ((high ? op_sel_hi : op_sel) >> i & 1 ? 16 : 0) & 0xffff) ^
                ((high ? neg_hi : neg_lo) >> i & 1 ? 0x8000 : 0);
    result |= expected_half(row, clamp, half[0], half[1], half[2]) << (high ? 16 : 0);
  }
  return result;
}

TEST(Packed, OperationsAgreeWithExactArithmetic) {
  std::mt19937 random(6);
  for (const Row& row : kRows) {
    TestWave test;
    for (int form = 0; form < 24; ++form) {
      const u32 all = (1u << row.sources) - 1;
      const u32 op_sel = form ? u32(random()) & all : 0,
                op_sel_hi = form ? u32(random()) & all : all;
      const u32 neg_lo = row.is_float && form > 4 ? u32(random()) & all : 0,
                neg_hi = row.is_float && form > 4 ? u32(random()) & all : 0;
      const bool clamp = row.has_clamp && form % 2, scalar = form % 3 == 1;
      std::string line = std::string(row.name) + " v0, v1, " + (scalar ? "s2" : "v2") +
                         (row.sources == 3 ? ", v3" : "");
      if (form)
        line += list("op_sel", op_sel, row.sources) + list("op_sel_hi", op_sel_hi, row.sources);
      if (neg_lo || neg_hi)
        line += list("neg_lo", neg_lo, row.sources) + list("neg_hi", neg_hi, row.sources);
      if (clamp) line += " clamp";
      for (int round = 0; round < 20; ++round) {
        for (std::size_t i = 0; i < 4; ++i) randomize(test.wave.vgpr[i], random);
        test.wave.sgpr[2] = random_half(random) | random_half(random) << 16;
        const Lanes before = test.wave.vgpr[0];
        const u32 exec = round % 4 == 3 ? u32(random()) : ~0u;
        test.wave.sgpr[kExecLo] = exec;
        test.run(line);
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          const std::array<u32, 3> words{test.wave.vgpr[1][lane],
                                         scalar ? test.wave.sgpr[2] : test.wave.vgpr[2][lane],
                                         test.wave.vgpr[3][lane]};
          const u32 want = exec >> lane & 1
                               ? expected(row, words, op_sel, op_sel_hi, neg_lo, neg_hi, clamp)
                               : before[lane];
          ASSERT_EQ(test.wave.vgpr[0][lane], want)
              << line << std::hex << ": " << words[0] << " " << words[1] << " " << words[2] << ": "
              << test.wave.vgpr[0][lane];
        }
      }
    }
  }
}

TEST(Packed, EveryProductAndSumOfCornersIsRounded) {
  TestWave test;
  for (const Row& row : kRows)
    for (const u16 a : kCorners)
      for (const u16 b : kCorners) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          test.wave.vgpr[1][lane] = a * 0x10001u;
          test.wave.vgpr[2][lane] = b * 0x10001u;
          test.wave.vgpr[3][lane] = kCorners[lane % std::size(kCorners)] | u32(u16(lane * 2113))
                                                                               << 16;
        }
        test.run(std::string(row.name) + " v0, v1, v2" + (row.sources == 3 ? ", v3" : ""));
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          const u32 c = test.wave.vgpr[3][lane];
          ASSERT_EQ(test.wave.vgpr[0][lane],
                    expected(row, {a * 0x10001u, b * 0x10001u, c}, 0, 7, 0, 0, false))
              << row.name << std::hex << " " << a << " " << b << " " << c;
        }
      }
}

TEST(Packed, ConstantsAreOf32Bits) {
  TestWave test;
  test.wave.vgpr[1].fill(0x40003c00);  // 2, 1
  const auto result = [&](const char* line) {
    test.run(line);
    return test.wave.vgpr[0][7];
  };
  EXPECT_EQ(result("v_pk_add_f16 v0, v1, 1.0"), 0x40004000u);                  // 2 + 0, 1 + 1
  EXPECT_EQ(result("v_pk_add_f16 v0, v1, 1.0 op_sel_hi:[1,0]"), 0x42004000u);  // 2 + 1, 1 + 1
  EXPECT_EQ(result("v_pk_add_f16 v0, v1, 0x3c004000"), 0x42004200u);           // 2 + 1, 1 + 2
  EXPECT_EQ(result("v_pk_add_f16 v0, v1, 0.15915494 op_sel_hi:[1,0]"), 0x40523ca3u);
  EXPECT_EQ(result("v_pk_mul_f16 v0, v1, -4.0 op_sel_hi:[1,0]"), 0xc800c400u);
  EXPECT_EQ(result("v_pk_add_u16 v0, v1, 5"), 0x40003c05u);
  EXPECT_EQ(result("v_pk_add_u16 v0, v1, 5 op_sel_hi:[1,0]"), 0x40053c05u);
  EXPECT_EQ(result("v_pk_add_u16 v0, v1, -5"), 0x3fff3bfbu);
  EXPECT_EQ(result("v_pk_add_u16 v0, v1, 1.0"), 0x7f803c00u);  // of 32 bits: 0x3f800000
  EXPECT_EQ(result("v_pk_lshlrev_b16 v0, 3, v1 op_sel_hi:[0,1]"), 0x0000e000u);
  EXPECT_EQ(result("v_pk_mad_u16 v0, v1, 2, 0x00070009 op_sel_hi:[1,0,1]"), 0x80077809u);
}

TEST(Packed, MovesLanesOfTheFirstSource) {
  TestWave test;
  for (std::size_t lane = 0; lane < kLanes; ++lane)
    test.wave.vgpr[1][lane] = std::bit_cast<u32>(float(lane));
  test.wave.vgpr[2].fill(std::bit_cast<u32>(10.f));
  test.run("v_fma_mix_f32_e64_dpp v0, v1, v2, v2 quad_perm:[1,2,3,0] row_mask:0xf bank_mask:0xf");
  for (u32 lane = 0; lane < kLanes; ++lane)
    EXPECT_EQ(std::bit_cast<float>(test.wave.vgpr[0][lane]),
              10 * float(lane / 4 * 4 + (lane + 1) % 4) + 10);
  // Lanes without a source keep what they have.
  test.wave.vgpr[0].fill(7);
  test.run("v_cvt_pk_fp8_f32_e64_dpp v0, v1, v2 row_shr:1 row_mask:0xf bank_mask:0xf");
  EXPECT_EQ(test.wave.vgpr[0][0], 7u);
  EXPECT_EQ(test.wave.vgpr[0][16], 7u);
  EXPECT_EQ(test.wave.vgpr[0][2], 0x5238u);  // 10, 1
}

TEST(Packed, WhatIsNotKnownIsAFault) {
  TestWave test;
  EXPECT_THROW(test.run("v_pk_mul_lo_u16 v0, v1, v2 clamp"), Fault);
  EXPECT_THROW(test.run("v_pk_mad_i16 v0, v1, v2, v3 neg_lo:[1,0,0]"), Fault);
  EXPECT_THROW(test.run("v_fma_mix_f32 v0, v1, 1.0, v3 op_sel_hi:[1,1,1]"), Fault);
  EXPECT_THROW(test.run("v_dot4_i32_iu8 v0, v1, v2, v3 op_sel_hi:[0,0,0]"), Fault);
  test.wave.mode.round_16_64 = 3;
  EXPECT_THROW(test.run("v_pk_add_f16 v0, v1, v2"), Fault);
}

// v_fma_mix*

float f32_source(std::mt19937& random) {
  constexpr float kSpecial[] = {0.f, -0.f, 1.f, INFINITY, -INFINITY, NAN, 1e-40f, 3.4e38f};
  if (random() % 8 == 0) return kSpecial[random() % std::size(kSpecial)];
  return std::ldexp(float(int(random())), int(random() % 40) - 50);
}

TEST(Packed, MixedMultiplyAddRoundsOnceInFp32) {
  std::mt19937 random(7);
  TestWave test;
  for (int form = 0; form < 200; ++form) {
    const u32 op_sel = u32(random()) & 7, op_sel_hi = form % 8, absolute = u32(random()) & 7,
              negate = u32(random()) & 7;
    const bool clamp = form % 5 == 4;
    std::string operands;
    for (u32 i = 0; i < 3; ++i) {
      const std::string name = "v" + std::to_string(i + 1);
      operands += std::string(", ") + (negate >> i & 1 ? "-" : "") +
                  (absolute >> i & 1 ? "|" + name + "|" : name);
    }
    operands +=
        list("op_sel", op_sel, 3) + list("op_sel_hi", op_sel_hi, 3) + (clamp ? " clamp" : "");
    for (std::size_t i = 0; i < 3; ++i)
      for (u32& word : test.wave.vgpr[i + 1])
        word = op_sel_hi >> i & 1 ? random_half(random) | random_half(random) << 16
                                  : std::bit_cast<u32>(f32_source(random));
    test.wave.vgpr[4].fill(0xa5c3f069);
    test.wave.vgpr[5].fill(0xa5c3f069);
    test.run("v_fma_mix_f32 v0" + operands + "\nv_fma_mixlo_f16 v4" + operands +
             "\nv_fma_mixhi_f16 v5" + operands);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      std::array<float, 3> x{};
      for (std::size_t i = 0; i < 3; ++i) {
        const u32 word = test.wave.vgpr[i + 1][lane];
        x[i] = op_sel_hi >> i & 1 ? float(number(word >> (op_sel >> i & 1 ? 16 : 0) & 0xffff))
                                  : std::bit_cast<float>(word);
        if (absolute >> i & 1) x[i] = std::abs(x[i]);
        if (negate >> i & 1) x[i] = -x[i];
      }
      float want = float(__float128(x[0]) * __float128(x[1]) + __float128(x[2]));
      if (clamp) want = want > 0 ? std::min(want, 1.f) : 0.f;
      const float got = std::bit_cast<float>(test.wave.vgpr[0][lane]);
      const u32 low = test.wave.vgpr[4][lane], high = test.wave.vgpr[5][lane];
      ASSERT_EQ(low >> 16, 0xa5c3u);
      ASSERT_EQ(high & 0xffff, 0xf069u);
      ASSERT_EQ(low & 0xffff, high >> 16);
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(got) && is_nan(low & 0xffff)) << operands;
        continue;
      }
      ASSERT_EQ(test.wave.vgpr[0][lane], std::bit_cast<u32>(want))
          << operands << " " << x[0] << " " << x[1] << " " << x[2];
      u32 half = want < 0 || (want == 0 && std::signbit(want)) ? 0x8000 : 0;
      if (std::abs(want) >= 65536)
        half |= 0x7c00;
      else if (std::abs(want) < 0x1p-30f)  // too small for a whole number of 2^-48
        half |= 0;
      else
        half = rounded(Wide(std::ldexp(want, 48)), false);
      ASSERT_EQ(low & 0xffff, half) << operands << " " << want;
    }
  }
}

}  // namespace
}  // namespace isotope::sim
