#include "sim/vector_testing.h"

namespace isotope::sim::vector_test {
namespace {

/// The integer in T's range that is next to `value`, which is one already; NaN is 0.
template <class T>
T saturated(double value) {
  if (value != value) return 0;
  if (value >= double(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  if (value <= double(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  return T(value);
}
u32 packed(u32 low, u32 high) { return low % 65536 + high * 65536; }

TEST(VectorConvert, MakesIntegers) {
  check("v_cvt_i32_f32", [](float a) { return saturated<i32>(std::trunc(a)); });
  check("v_cvt_u32_f32", [](float a) { return saturated<u32>(std::trunc(a)); });
  check("v_cvt_i32_f64", [](double a) { return saturated<i32>(std::trunc(a)); });
  check("v_cvt_u32_f64", [](double a) { return saturated<u32>(std::trunc(a)); });
  check("v_cvt_i16_f16", [](F16 a) { return saturated<i16>(std::trunc(a.value())); });
  check("v_cvt_u16_f16", [](F16 a) { return saturated<u16>(std::trunc(a.value())); });
  check("v_cvt_nearest_i32_f32",
        [](float a) { return saturated<i32>(std::floor(double(a) + 0.5)); });
  check("v_cvt_floor_i32_f32", [](float a) { return saturated<i32>(std::floor(a)); });
  check("v_cvt_i32_i16", [](i16 a) { return i32(a); });
  check("v_cvt_u32_u16", [](u16 a) { return u32(a); });
}

TEST(VectorConvert, MakesFloats) {
  check("v_cvt_f32_i32", [](i32 a) { return float(double(a)); }, {.clamps_float = true});
  check("v_cvt_f32_u32", [](u32 a) { return float(double(a)); });
  check("v_cvt_f64_i32", [](i32 a) { return double(a); });
  check("v_cvt_f64_u32", [](u32 a) { return double(a); });
  check("v_cvt_f16_i16", [](i16 a) { return F16::nearest(a); });
  check("v_cvt_f16_u16", [](u16 a) { return F16::nearest(a); });
  check("v_cvt_f32_f64", [](double a) { return static_cast<float>(a); }, {.clamps_float = true});
  check("v_cvt_f64_f32", [](float a) { return static_cast<double>(a); });
  check("v_cvt_f16_f32", [](float a) { return is_nan(a) ? F16{0x7e00} : F16::nearest(a); },
        {.clamps_float = true});
  check("v_cvt_f32_f16", [](F16 a) { return float(a.value()); });
  check("v_cvt_f32_ubyte0", [](u32 a) { return float(a % 256); });
  check("v_cvt_f32_ubyte1", [](u32 a) { return float(a / 256 % 256); });
  check("v_cvt_f32_ubyte2", [](u32 a) { return float(a / 65536 % 256); });
  check("v_cvt_f32_ubyte3", [](u32 a) { return float(a / 16777216); });
  check("v_cvt_off_f32_i4",
        [](u32 a) { return float(int(a % 16) - (a % 16 >= 8 ? 16 : 0)) * 0.0625f; });
}

TEST(VectorConvert, KeepsANansPayload) {
  TestWave test;
  test.wave.vgpr[1].fill(0xff812000);
  test.run(
      "v_cvt_f64_f32 v[2:3], v1\nv_cvt_f16_f32 v4, v1\nv_cvt_f32_f64 v5, v[2:3]\nv_cvt_f32_f16 v6, "
      "v4");
  EXPECT_EQ(test.wave.vgpr[3][0], 0xfff82400u);
  EXPECT_EQ(test.wave.vgpr[4][0] & 0xffff, 0xfe09u);
  EXPECT_EQ(test.wave.vgpr[5][0], 0xffc12000u);
  EXPECT_EQ(test.wave.vgpr[6][0], 0xffc12000u);
}

F16 toward_zero(float a) {
  F16 result = F16::nearest(a);
  if (std::isfinite(a) && std::abs(result.value()) > std::abs(double(a))) --result.bits;
  return result;
}
i16 snorm(double a) {
  return a != a ? i16(0) : i16(std::nearbyint(std::clamp(a, -1.0, 1.0) * 32767));
}
u16 unorm(double a) {
  return a != a ? u16(0) : u16(std::nearbyint(std::clamp(a, 0.0, 1.0) * 65535));
}

TEST(VectorConvert, PacksPairs) {
  // NaN and all, as pairs of f16: compared half by half.
  std::mt19937_64 random(3);
  TestWave test;
  for (int round = 0; round < 50; ++round) {
    for (int lane = 0; lane < kLanes; ++lane)
      for (int i : {1, 2})
        test.wave.vgpr[std::size_t(i)][lane] = u32(bits_of(random_value<float>(random)));
    test.run("v_cvt_pk_rtz_f16_f32 v3, v1, -v2");
    for (int lane = 0; lane < kLanes; ++lane) {
      const float a = from_bits<float>(test.wave.vgpr[1][lane]),
                  b = -from_bits<float>(test.wave.vgpr[2][lane]);
      EXPECT_TRUE(same(toward_zero(a), F16{u16(test.wave.vgpr[3][lane])})) << a;
      EXPECT_TRUE(same(toward_zero(b), F16{u16(test.wave.vgpr[3][lane] >> 16)})) << b;
    }
  }
  check("v_cvt_pk_i16_f32", [](float a, float b) {
    return packed(u32(saturated<i16>(std::trunc(a))), u32(saturated<i16>(std::trunc(b))));
  });
  check("v_cvt_pk_u16_f32", [](float a, float b) {
    return packed(saturated<u16>(std::trunc(a)), saturated<u16>(std::trunc(b)));
  });
  check("v_cvt_pk_i16_i32", [](i32 a, i32 b) {
    return packed(u32(std::clamp(a, -32768, 32767)), u32(std::clamp(b, -32768, 32767)));
  });
  check("v_cvt_pk_u16_u32",
        [](u32 a, u32 b) { return packed(std::min(a, 65535u), std::min(b, 65535u)); });
  check("v_cvt_pk_norm_i16_f32",
        [](float a, float b) { return packed(u32(snorm(a)), u32(snorm(b))); });
  check("v_cvt_pk_norm_u16_f32", [](float a, float b) { return packed(unorm(a), unorm(b)); });
  check("v_cvt_pk_norm_i16_f16",
        [](F16 a, F16 b) { return packed(u32(snorm(a.value())), u32(snorm(b.value()))); });
  check("v_cvt_pk_norm_u16_f16",
        [](F16 a, F16 b) { return packed(unorm(a.value()), unorm(b.value())); });
  check("v_cvt_norm_i16_f16", [](F16 a) { return snorm(a.value()); });
  check("v_cvt_norm_u16_f16", [](F16 a) { return unorm(a.value()); });
  check("v_sat_pk_u8_i16", [](u32 a) {
    const auto byte = [](i16 x) { return std::clamp<int>(x, 0, 255); };
    return u16(byte(i16(a % 65536)) + 256 * byte(i16(a / 65536)));
  });
}

}  // namespace
}  // namespace isotope::sim::vector_test
