#include "sim/vector_testing.h"

namespace isotope::sim::vector_test {
namespace {

using Real = long double;

/// Exact at quarters of a turn, where the sine of a rounded multiple of pi is not.
Real sine_of_turns(Real turns) {
  if (!std::isfinite(turns)) return NAN;
  const Real part = std::remainder(turns, Real(1));
  if (part == 0 || std::abs(part) == 0.5L) return std::copysign(Real(0), part);
  return std::sin(part * 2 * 3.14159265358979323846264338327950288L);
}
Real cosine_of_turns(Real turns) {
  const Real part = std::abs(std::remainder(turns, Real(1)));
  return part == 0.25L ? 0 : std::cos(part * 2 * 3.14159265358979323846264338327950288L);
}

struct Function {
  const char* name;
  Real (*exact)(Real);
  bool scalar;
};
const Function kFunctions[] = {
    {"rcp", [](Real a) { return 1 / a; }, true},
    {"rsq", [](Real a) { return 1 / std::sqrt(a); }, true},
    {"sqrt", [](Real a) { return std::sqrt(a); }, true},
    {"exp", [](Real a) { return std::exp2(a); }, true},
    {"log", [](Real a) { return std::log2(a); }, true},
    {"sin", sine_of_turns, false},
    {"cos", cosine_of_turns, false},
};

double value_of(float a) { return a; }
double value_of(F16 a) { return a.value(); }
template <class T>
T nearest(Real a) {
  if constexpr (std::is_same_v<T, F16>)
    return F16::nearest(double(a));
  else
    return T(a);
}
/// One step of the last place; sources and results that are f32 subnormals are zero.
template <class T>
bool is_close(Real want, T got) {
  constexpr Real kLeast = std::is_same_v<T, float> ? 0x1p-126L : 0x1p-24L;
  const T rounded = nearest<T>(want);
  if (std::isnan(value_of(rounded)) || std::isinf(value_of(rounded)) || std::isinf(value_of(got)))
    return same(rounded, got);
  if (std::abs(want) < kLeast) return std::abs(value_of(got)) <= double(kLeast) * 1.0001;
  return std::abs(i64(bits_of(got)) - i64(bits_of(rounded))) <= 1;
}
template <class T>
Real without_subnormal(T a) {
  const double value = value_of(a);
  return std::is_same_v<T, float> && std::fpclassify(float(value)) == FP_SUBNORMAL
             ? std::copysign(0.0, value)
             : value;
}

template <class T>
void check_lanes(const Function& function, const std::string& name) {
  std::mt19937_64 random(13);
  TestWave test;
  for (int round = 0; round < 200; ++round) {
    test.wave.vgpr[2].fill(0xabcdabcd);
    for (auto& lane : test.wave.vgpr[1]) lane = u32(bits_of(random_value<T>(random)));
    test.wave.sgpr[kExecLo] = u32(random()) | 1;
    test.run(name + (round % 2 ? " v2, -v1" : " v2, |v1|"));
    for (int lane = 0; lane < kLanes; ++lane) {
      if (!(test.wave.exec() >> lane & 1)) {
        EXPECT_EQ(test.wave.vgpr[2][lane], 0xabcdabcdu);
        continue;
      }
      const Real source = without_subnormal(from_bits<T>(test.wave.vgpr[1][lane]));
      const Real x = round % 2 ? -source : std::abs(source);
      const T got = from_bits<T>(test.wave.vgpr[2][lane]);
      ASSERT_TRUE(is_close(function.exact(x), got))
          << name << " of " << double(x) << ": " << value_of(got) << ", not "
          << double(function.exact(x));
    }
  }
}
template <class T>
void check_scalars(const Function& function, const std::string& name) {
  std::mt19937_64 random(17);
  TestWave test;
  for (int round = 0; round < 400; ++round) {
    test.wave.sgpr[1] = u32(bits_of(random_value<T>(random)));
    test.run(name + (round % 2 ? " s2, -s1" : " s2, s1"));
    const Real source = without_subnormal(from_bits<T>(test.wave.sgpr[1]));
    const Real x = round % 2 ? -source : source;
    const T got = from_bits<T>(test.wave.sgpr[2]);
    ASSERT_TRUE(is_close(function.exact(x), got)) << name << " of " << double(x);
  }
}

TEST(VectorTranscendental, IsWithinAnUlp) {
  for (const Function& function : kFunctions) {
    const std::string name = function.name;
    check_lanes<float>(function, "v_" + name + "_f32");
    check_lanes<F16>(function, "v_" + name + "_f16");
    if (!function.scalar) continue;
    check_scalars<float>(function, "v_s_" + name + "_f32");
    check_scalars<F16>(function, "v_s_" + name + "_f16");
  }
  check_lanes<float>(kFunctions[0], "v_rcp_iflag_f32");
  check("v_rcp_f64", [](double a) { return 1 / a; });
  check("v_sqrt_f64", [](double a) { return std::sqrt(a); });
  check("v_rsq_f64", [](double a) { return 1 / std::sqrt(a); });
}

TEST(VectorTranscendental, KnowsNoSubnormals) {
  TestWave test;
  test.wave.vgpr[1].fill(bits_of(-0x1p-127f));
  test.wave.vgpr[2].fill(bits_of(0x1p127f));
  test.wave.vgpr[3].fill(bits_of(-127.0f));
  test.run(
      "v_rcp_f32 v4, v1\nv_rcp_f32 v5, v2\nv_exp_f32 v6, v3\nv_log_f32 v7, |v1|\nv_sin_f32 v8, v1");
  EXPECT_EQ(from_bits<float>(test.wave.vgpr[4][0]), -INFINITY);
  EXPECT_EQ(test.wave.vgpr[5][0], 0u);
  EXPECT_EQ(test.wave.vgpr[6][0], 0u);
  EXPECT_EQ(from_bits<float>(test.wave.vgpr[7][0]), -INFINITY);
  EXPECT_EQ(test.wave.vgpr[8][0], 0x80000000u);
}

TEST(VectorTranscendental, ClampsScalars) {
  TestWave test;
  test.wave.sgpr[1] = u32(bits_of(0.25f));
  test.run("v_s_rcp_f32 s2, s1 clamp\nv_s_exp_f32 s3, -s1 clamp");
  EXPECT_EQ(from_bits<float>(test.wave.sgpr[2]), 1);
  EXPECT_NEAR(from_bits<float>(test.wave.sgpr[3]), 0.840896f, 1e-6);
}

}  // namespace
}  // namespace isotope::sim::vector_test
