#include "sim/float8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "base/dtype.h"
#include "sim/testing.h"

namespace isotope::sim {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// The format's definition: (-1)^s · 2^(e - bias) · (1 + m / 2^mantissa_bits), and at e = 0 2^(1 -
/// bias) · m / 2^mantissa_bits, all of it exact in doubles.
struct Definition {
  int mantissa_bits, bias, largest;  ///< code of the largest finite value
  bool infinity;
  u8 (*encode)(float, bool);
  const std::array<float, 256>& values;
  const char* to;
  const char* from;

  double magnitude(int code) const {
    const int e = code >> mantissa_bits, m = code & ((1 << mantissa_bits) - 1);
    const double fraction = double(m) / double(1 << mantissa_bits);
    return e ? std::ldexp(1 + fraction, e - bias) : std::ldexp(fraction, 1 - bias);
  }
  u8 overflow() const { return u8(infinity ? largest + 1 : 0x7f); }
  /// The nearest code by looking at all of them, the even one of two that are as near; what would
  /// come after the largest stands for overflow.
  u8 nearest(float value, bool clamp) const {
    const u8 sign = std::signbit(value) ? 0x80 : 0;
    if (std::isnan(value)) return sign | 0x7f;
    if (std::isinf(value)) return sign | overflow();
    // Far out, doubles could not tell distances apart.
    const double x = std::min(std::abs(double(value)), 2 * magnitude(largest));
    int best = 0;
    for (int code = 1; code <= largest + 1; ++code) {
      const double now = std::abs(magnitude(code) - x), before = std::abs(magnitude(best) - x);
      if (now < before || (now == before && code % 2 == 0)) best = code;
    }
    if (best > largest) return sign | (clamp ? u8(largest) : overflow());
    return u8(sign | best);
  }
};
const Definition kFp8{3, 7, 0x7e, false, to_fp8, kFp8Values, "v_cvt_pk_fp8_f32", "fp8"};
const Definition kBf8{2, 15, 0x7b, true, to_bf8, kBf8Values, "v_cvt_pk_bf8_f32", "bf8"};

bool same(float a, float b) {
  return std::isnan(a) ? std::isnan(b) : std::bit_cast<u32>(a) == std::bit_cast<u32>(b);
}

/// Every code, every middle between neighbours, the floats beside each, what is far outside, and
/// random bits.
std::vector<float> inputs_of(const Definition& format) {
  std::vector<float> inputs{0.f,
                            1e-30f,
                            std::numeric_limits<float>::denorm_min(),
                            1e30f,
                            std::numeric_limits<float>::max(),
                            kInf,
                            kNan};
  for (int code = 0; code <= format.largest + 1; ++code)
    for (const double x :
         {format.magnitude(code), (format.magnitude(code) + format.magnitude(code + 1)) / 2}) {
      const float f = float(x);
      EXPECT_EQ(double(f), x);
      inputs.insert(inputs.end(), {std::nextafter(f, -kInf), f, std::nextafter(f, kInf)});
    }
  std::mt19937 random(1);
  for (int i = 0; i < 5000; ++i) inputs.push_back(std::bit_cast<float>(u32(random())));
  for (int i = 0; i < 5000; ++i)
    inputs.push_back(std::ldexp(float(random()), int(random() % 40) - 32 - 20));
  const std::size_t positive = inputs.size();
  for (std::size_t i = 0; i < positive; ++i) inputs.push_back(-inputs[i]);
  return inputs;
}

TEST(Float8, EveryCodeIsItsDefinition) {
  for (const Definition* format : {&kFp8, &kBf8})
    for (int code = 0; code < 256; ++code) {
      const int magnitude = code & 0x7f;
      const float sign = code & 0x80 ? -1.f : 1.f;
      float expected =
          magnitude <= format->largest ? sign * float(format->magnitude(magnitude)) : kNan;
      if (format->infinity && magnitude == format->largest + 1) expected = sign * kInf;
      EXPECT_TRUE(same(format->values[std::size_t(code)], expected)) << format->to << " " << code;
      if (std::isnan(expected)) {
        EXPECT_EQ(std::signbit(format->values[std::size_t(code)]), sign < 0);
      }
      if (format == &kFp8) {
        EXPECT_TRUE(same(format->values[std::size_t(code)], to_float(float8_e4m3{u8(code)})))
            << code;
      }
    }
  EXPECT_EQ(kFp8Values[0x7e], 448.f);
  EXPECT_EQ(kFp8Values[0x01], std::ldexp(1.f, -9));
  EXPECT_EQ(kBf8Values[0x7b], 57344.f);
  EXPECT_EQ(kBf8Values[0x01], std::ldexp(1.f, -16));
}

TEST(Float8, RoundsToTheNearestEven) {
  for (const Definition* format : {&kFp8, &kBf8})
    for (const float value : inputs_of(*format)) {
      ASSERT_EQ(int(format->encode(value, false)), int(format->nearest(value, false)))
          << format->to << " of " << value;
      if (std::isinf(value))
        EXPECT_THROW(format->encode(value, true), Fault);
      else
        ASSERT_EQ(int(format->encode(value, true)), int(format->nearest(value, true)))
            << format->to << " of " << value;
    }
  EXPECT_EQ(to_fp8(464.f, false), 0x7e);
  EXPECT_EQ(to_fp8(std::nextafter(464.f, kInf), false), 0x7f);
  EXPECT_EQ(to_bf8(61440.f, false), 0x7c);
  EXPECT_EQ(to_bf8(std::nextafter(61440.f, 0.f), false), 0x7b);
}

TEST(Float8, InstructionsConvertToHalvesOfARegister) {
  TestWave test;
  for (const Definition* format : {&kFp8, &kBf8}) {
    const std::vector<float> inputs = inputs_of(*format);
    for (std::size_t at = 0; at + 2 * kLanes <= inputs.size(); at += 2 * kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        test.wave.vgpr[1][lane] = std::bit_cast<u32>(inputs[at + lane]);
        test.wave.vgpr[2][lane] = std::bit_cast<u32>(inputs[at + kLanes + lane]);
        test.wave.vgpr[3][lane] = test.wave.vgpr[4][lane] = test.wave.vgpr[5][lane] = 0xa5c3f069;
      }
      const std::string op = format->to;
      test.wave.sgpr[kExecLo] = 0x7fffffff;
      test.run(op + " v3, v1, v2\n" + op + " v4, v1, v2 op_sel:[0,0,1]\n" + op +
               " v5, -|v1|, |v2|");
      test.wave.sgpr[kExecLo] = ~0u;
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const float a = inputs[at + lane], b = inputs[at + kLanes + lane];
        const u32 codes = format->nearest(a, false) | format->nearest(b, false) << 8;
        const u32 changed =
            format->nearest(-std::abs(a), false) | format->nearest(std::abs(b), false) << 8;
        const bool on = lane != 31;
        ASSERT_EQ(test.wave.vgpr[3][lane], on ? 0xa5c30000 | codes : 0xa5c3f069) << a << " " << b;
        ASSERT_EQ(test.wave.vgpr[4][lane], on ? 0xf069 | codes << 16 : 0xa5c3f069) << a << " " << b;
        ASSERT_EQ(test.wave.vgpr[5][lane], on ? 0xa5c30000 | changed : 0xa5c3f069) << a << " " << b;
      }
    }
  }
}

