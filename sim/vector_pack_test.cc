// Conversions that pack two results.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <random>
#include <string>

#include "base/dtype.h"
#include "sim/testing.h"

namespace isotope::sim {
namespace {

float value_of(u32 half) { return to_float(float16{u16(half)}); }

/// The largest f16 that is not above |x|, by looking.
u32 f16_to_zero(float x) {
  const u32 sign = std::signbit(x) ? 0x8000 : 0;
  if (std::isnan(x)) return sign | 0x7e00 | (std::bit_cast<u32>(x) >> 13 & 0x3ff);
  if (std::isinf(x)) return sign | 0x7c00;
  u32 below = 0, above = 0x7c00;
  while (above - below > 1) {
    const u32 middle = (below + above) / 2;
    (value_of(middle) <= std::abs(x) ? below : above) = middle;
  }
  return sign | below;
}
u32 clamp_f16(u32 half) {
  const float x = value_of(half);
  return x >= 1 ? 0x3c00 : x > 0 ? half : 0;
}
u32 float_to(double x, double low, double high) {
  if (std::isnan(x)) return 0;
  return u32(i32(std::trunc(x < low ? low : x > high ? high : x))) & 0xffff;
}
u32 integer_to(i64 x, i64 low, i64 high) {
  return u32(x < low ? low : x > high ? high : x) & 0xffff;
}
float as_float(u32 bits) { return std::bit_cast<float>(bits); }

struct Row {
  const char* line;
  std::function<u32(u32)> half;
};
const Row kRows[] = {
    {"v_cvt_pk_rtz_f16_f32 v0, v1, v2", [](u32 bits) { return f16_to_zero(as_float(bits)); }},
    {"v_cvt_pk_rtz_f16_f32 v0, -v1, -v2", [](u32 bits) { return f16_to_zero(-as_float(bits)); }},
    {"v_cvt_pk_rtz_f16_f32 v0, |v1|, |v2|",
     [](u32 bits) { return f16_to_zero(std::abs(as_float(bits))); }},
    {"v_cvt_pk_rtz_f16_f32 v0, |v1|, |v2| clamp",
     [](u32 bits) { return clamp_f16(f16_to_zero(std::abs(as_float(bits)))); }},
    {"v_cvt_pk_i16_f32 v0, v1, v2",
     [](u32 bits) { return float_to(as_float(bits), -32768, 32767); }},
    {"v_cvt_pk_i16_f32 v0, -|v1|, -|v2|",
     [](u32 bits) { return float_to(-std::abs(as_float(bits)), -32768, 32767); }},
    {"v_cvt_pk_u16_f32 v0, v1, v2", [](u32 bits) { return float_to(as_float(bits), 0, 65535); }},
    {"v_cvt_pk_i16_i32 v0, v1, v2", [](u32 bits) { return integer_to(i32(bits), -32768, 32767); }},
    {"v_cvt_pk_u16_u32 v0, v1, v2", [](u32 bits) { return integer_to(bits, 0, 65535); }},
    {"v_pack_b32_f16 v0, v1, v2", [](u32 bits) { return bits & 0xffff; }},
    {"v_pack_b32_f16 v0, v1, v2 op_sel:[1,1,0]", [](u32 bits) { return bits >> 16; }},
    {"v_pack_b32_f16 v0, -v1, -v2 op_sel:[1,1,0]", [](u32 bits) { return bits >> 16 ^ 0x8000; }},
    {"v_pack_b32_f16 v0, |v1|, |v2|", [](u32 bits) { return bits & 0x7fff; }},
};

u32 random_word(std::mt19937& random) {
  constexpr float kFloats[] = {
      0.f,     -0.f,     65504.f,  65519.f,  65536.f, 1e30f,   INFINITY, NAN,         6e-8f,
      5.9e-8f, 6.1e-5f,  6.09e-5f, 1.f,      2047.9f, 32767.f, 32767.9f, -32768.9f,   -32769.f,
      65535.f, 65535.9f, -0.9f,    0.99999f, 1e-40f,  -1e9f,   2.5f,     2147483648.f};
  switch (random() % 4) {
    case 0:
      return std::bit_cast<u32>(kFloats[random() % std::size(kFloats)]);
    case 1:
      return std::bit_cast<u32>(std::ldexp(float(int(random())), int(random() % 48) - 60));
    case 2:
      return u32(i32(random() % 140000) - 70000);
    default:
      return u32(random());
  }
}

TEST(Pack, TwoResultsOfOneDefinition) {
  std::mt19937 random(11);
  for (const Row& row : kRows)
    for (int round = 0; round < 100; ++round) {
      TestWave test;
      for (std::size_t i = 0; i < 3; ++i)
        for (u32& word : test.wave.vgpr[i]) word = random_word(random);
      const Lanes before = test.wave.vgpr[0];
      const u32 exec = round % 4 ? ~0u : u32(random());
      test.wave.sgpr[kExecLo] = exec;
      test.run(row.line);
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const u32 a = test.wave.vgpr[1][lane], b = test.wave.vgpr[2][lane];
        ASSERT_EQ(test.wave.vgpr[0][lane],
                  exec >> lane & 1 ? row.half(a) | row.half(b) << 16 : before[lane])
            << row.line << std::hex << " " << a << " " << b;
      }
    }
}

TEST(Pack, SourcesMayBeScalarOrConstant) {
  TestWave test;
  test.wave.sgpr[4] = 0x40001234;
  test.run(
      "v_pack_b32_f16 v0, s4, 1.0 op_sel:[1,0,0]\nv_cvt_pk_rtz_f16_f32 v1, 1.0, "
      "s4\nv_cvt_pk_i16_i32 v2, -3, 0x12345");
  EXPECT_EQ(test.wave.vgpr[0][31], 0x3c004000u);
  EXPECT_EQ(test.wave.vgpr[1][31], 0x40003c00u);
  EXPECT_EQ(test.wave.vgpr[2][31], 0x7ffffffdu);
}

TEST(Pack, SaturatesToBytesInTheLowHalf) {
  TestWave test;
  const std::pair<u32, u32> cases[] = {
      {0x00ff0100, 0xffff}, {0xffff0001, 0x0001}, {0x7fff8000, 0xff00}, {0x00000080, 0x0080}};
  for (const auto& [source, want] : cases) {
    test.wave.vgpr[0].fill(0xa5c3f069);
    test.wave.vgpr[1].fill(source);
    test.run("v_sat_pk_u8_i16 v0, v1");
    EXPECT_EQ(test.wave.vgpr[0][9], 0xa5c30000 | want);
  }
}

}  // namespace
}  // namespace isotope::sim
