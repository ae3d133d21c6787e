#include "sim/vector_testing.h"

namespace isotope::sim::vector_test {
namespace {

const Options kClamps{.clamps_float = true};
const Options kAccumulates{.accumulates = true};

TEST(VectorFloat, AddsAndMultiplies) {
  check(
      "v_add_f32", [](float a, float b) { return a + b; }, kClamps);
  check(
      "v_sub_f32", [](float a, float b) { return a - b; }, kClamps);
  check(
      "v_subrev_f32", [](float a, float b) { return b - a; }, kClamps);
  check(
      "v_mul_f32", [](float a, float b) { return a * b; }, kClamps);
  check(
      "v_add_f64", [](double a, double b) { return a + b; }, kClamps);
  check(
      "v_mul_f64", [](double a, double b) { return a * b; }, kClamps);
  check(
      "v_add_f16", [](F16 a, F16 b) { return F16::nearest(a.value() + b.value()); }, kClamps);
  check("v_sub_f16", [](F16 a, F16 b) { return F16::nearest(a.value() - b.value()); });
  check("v_subrev_f16", [](F16 a, F16 b) { return F16::nearest(b.value() - a.value()); });
  check(
      "v_mul_f16", [](F16 a, F16 b) { return F16::nearest(a.value() * b.value()); }, kClamps);
  check("v_mul_dx9_zero_f32", [](float a, float b) { return a == 0 || b == 0 ? 0.0f : a * b; });
}

TEST(VectorFloat, FusesMultiplyAdd) {
  const auto f32 = [](float a, float b, float c) { return std::fma(a, b, c); };
  check("v_fma_f32", f32, kClamps);
  check("v_fmac_f32", f32, kAccumulates);
  check(
      "v_fma_f64", [](double a, double b, double c) { return std::fma(a, b, c); }, kClamps);
  // Where a double does not hold the sum, product and summand are so far apart that no tie is near.
  const auto f16 = [](F16 a, F16 b, F16 c) {
    return F16::nearest(std::fma(a.value(), b.value(), c.value()));
  };
  check("v_fma_f16", f16, kClamps);
  check("v_fmac_f16", f16, kAccumulates);
  check("v_fma_dx9_zero_f32",
        [](float a, float b, float c) { return a == 0 || b == 0 ? c : std::fma(a, b, c); });
}

TEST(VectorFloat, TakesConstantsWithinAndBehind) {
  TestWave test;
  test.wave.vgpr[1].fill(bits_of(3.0f));
  test.wave.vgpr[2].fill(bits_of(5.0f));
  test.wave.vgpr[3].fill(0x4200);
  test.wave.vgpr[4].fill(0x4500);
  test.run(
      "v_fmaak_f32 v5, v1, v2, 0x40e00000\nv_fmamk_f32 v6, v1, 0x40e00000, v2\nv_fmaak_f16 v7, v3, "
      "v4, 0x4700\n"
      "v_fmamk_f16 v8, v3, 0x4700, v4");
  EXPECT_EQ(from_bits<float>(test.wave.vgpr[5][0]), 22);
  EXPECT_EQ(from_bits<float>(test.wave.vgpr[6][0]), 26);
  EXPECT_EQ(F16{u16(test.wave.vgpr[7][0])}.value(), 22);
  EXPECT_EQ(F16{u16(test.wave.vgpr[8][0])}.value(), 26);
}

double number(double a) { return a; }
double number(F16 a) { return a.value(); }
template <class T>
T quieted(T a) {
  constexpr u64 kQuiet = sizeof(T) == 2 ? 0x200 : sizeof(T) == 4 ? 0x400000 : 0x8000000000000;
  return from_bits<T>(bits_of(a) | kQuiet);
}
template <class T>
bool below(T a, T b) {
  return number(a) < number(b) ||
         (number(a) == 0 && number(b) == 0 && std::signbit(number(a)) && !std::signbit(number(b)));
}
template <class T>
T min_num(T a, T b) {
  if (is_nan(a) && is_nan(b)) return quieted(a);
  return is_nan(a) ? b : is_nan(b) ? a : below(a, b) ? a : b;
}
template <class T>
T max_num(T a, T b) {
  if (is_nan(a) && is_nan(b)) return quieted(a);
  return is_nan(a) ? b : is_nan(b) ? a : below(b, a) ? a : b;
}
template <class T>
T minimum(T a, T b) {
  return is_nan(a) || is_nan(b) ? quieted(is_nan(a) ? a : b) : below(a, b) ? a : b;
}
template <class T>
T maximum(T a, T b) {
  return is_nan(a) || is_nan(b) ? quieted(is_nan(a) ? a : b) : below(b, a) ? a : b;
}
template <class T>
T median(T a, T b, T c) {
  if (is_nan(a) || is_nan(b) || is_nan(c)) return min_num(min_num(a, b), c);
  const T largest = max_num(max_num(a, b), c);
  if (number(largest) == number(a)) return max_num(b, c);
  return number(largest) == number(b) ? max_num(a, c) : max_num(a, b);
}

template <class T>
void check_order(const std::string& type) {
  check(
      "v_min_num_" + type, [](T a, T b) { return min_num(a, b); }, kClamps);
  check(
      "v_max_num_" + type, [](T a, T b) { return max_num(a, b); }, kClamps);
  check("v_minimum_" + type, [](T a, T b) { return minimum(a, b); });
  check("v_maximum_" + type, [](T a, T b) { return maximum(a, b); });
  if (type == "f64") return;
  check("v_min3_num_" + type, [](T a, T b, T c) { return min_num(min_num(a, b), c); });
  check("v_max3_num_" + type, [](T a, T b, T c) { return max_num(max_num(a, b), c); });
  check("v_med3_num_" + type, [](T a, T b, T c) { return median(a, b, c); });
  check("v_minmax_num_" + type, [](T a, T b, T c) { return max_num(min_num(a, b), c); });
  check("v_maxmin_num_" + type, [](T a, T b, T c) { return min_num(max_num(a, b), c); });
  check("v_minimum3_" + type, [](T a, T b, T c) { return minimum(minimum(a, b), c); });
  check("v_maximum3_" + type, [](T a, T b, T c) { return maximum(maximum(a, b), c); });
  check("v_minimummaximum_" + type, [](T a, T b, T c) { return maximum(minimum(a, b), c); });
  check("v_maximumminimum_" + type, [](T a, T b, T c) { return minimum(maximum(a, b), c); });
}
TEST(VectorFloat, Orders) {
  check_order<float>("f32");
  check_order<double>("f64");
  check_order<F16>("f16");
}

TEST(VectorFloat, RoundsToIntegers) {
  check(
      "v_floor_f32", [](float a) { return float(std::floor(double(a))); }, kClamps);
  check("v_ceil_f32", [](float a) { return float(std::ceil(double(a))); });
  check("v_trunc_f32", [](float a) { return float(std::trunc(double(a))); });
  check("v_rndne_f32", [](float a) { return float(std::nearbyint(double(a))); });
  check("v_floor_f64", [](double a) { return std::floor(a); });
  check("v_ceil_f64", [](double a) { return std::ceil(a); });
  check("v_trunc_f64", [](double a) { return std::trunc(a); });
  check("v_rndne_f64", [](double a) { return std::nearbyint(a); });
  check("v_floor_f16", [](F16 a) { return F16::nearest(std::floor(a.value())); });
  check("v_ceil_f16", [](F16 a) { return F16::nearest(std::ceil(a.value())); });
  check("v_trunc_f16", [](F16 a) { return F16::nearest(std::trunc(a.value())); });
  check("v_rndne_f16", [](F16 a) { return F16::nearest(std::nearbyint(a.value())); });
  check("v_fract_f32",
        [](float a) { return std::min(a - std::floor(a), std::nextafter(1.0f, 0.0f)); });
  check("v_fract_f64",
        [](double a) { return std::min(a - std::floor(a), std::nextafter(1.0, 0.0)); });
  check("v_fract_f16", [](F16 a) {
    return F16::nearest(std::min(a.value() - std::floor(a.value()), 2047.0 / 2048));
  });
}

/// frexp's power, from the logarithm.
template <class T>
i32 power(T a) {
  const double value = number(a);
  return std::isfinite(value) && value != 0 ? std::ilogb(value) + 1 : 0;
}
TEST(VectorFloat, TakesExponentsApart) {
  check("v_frexp_exp_i16_f16", [](F16 a) { return i16(power(a)); });
  check("v_frexp_exp_i32_f32", [](float a) { return power(a); });
  check("v_frexp_exp_i32_f64", [](double a) { return power(a); });
  check("v_frexp_mant_f16", [](F16 a) { return F16::nearest(a.value() * std::exp2(-power(a))); });
  check("v_frexp_mant_f32", [](float a) { return float(double(a) * std::exp2(-power(a))); });
  check("v_frexp_mant_f64", [](double a) {
    return double(static_cast<long double>(a) * std::exp2(static_cast<long double>(-power(a))));
  });
  check("v_ldexp_f16", [](F16 a, i16 b) {
    return F16::nearest(a.value() * std::exp2(std::clamp<double>(b, -100, 100)));
  });
  check("v_ldexp_f32", [](float a, i32 b) {
    return float(double(a) * std::exp2(std::clamp<double>(b, -500, 500)));
  });
  check("v_ldexp_f64", [](double a, i32 b) {
    return double(static_cast<long double>(a) *
                  std::exp2(static_cast<long double>(std::clamp(b, -4000, 4000))));
  });
}

TEST(VectorFloat, SumsInTheModeOfRounding) {
  TestWave test;
  test.wave.vgpr[1].fill(bits_of(1.0f));
  test.wave.vgpr[2].fill(bits_of(0x1p-30f));
  const float above = std::nextafter(1.0f, 2.0f);
  for (const u8 mode : {0, 1, 2, 3}) {
    test.wave.mode.round_32 = mode;
    test.run(
        "v_add_f32 v3, v1, v2\nv_add_f32 v4, -v1, -v2\nv_fma_f32 v5, v1, v1, v2\nv_rndne_f32 v6, "
        "0x40200000");
    EXPECT_EQ(from_bits<float>(test.wave.vgpr[3][0]), mode == 1 ? above : 1);
    EXPECT_EQ(from_bits<float>(test.wave.vgpr[4][0]), mode == 2 ? -above : -1);
    EXPECT_EQ(from_bits<float>(test.wave.vgpr[5][0]), mode == 1 ? above : 1);
    EXPECT_EQ(from_bits<float>(test.wave.vgpr[6][0]), 2);
  }
  test.wave.mode.round_16_64 = 3;
  EXPECT_THROW(test.run("v_add_f16 v3, v1, v2"), Fault);
}

TEST(VectorFloat, FlushesSubnormalsIfTheModeDoes) {
  TestWave test;
  test.wave.vgpr[1].fill(0x80000001);
  test.wave.vgpr[2].fill(bits_of(0x1p-126f));
  const auto run = [&] {
    test.run(
        "v_add_f32 v3, v1, v1\nv_mul_f32 v4, 0.5, v2\nv_max_num_f32 v5, v1, v1\nv_mov_b32 v6, v1");
  };
  run();
  EXPECT_EQ(test.wave.vgpr[3][0], 0x80000002u);
  EXPECT_EQ(test.wave.vgpr[4][0], 0x00400000u);
  test.wave.mode.denormals_32 = false;
  run();
  EXPECT_EQ(test.wave.vgpr[3][0], 0x80000000u);
  EXPECT_EQ(test.wave.vgpr[4][0], 0u);
  EXPECT_EQ(test.wave.vgpr[5][0], 0x80000000u);
  EXPECT_EQ(test.wave.vgpr[6][0], 0x80000001u);
}

TEST(VectorFloat, ScalesResultsWhereSubnormalsAreFlushed) {
  TestWave test;
  test.wave.vgpr[1].fill(bits_of(3.0f));
  const auto run = [&] {
    test.run(
        "v_mul_f32 v2, v1, v1 mul:2\nv_mul_f32 v3, v1, v1 mul:4\nv_add_f32 v4, v1, v1 "
        "div:2\nv_mul_f32 v5, v1, 0.5 clamp div:2");
  };
  run();
  EXPECT_EQ(from_bits<float>(test.wave.vgpr[2][0]), 9);
  test.wave.mode.denormals_32 = false;
  run();
  EXPECT_EQ(from_bits<float>(test.wave.vgpr[2][0]), 18);
  EXPECT_EQ(from_bits<float>(test.wave.vgpr[3][0]), 36);
  EXPECT_EQ(from_bits<float>(test.wave.vgpr[4][0]), 3);
  EXPECT_EQ(from_bits<float>(test.wave.vgpr[5][0]), 0.75f);
}

TEST(VectorFloat, KeepsTheFirstNansPayload) {
  TestWave test;
  test.wave.vgpr[1].fill(0x7f800005);
  test.wave.vgpr[2].fill(0xffc00007);
  test.run(
      "v_add_f32 v3, v1, v2\nv_add_f32 v4, v2, v1\nv_fma_f32 v5, 1.0, v2, v1\nv_mul_f32 v6, "
      "0x7f800000, 0\n"
      "v_add_f32 v7, -v1, 1.0\nv_max_num_f32 v8, v1, 1.0");
  EXPECT_EQ(test.wave.vgpr[3][0], 0x7fc00005u);
  EXPECT_EQ(test.wave.vgpr[4][0], 0xffc00007u);
  EXPECT_EQ(test.wave.vgpr[5][0], 0xffc00007u);
  EXPECT_EQ(test.wave.vgpr[6][0], 0x7fc00000u);
  EXPECT_EQ(test.wave.vgpr[7][0], 0xffc00005u);
  EXPECT_EQ(test.wave.vgpr[8][0], 0x3f800000u);
}

TEST(VectorFloat, WritesAndReadsUpperHalves) {
  TestWave test;
  test.wave.vgpr[1].fill(0x40003c00);
  test.wave.vgpr[2].fill(0xabcd1234);
  test.run("v_fma_f16 v2, v1, 1.0, 0 op_sel:[1,0,0,1]");
  EXPECT_EQ(test.wave.vgpr[2][0], 0x40001234u);
  test.run("v_fma_f16 v2, v1, 1.0, 0 op_sel:[0,0,0,0]");
  EXPECT_EQ(test.wave.vgpr[2][0], 0x40003c00u);
}

TEST(VectorFloat, MovesSourcesBetweenLanes) {
  TestWave test;
  for (int lane = 0; lane < kLanes; ++lane) test.wave.vgpr[1][lane] = u32(bits_of(float(lane)));
  test.wave.vgpr[2].fill(bits_of(100.0f));
  test.wave.vgpr[3].fill(7);
  test.wave.vgpr[4].fill(7);
  test.wave.vcc() = 0xff;
  test.run(
      "v_add_f32_dpp v3, v1, v2 row_shr:1 row_mask:0xf bank_mask:0xf\n"
      "v_add_f32_dpp v4, -v1, v2 row_shr:1 row_mask:0xf bank_mask:0xf bound_ctrl:1\n"
      "v_add_f32_dpp v5, v1, v2 quad_perm:[1,0,3,2] row_mask:0xf bank_mask:0xf\n"
      "v_mov_b32_dpp v6, v1 row_share:3 row_mask:0xf bank_mask:0xf\n"
      "v_fmac_f32_dpp v7, v1, v2 row_mirror row_mask:0x1 bank_mask:0xf\n"
      "v_cmp_gt_f32_e64_dpp s2, v1, v1 quad_perm:[1,0,3,2] row_mask:0xf bank_mask:0xf\n"
      "v_cndmask_b32_dpp v8, v1, v2, vcc_lo dpp8:[7,6,5,4,3,2,1,0]");
  EXPECT_EQ(test.wave.sgpr[2], 0x55555555u);
  for (int lane = 0; lane < kLanes; ++lane) {
    const bool there = lane % 16 != 0;
    EXPECT_EQ(test.wave.vgpr[3][lane], there ? u32(bits_of(99.0f + float(lane))) : 7u);
    EXPECT_EQ(from_bits<float>(test.wave.vgpr[4][lane]), there ? 101.0f - float(lane) : 100.0f);
    EXPECT_EQ(from_bits<float>(test.wave.vgpr[5][lane]), 100.0f + float(lane ^ 1));
    EXPECT_EQ(from_bits<float>(test.wave.vgpr[6][lane]), float((lane & 16) + 3));
    EXPECT_EQ(from_bits<float>(test.wave.vgpr[7][lane]), lane < 16 ? float(15 - lane) * 100 : 0);
    EXPECT_EQ(from_bits<float>(test.wave.vgpr[8][lane]), lane < 8 ? 100 : float(lane ^ 7));
  }
}

TEST(VectorFloat, ReadsConstantsAsTheirType) {
  TestWave test;
  const auto f64 = [&](int at) {
    return from_bits<double>(test.wave.vgpr[std::size_t(at)][0] |
                             u64(test.wave.vgpr[std::size_t(at) + 1][0]) << 32);
  };
  test.run(
      "v_mov_b32 v0, 1.0\nv_add_f16 v1, 1.0, v2\nv_add_f64 v[4:5], 1.0, 0x40100000\n"
      "v_fma_f64 v[6:7], 0.5, -4.0, |-2.0|\nv_lshlrev_b64 v[8:9], 4, -1\n"
      "v_ashrrev_i64 v[10:11], 4, 0x80000000\nv_lshrrev_b64 v[12:13], 4, 0x80000000\n"
      "v_mul_f32 v14, 0.15915494, 2.0\nv_add_nc_u16 v15, 0x1234, -1\nv_add_f64 v[16:17], v[18:19], "
      "2\n"
      "s_mov_b32 s3, -1\nv_cndmask_b32 v20, 1.0, -2.0, s3\nv_cvt_f64_f32 v[22:23], 0x40490fdb\n"
      "v_cmp_lt_u64 s0, 5, v[8:9]\nv_cmp_class_f64 s1, -1, 2");
  EXPECT_EQ(test.wave.vgpr[0][0], 0x3f800000u);
  EXPECT_EQ(test.wave.vgpr[1][0], 0x3c00u);
  EXPECT_EQ(f64(4), 5);
  EXPECT_EQ(f64(6), 0);
  EXPECT_EQ(bits_of(f64(8)), 0xfffffffffffffff0u);
  EXPECT_EQ(bits_of(f64(10)), 0xfffffffff8000000u);
  EXPECT_EQ(bits_of(f64(12)), 0x08000000u);
  EXPECT_EQ(test.wave.vgpr[14][0], bits_of(2 * from_bits<float>(0x3e22f983)));
  EXPECT_EQ(test.wave.vgpr[15][0], 0x1233u);
  EXPECT_EQ(bits_of(f64(16)), 2u);
  EXPECT_EQ(from_bits<float>(test.wave.vgpr[20][0]), -2);
  EXPECT_EQ(f64(22), double(from_bits<float>(0x40490fdb)));
  EXPECT_EQ(test.wave.sgpr[0], ~0u);
  EXPECT_EQ(test.wave.sgpr[1], ~0u);
}

TEST(VectorFloat, RunsDualInstructions) {
  TestWave test;
  for (int lane = 0; lane < kLanes; ++lane) test.wave.vgpr[1][lane] = u32(bits_of(float(lane)));
  test.wave.vgpr[2].fill(bits_of(2.0f));
  test.wave.vgpr[3].fill(bits_of(3.0f));
  test.wave.vgpr[4].fill(bits_of(4.0f));
  test.wave.vcc() = 0x0000ffff;
  test.run(
      "v_dual_mov_b32 v2, v3 :: v_dual_add_f32 v3, v2, v1\n"
      "v_dual_cndmask_b32 v5, v1, v2 :: v_dual_fmac_f32 v4, v2, v3\n"
      "v_dual_fmaak_f32 v6, v1, v2, 0x41000000 :: v_dual_mul_f32 v7, v2, v3\n"
      "v_dual_fmamk_f32 v8, v1, 0x41000000, v2 :: v_dual_sub_f32 v9, v2, v3\n"
      "v_dual_subrev_f32 v10, v1, v2 :: v_dual_max_num_f32 v11, v2, v3\n"
      "v_dual_min_num_f32 v12, v1, v2 :: v_dual_add_nc_u32 v13, v2, v3\n"
      "v_dual_mul_dx9_zero_f32 v14, v1, v2 :: v_dual_lshlrev_b32 v15, 4, v3\n"
      "v_dual_mov_b32 v16, v1 :: v_dual_and_b32 v17, v2, v3");
  for (int lane = 0; lane < kLanes; ++lane) {
    const auto at = [&](int i) { return from_bits<float>(test.wave.vgpr[std::size_t(i)][lane]); };
    const float x = float(lane);
    EXPECT_EQ(at(2), 3);
    EXPECT_EQ(at(3), 2 + x);
    EXPECT_EQ(at(4), 4 + 3 * (2 + x));
    EXPECT_EQ(at(5), lane < 16 ? 3 : x);
    EXPECT_EQ(at(6), 3 * x + 8);
    EXPECT_EQ(at(7), 3 * (2 + x));
    EXPECT_EQ(at(8), 8 * x + 3);
    EXPECT_EQ(at(9), 1 - x);
    EXPECT_EQ(at(10), 3 - x);
    EXPECT_EQ(at(11), std::max(3.0f, 2 + x));
    EXPECT_EQ(at(12), std::min(3.0f, x));
    EXPECT_EQ(test.wave.vgpr[13][lane], bits_of(3.0f) + bits_of(2 + x));
    EXPECT_EQ(at(14), 3 * x);
    EXPECT_EQ(test.wave.vgpr[15][lane], u32(bits_of(2 + x) << 4));
    EXPECT_EQ(at(16), x);
    EXPECT_EQ(test.wave.vgpr[17][lane], u32(bits_of(2 + x) & bits_of(3.0f)));
  }
}

}  // namespace
}  // namespace isotope::sim::vector_test