TEST(Float8, InstructionsConvertFromBytesOfARegister) {
  TestWave test;
  for (const Definition* format : {&kFp8, &kBf8})
    for (int base = 0; base < 256; base += kLanes) {
      for (u32 lane = 0; lane < kLanes; ++lane)
        test.wave.vgpr[1][lane] =
            u32(base + int(lane)) * 0x01010101 ^ 0x00552a80;  // four different codes
      const std::string type = format->from;
      test.run("v_cvt_pk_f32_" + type + " v[2:3], v1\nv_cvt_pk_f32_" + type +
               " v[4:5], v1 op_sel:[1,0]\nv_cvt_f32_" + type + " v6, v1\nv_cvt_f32_" + type +
               " v7, v1 byte_sel:1\nv_cvt_f32_" + type + " v8, v1 byte_sel:2\nv_cvt_f32_" + type +
               " v9, v1 byte_sel:3");
      for (std::size_t lane = 0; lane < kLanes; ++lane)
        for (std::size_t byte = 0; byte < 4; ++byte) {
          const float expected =
              format->values[std::size_t(test.wave.vgpr[1][lane] >> (8 * byte) & 0xff)];
          EXPECT_TRUE(same(std::bit_cast<float>(test.wave.vgpr[2 + byte][lane]), expected));
          EXPECT_TRUE(same(std::bit_cast<float>(test.wave.vgpr[6 + byte][lane]), expected));
        }
    }
}

