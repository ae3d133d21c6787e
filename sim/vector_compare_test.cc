#include "sim/vector_testing.h"

namespace isotope::sim::vector_test {
namespace {

/// How two values stand to each other: -1, 0, 1, or 2 where one is NaN.
template <class T>
int order(T a, T b) {
  if constexpr (std::is_same_v<T, F16>)
    return order(a.value(), b.value());
  else if constexpr (kFloat<T>)
    return std::isunordered(a, b) ? 2 : std::isgreater(a, b) - std::isless(a, b);
  else
    return a < b ? -1 : a > b ? 1 : 0;
}

/// The set of orders of which a comparison is true: bits 0 less, 1 equal, 2 greater, 3 unordered.
template <class T, unsigned kSet>
void check_comparison(const std::string& name, const std::string& type) {
  const auto reference = [](T a, T b) { return (kSet >> (order(a, b) + 1) & 1) != 0; };
  check("v_cmp_" + name + "_" + type, reference);
  check("v_cmpx_" + name + "_" + type, reference, {.writes_exec = true});
}

template <class T>
void check_integers(const std::string& type) {
  check_comparison<T, 1>("lt", type);
  check_comparison<T, 2>("eq", type);
  check_comparison<T, 3>("le", type);
  check_comparison<T, 4>("gt", type);
  check_comparison<T, 5>("ne", type);
  check_comparison<T, 6>("ge", type);
}
template <class T>
void check_floats(const std::string& type) {
  check_comparison<T, 1>("lt", type);
  check_comparison<T, 2>("eq", type);
  check_comparison<T, 3>("le", type);
  check_comparison<T, 4>("gt", type);
  check_comparison<T, 5>("lg", type);
  check_comparison<T, 6>("ge", type);
  check_comparison<T, 7>("o", type);
  check_comparison<T, 8>("u", type);
  check_comparison<T, 9>("nge", type);
  check_comparison<T, 10>("nlg", type);
  check_comparison<T, 11>("ngt", type);
  check_comparison<T, 12>("nle", type);
  check_comparison<T, 13>("neq", type);
  check_comparison<T, 14>("nlt", type);
}

TEST(VectorCompare, ComparesIntegers) {
  check_integers<u16>("u16");
  check_integers<i16>("i16");
  check_integers<u32>("u32");
  check_integers<i32>("i32");
  check_integers<u64>("u64");
  check_integers<i64>("i64");
}
TEST(VectorCompare, ComparesFloats) {
  check_floats<F16>("f16");
  check_floats<float>("f32");
  check_floats<double>("f64");
}

int position(int fp_class, bool negative, bool quiet) {
  switch (fp_class) {
    case FP_NAN:
      return quiet ? 1 : 0;
    case FP_INFINITE:
      return negative ? 2 : 9;
    case FP_NORMAL:
      return negative ? 3 : 8;
    case FP_SUBNORMAL:
      return negative ? 4 : 7;
    default:
      return negative ? 5 : 6;
  }
}
int position(float a) {
  return position(std::fpclassify(a), std::signbit(a), bits_of(a) >> 22 & 1);
}
int position(double a) {
  return position(std::fpclassify(a), std::signbit(a), bits_of(a) >> 51 & 1);
}
int position(F16 a) {
  const int exponent = a.bits >> 10 & 31, fraction = a.bits & 0x3ff;
  const int fp_class = exponent == 31 ? (fraction ? FP_NAN : FP_INFINITE)
                       : exponent     ? FP_NORMAL
                       : fraction     ? FP_SUBNORMAL
                                      : FP_ZERO;
  return position(fp_class, a.bits >> 15, a.bits >> 9 & 1);
}

template <class T>
void check_class(const std::string& type) {
  const auto reference = [](T a, u32 b) { return (b >> position(a) & 1) != 0; };
  check("v_cmp_class_" + type, reference);
  check("v_cmpx_class_" + type, reference, {.writes_exec = true});
}
TEST(VectorCompare, TellsClasses) {
  check_class<F16>("f16");
  check_class<float>("f32");
  check_class<double>("f64");
}

TEST(VectorCompare, FlushesSubnormalsIfTheModeDoes) {
  TestWave test;
  test.wave.vgpr[1].fill(1);
  test.wave.mode.denormals_32 = false;
  test.run("v_cmp_eq_f32 vcc_lo, 0, v1");
  EXPECT_EQ(test.wave.vcc(), ~0u);
  test.wave.mode.denormals_32 = true;
  test.run("v_cmp_eq_f32 vcc_lo, 0, v1");
  EXPECT_EQ(test.wave.vcc(), 0u);
}

}  // namespace
}  // namespace isotope::sim::vector_test
