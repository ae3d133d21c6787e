// What divisions are made of: operands scaled to where nothing overflows or loses bits, the last
// step undone of it, special cases.
#include "sim/vector_float.h"

namespace isotope::sim::vector {
namespace {

template <class T>
struct Limits;
template <>
struct Limits<float> {
  static constexpr int kScale = 64, kFarApart = 96, kTiny = 23, kLeast = -150, kBias = 127;
  static constexpr float kUp = 0x1p64f;
};
template <>
struct Limits<double> {
  static constexpr int kScale = 128, kFarApart = 768, kTiny = 53, kLeast = -1075, kBias = 1023;
  static constexpr double kUp = 0x1p128;
};

/// As encoded: 0 of subnormals.
int exponent(float value) { return int(std::bit_cast<u32>(value) >> 23 & 0xff); }
int exponent(double value) { return int(std::bit_cast<u64>(value) >> 52 & 0x7ff); }
template <class T>
bool is_subnormal(T value) {
  return value != 0 && exponent(value) == 0;
}

/// `value` is the denominator or the numerator. The bit: only one of both is scaled, and the
/// quotient must be scaled back.
template <class T>
WithBit<T> scaled(T value, T denominator, T numerator) {
  using L = Limits<T>;
  const T up = std::ldexp(value, L::kScale), down = std::ldexp(value, -L::kScale);
  if (numerator == 0 || denominator == 0) return {std::numeric_limits<T>::quiet_NaN(), false};
  if (exponent(numerator) - exponent(denominator) >= L::kFarApart)
    return {value == denominator ? up : value, true};
  if (is_subnormal(denominator)) return {up, false};
  const bool tiny_reciprocal = is_subnormal(T(1) / denominator),
             tiny_quotient = is_subnormal(numerator / denominator);
  if (tiny_reciprocal && tiny_quotient) return {value == denominator ? down : value, true};
  if (tiny_reciprocal) return {down, false};
  if (tiny_quotient) return {value == numerator ? up : value, true};
  if (exponent(numerator) <= L::kTiny) return {up, false};
  return {value, false};
}

/// A large sum is of a denominator that was scaled up, a small one of a numerator that was. Rounded
/// once, after scaling: quotients that are subnormal come out right.
template <class T>
T fused_and_scaled(T a, T b, T c, bool scale) {
  if (!scale) return std::fma(a, b, c);
  const T factor = exponent(c) > Limits<T>::kBias ? Limits<T>::kUp : 1 / Limits<T>::kUp;
  return T((static_cast<__float128>(a) * b + c) * factor);
}

float quiet(float nan) { return std::bit_cast<float>(std::bit_cast<u32>(nan) | 0x400000); }
double quiet(double nan) {
  return std::bit_cast<double>(std::bit_cast<u64>(nan) | 0x8000000000000);
}

template <class T>
T mended(T quotient, T denominator, T numerator) {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  const T sign = std::signbit(denominator) != std::signbit(numerator) ? T(-1) : T(1);
  const bool big_denominator = std::abs(denominator) == kInfinity,
             big_numerator = std::abs(numerator) == kInfinity;
  if (numerator != numerator) return quiet(numerator);
  if (denominator != denominator) return quiet(denominator);
  if ((denominator == 0 && numerator == 0) || (big_denominator && big_numerator))
    return -std::numeric_limits<T>::quiet_NaN();
  if (denominator == 0 || big_numerator) return sign * kInfinity;
  if (big_denominator || numerator == 0) return sign * T(0);
  // Less than half of the smallest subnormal.
  if (exponent(numerator) - exponent(denominator) < Limits<T>::kLeast) return sign * T(0);
  // Where the steps before overflowed, so does the quotient.
  return quotient != quotient ? sign * kInfinity : std::copysign(quotient, sign);
}

/// Of f16 there is nothing to scale: the quotient comes from f32.
Half mended(Half quotient, Half denominator, Half numerator) {
  const float a = quotient.value, b = denominator.value, c = numerator.value;
  const bool special = !std::isfinite(b) || !std::isfinite(c) || b == 0 || c == 0;
  return Half{special ? mended(a, b, c) : std::copysign(a, b * c)};
}

}  // namespace

void add_division(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run, Type type) {
    opcodes.add(name, run, Class::valu, {type});
  };
  const auto add_scale = [&](const char* name, Handler run, Type type) {
    opcodes.add(name, run, Class::valu, {type, Type::b32, type});
  };
  add_scale("v_div_scale_f32",
            lanes<kArithmetic>([](float a, float b, float c) { return scaled(a, b, c); }),
            Type::f32);
  add_scale("v_div_scale_f64",
            lanes<kArithmetic>([](double a, double b, double c) { return scaled(a, b, c); }),
            Type::f64);
  add("v_div_fmas_f32", lanes<kArithmetic>([](float a, float b, float c, Bit scale) {
        return fused_and_scaled(a, b, c, scale);
      }),
      Type::f32);
  add("v_div_fmas_f64", lanes<kArithmetic>([](double a, double b, double c, Bit scale) {
        return fused_and_scaled(a, b, c, scale);
      }),
      Type::f64);
  add("v_div_fixup_f32",
      lanes<kArithmetic | kOwnNans>([](float a, float b, float c) { return mended(a, b, c); }),
      Type::f32);
  add("v_div_fixup_f64",
      lanes<kArithmetic | kOwnNans>([](double a, double b, double c) { return mended(a, b, c); }),
      Type::f64);
  add("v_div_fixup_f16",
      lanes<kArithmetic | kOwnNans>([](Half a, Half b, Half c) { return mended(a, b, c); }),
      Type::f16);
}

}  // namespace isotope::sim::vector