TEST(Float8, OverflowIsClampedWhenTheModeSaysSo) {
  TestWave test;
  test.wave.mode.clamp_overflow = true;
  test.wave.vgpr[1].fill(std::bit_cast<u32>(1e6f));
  test.wave.vgpr[2].fill(std::bit_cast<u32>(-1e6f));
  test.run("v_cvt_pk_fp8_f32 v3, v1, v2\nv_cvt_pk_bf8_f32 v4, v1, v2\nv_cvt_sr_fp8_f32 v5, v1, 0");
  EXPECT_EQ(test.wave.vgpr[3][0], 0xfe7eu);
  EXPECT_EQ(test.wave.vgpr[4][0], 0xfb7bu);
  EXPECT_EQ(test.wave.vgpr[5][0], 0x7eu);
}

/// AMD's pseudocode: S1's upper 20 (FP8) or 21 bits (BF8) are added to the mantissa, which wraps,
/// and the sum is rounded.
u8 stochastic(const Definition& format, float value, u32 random) {
  if (!std::isfinite(value)) return format.nearest(value, false);
  const u32 bits = std::bit_cast<u32>(value);
  const u32 mantissa =
      (bits % (1u << 23) + random / (format.infinity ? 1u << 11 : 1u << 12)) % (1u << 23);
  return format.nearest(std::bit_cast<float>((bits >> 23 << 23) + mantissa), false);
}

TEST(Float8, StochasticRoundingAddsRandomBits) {
  TestWave test;
  std::mt19937 random(2);
  for (const Definition* format : {&kFp8, &kBf8}) {
    const std::vector<float> inputs = inputs_of(*format);
    for (std::size_t at = 0; at + kLanes <= inputs.size(); at += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        test.wave.vgpr[1][lane] = std::bit_cast<u32>(inputs[at + lane]);
        test.wave.vgpr[2][lane] = u32(random());
        for (std::size_t byte = 0; byte < 4; ++byte) test.wave.vgpr[3 + byte][lane] = 0xa5c3f069;
      }
      std::string lines;
      for (int byte = 0; byte < 4; ++byte)
        lines += "v_cvt_sr_" + std::string(format->from) + "_f32 v" + std::to_string(3 + byte) +
                 ", v1, v2 byte_sel:" + std::to_string(byte) + "\n";
      test.run(lines);
      for (std::size_t lane = 0; lane < kLanes; ++lane)
        for (std::size_t byte = 0; byte < 4; ++byte) {
          const u32 code = stochastic(*format, inputs[at + lane], test.wave.vgpr[2][lane]);
          ASSERT_EQ(test.wave.vgpr[3 + byte][lane],
                    (0xa5c3f069 & ~(0xffu << 8 * byte)) | code << 8 * byte)
              << inputs[at + lane];
        }
    }
  }
}

}  // namespace
}  // namespace isotope::sim
