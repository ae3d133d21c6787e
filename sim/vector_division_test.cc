#include "sim/vector_testing.h"

namespace isotope::sim::vector_test {
namespace {

/// A quotient and its operands as division's instructions see them.
template <class T>
struct Format;
template <>
struct Format<float> {
  static constexpr int kScale = 64, kFar = 96, kTiny = 23, kUnderflow = -150, kBits = 23;
};
template <>
struct Format<double> {
  static constexpr int kScale = 128, kFar = 768, kTiny = 53, kUnderflow = -1075, kBits = 52;
};
template <class T>
int exponent(T a) {
  return int(bits_of(std::abs(a)) >> Format<T>::kBits);
}
template <class T>
bool is_subnormal(T a) {
  return std::fpclassify(a) == FP_SUBNORMAL;
}

/// Bit by bit as the instruction set has it; but where both the reciprocal and the quotient are
/// subnormal the denominator must become smaller, not larger, for the quotient to come out.
template <class T>
WithBit<T> scale(T s0, T s1, T s2) {
  using F = Format<T>;
  WithBit<T> d{s0, false};
  if (s2 == 0 || s1 == 0) {
    d.value = T(NAN);
  } else if (exponent(s2) - exponent(s1) >= F::kFar) {
    d.bit = true;
    if (s0 == s1) d.value = std::ldexp(s0, F::kScale);
  } else if (is_subnormal(s1)) {
    d.value = std::ldexp(s0, F::kScale);
  } else if (is_subnormal(1 / s1) && is_subnormal(s2 / s1)) {
    d.bit = true;
    if (s0 == s1) d.value = std::ldexp(s0, -F::kScale);
  } else if (is_subnormal(1 / s1)) {
    d.value = std::ldexp(s0, -F::kScale);
  } else if (is_subnormal(s2 / s1)) {
    d.bit = true;
    if (s0 == s2) d.value = std::ldexp(s0, F::kScale);
  } else if (exponent(s2) <= F::kTiny) {
    d.value = std::ldexp(s0, F::kScale);
  }
  return d;
}
template <class T>
T fixup(T s0, T s1, T s2) {
  const T sign = std::signbit(s1) != std::signbit(s2) ? T(-1) : T(1);
  if (is_nan(s2)) return s2;
  if (is_nan(s1)) return s1;
  if ((s1 == 0 && s2 == 0) || (std::isinf(s1) && std::isinf(s2))) return T(NAN);
  if (s1 == 0 || std::isinf(s2)) return sign * T(INFINITY);
  if (std::isinf(s1) || s2 == 0) return sign * 0;
  if (exponent(s2) - exponent(s1) < Format<T>::kUnderflow) return sign * 0;
  return sign * (is_nan(s0) ? T(INFINITY) : std::abs(s0));
}

TEST(VectorDivision, ScalesAndMends) {
  check("v_div_scale_f32", [](float a, float b, float c) { return scale(a, b, c); },
        {.no_modifiers = true});
  check("v_div_scale_f64", [](double a, double b, double c) { return scale(a, b, c); },
        {.no_modifiers = true});
  check("v_div_fixup_f32", [](float a, float b, float c) { return fixup(a, b, c); });
  check("v_div_fixup_f64", [](double a, double b, double c) { return fixup(a, b, c); });
  check("v_div_fixup_f16", [](F16 a, F16 b, F16 c) {
    const double quotient = c.value() / b.value();
    if (is_nan(b) || is_nan(c) || std::isinf(b.value()) || std::isinf(c.value()) ||
        b.value() == 0 || c.value() == 0)
      return F16::nearest(quotient);
    return is_nan(a) ? a : F16{u16((a.bits & 0x7fff) | ((b.bits ^ c.bits) & 0x8000))};
  });
}

/// Operands from denominator and numerator, of which scaling makes v2 to v5 and the bit.
constexpr const char* kDivideF32 =
    "v_div_scale_f32 v2, null, v1, v1, v0\nv_div_scale_f32 v3, vcc_lo, v0, v1, v0\n"
    "v_rcp_f32 v4, v2\nv_fma_f32 v5, -v2, v4, 1.0\nv_fma_f32 v4, v5, v4, v4\n"
    "v_mul_f32 v5, v3, v4\nv_fma_f32 v6, -v2, v5, v3\nv_fma_f32 v5, v6, v4, v5\n"
    "v_fma_f32 v2, -v2, v5, v3\nv_div_fmas_f32 v2, v2, v4, v5\nv_div_fixup_f32 v8, v2, v1, v0";
constexpr const char* kDivideF64 =
    "v_div_scale_f64 v[4:5], null, v[2:3], v[2:3], v[0:1]\n"
    "v_rcp_f64 v[6:7], v[4:5]\nv_fma_f64 v[10:11], -v[4:5], v[6:7], 1.0\n"
    "v_fma_f64 v[6:7], v[6:7], v[10:11], v[6:7]\nv_fma_f64 v[10:11], -v[4:5], v[6:7], 1.0\n"
    "v_fma_f64 v[6:7], v[6:7], v[10:11], v[6:7]\n"
    "v_div_scale_f64 v[10:11], vcc_lo, v[0:1], v[2:3], v[0:1]\n"
    "v_mul_f64 v[12:13], v[10:11], v[6:7]\nv_fma_f64 v[4:5], -v[4:5], v[12:13], v[10:11]\n"
    "v_div_fmas_f64 v[4:5], v[4:5], v[6:7], v[12:13]\n"
    "v_div_fixup_f64 v[8:9], v[4:5], v[2:3], v[0:1]";

/// What the compiler makes of a division is the host's quotient, to the last bit.
template <class T>
void check_quotients(const char* code, int rounds) {
  std::mt19937_64 random(11);
  TestWave test;
  const int words = int(sizeof(T) / 4);
  for (int round = 0; round < rounds; ++round) {
    T a[kLanes], b[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
      a[lane] = random_value<T>(random), b[lane] = random_value<T>(random);
      // Half of them have quotients around where they become subnormal.
      if (random() % 2) b[lane] = a[lane] / std::ldexp(b[lane], int(random() % 300) - 150);
      for (int word = 0; word < words; ++word) {
        test.wave.vgpr[std::size_t(word)][lane] = u32(bits_of(a[lane]) >> 32 * word);
        test.wave.vgpr[std::size_t(words + word)][lane] = u32(bits_of(b[lane]) >> 32 * word);
      }
    }
    test.run(code);
    for (int lane = 0; lane < kLanes; ++lane) {
      const u64 bits = test.wave.vgpr[8][lane] | u64(test.wave.vgpr[9][lane]) << 32;
      ASSERT_TRUE(same(a[lane] / b[lane], from_bits<T>(bits)))
          << std::hexfloat << a[lane] << " / " << b[lane] << " = " << a[lane] / b[lane] << ", not "
          << from_bits<T>(bits);
    }
  }
}
TEST(VectorDivision, DividesLikeTheHost) {
  check_quotients<float>(kDivideF32, 2000);
  check_quotients<double>(kDivideF64, 2000);
}

/// frac(x * 2/pi / 4) of the first two pieces, against the host's sine of x.
TEST(VectorDivision, ReducesLargeAngles) {
  TestWave test;
  std::mt19937_64 random(5);
  for (int round = 0; round < 400; ++round) {
    const double x = std::ldexp(1 + double(random() >> 11) * 0x1p-53, int(55 + random() % 880));
    for (int word = 0; word < 2; ++word)
      test.wave.vgpr[std::size_t(word)].fill(u32(bits_of(x) >> 32 * word));
    test.run("v_trig_preop_f64 v[2:3], v[0:1], 0\nv_trig_preop_f64 v[4:5], v[0:1], 1");
    __float128 quarters = 0;
    for (const std::size_t at : {2, 4}) {
      const u64 bits = test.wave.vgpr[at][0] | u64(test.wave.vgpr[at + 1][0]) << 32;
      const __float128 product = static_cast<__float128>(x) * from_bits<double>(bits);
      quarters += product - static_cast<__float128>(static_cast<__int128>(product / 4)) * 4;
    }
    const double angle = double(quarters) * M_PI_2;
    EXPECT_NEAR(std::sin(angle), std::sin(x), 1e-13) << std::hexfloat << x;
  }
}

}  // namespace
}  // namespace isotope::sim::vector_test
