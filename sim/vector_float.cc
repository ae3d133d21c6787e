// Floats: sums, products, order, rounding to integers, exponents. One definition for f16, f32 and
// f64.
#include "sim/vector_float.h"

namespace isotope::sim {
namespace vector {
namespace {

float fused(float a, float b, float c) { return std::fma(a, b, c); }
double fused(double a, double b, double c) { return std::fma(a, b, c); }
/// The product of two f16 is exact; the sum is rounded once, to f16.
Half fused(Half a, Half b, Half c) {
  return Half{round_to_odd(double(a.value) * double(b.value) + double(c.value))};
}

float number(float value) { return value; }
double number(double value) { return value; }
float number(Half value) { return value.value; }

template <class T>
bool is_nan(T value) {
  return number(value) != number(value);
}
template <class T>
bool is_negative(T value) {
  return std::signbit(number(value));
}
/// -0 is less than +0.
template <class T>
bool is_less(T a, T b) {
  return number(a) < number(b) || (number(a) == number(b) && is_negative(a) && !is_negative(b));
}
/// IEEE 754's minimumNumber and maximumNumber: NaN only if both are.
template <class T>
T min_number(T a, T b) {
  return is_nan(a) || (!is_nan(b) && is_less(b, a)) ? b : a;
}
template <class T>
T max_number(T a, T b) {
  return is_nan(a) || (!is_nan(b) && is_less(a, b)) ? b : a;
}
/// IEEE 754's minimum and maximum: NaN if either is.
template <class T>
T minimum(T a, T b) {
  return is_nan(a) ? a : is_nan(b) || is_less(b, a) ? b : a;
}
template <class T>
T maximum(T a, T b) {
  return is_nan(a) ? a : is_nan(b) || is_less(a, b) ? b : a;
}
template <class T>
T median(T a, T b, T c) {
  if (is_nan(a) || is_nan(b) || is_nan(c)) return min_number(min_number(a, b), c);
  return max_number(min_number(a, b), min_number(max_number(a, b), c));
}

#define ISOTOPE_FLOAT_NAME(name) \
  std::is_same_v<T, Half> ? name "_f16" : std::is_same_v<T, float> ? name "_f32" : name "_f64"

template <class T>
constexpr Type kType = std::is_same_v<T, Half>    ? Type::f16
                       : std::is_same_v<T, float> ? Type::f32
                                                  : Type::f64;

constexpr unsigned kFloatLoop = kArithmetic | kFused;

template <class T>
void add_sums(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run) {
    opcodes.add(name, run, Class::valu, {kType<T>});
  };
  add(ISOTOPE_FLOAT_NAME("v_add"),
      lanes<kFloatLoop>([](T a, T b) { return T{number(a) + number(b)}; }));
  add(ISOTOPE_FLOAT_NAME("v_mul"),
      lanes<kFloatLoop>([](T a, T b) { return T{number(a) * number(b)}; }));
  add(ISOTOPE_FLOAT_NAME("v_fma"), lanes<kFloatLoop>([](T a, T b, T c) { return fused(a, b, c); }));
  if constexpr (std::is_same_v<T, double>) return;
  add(ISOTOPE_FLOAT_NAME("v_sub"),
      lanes<kFloatLoop>([](T a, T b) { return T{number(a) - number(b)}; }));
  add(ISOTOPE_FLOAT_NAME("v_subrev"),
      lanes<kFloatLoop>([](T a, T b) { return T{number(b) - number(a)}; }));
  add(ISOTOPE_FLOAT_NAME("v_fmac"),
      lanes<kFloatLoop | kAccumulate>([](T a, T b, T c) { return fused(a, b, c); }));
  // In the order of the assembler the constant stands where the function has it: a, b, constant and
  // a, constant, b.
  add(ISOTOPE_FLOAT_NAME("v_fmaak"),
      lanes<kFloatLoop>([](T a, T b, T c) { return fused(a, b, c); }));
  add(ISOTOPE_FLOAT_NAME("v_fmamk"),
      lanes<kFloatLoop>([](T a, T b, T c) { return fused(a, b, c); }));
}

template <class T>
void add_order(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run) {
    opcodes.add(name, run, Class::valu, {kType<T>});
  };
  add(ISOTOPE_FLOAT_NAME("v_min_num"),
      lanes<kFloatLoop>([](T a, T b) { return min_number(a, b); }));
  add(ISOTOPE_FLOAT_NAME("v_max_num"),
      lanes<kFloatLoop>([](T a, T b) { return max_number(a, b); }));
  add(ISOTOPE_FLOAT_NAME("v_minimum"), lanes<kFloatLoop>([](T a, T b) { return minimum(a, b); }));
  add(ISOTOPE_FLOAT_NAME("v_maximum"), lanes<kFloatLoop>([](T a, T b) { return maximum(a, b); }));
  if constexpr (std::is_same_v<T, double>) return;
  add(ISOTOPE_FLOAT_NAME("v_min3_num"),
      lanes<kFloatLoop>([](T a, T b, T c) { return min_number(min_number(a, b), c); }));
  add(ISOTOPE_FLOAT_NAME("v_max3_num"),
      lanes<kFloatLoop>([](T a, T b, T c) { return max_number(max_number(a, b), c); }));
  add(ISOTOPE_FLOAT_NAME("v_med3_num"),
      lanes<kFloatLoop>([](T a, T b, T c) { return median(a, b, c); }));
  add(ISOTOPE_FLOAT_NAME("v_minmax_num"),
      lanes<kFloatLoop>([](T a, T b, T c) { return max_number(min_number(a, b), c); }));
  add(ISOTOPE_FLOAT_NAME("v_maxmin_num"),
      lanes<kFloatLoop>([](T a, T b, T c) { return min_number(max_number(a, b), c); }));
  add(ISOTOPE_FLOAT_NAME("v_minimum3"),
      lanes<kFloatLoop>([](T a, T b, T c) { return minimum(minimum(a, b), c); }));
  add(ISOTOPE_FLOAT_NAME("v_maximum3"),
      lanes<kFloatLoop>([](T a, T b, T c) { return maximum(maximum(a, b), c); }));
  add(ISOTOPE_FLOAT_NAME("v_minimummaximum"),
      lanes<kFloatLoop>([](T a, T b, T c) { return maximum(minimum(a, b), c); }));
  add(ISOTOPE_FLOAT_NAME("v_maximumminimum"),
      lanes<kFloatLoop>([](T a, T b, T c) { return minimum(maximum(a, b), c); }));
}

/// Below 1 even where the difference rounds to it.
float fraction(float value) {
  return std::isinf(value) ? NAN : std::min(value - std::floor(value), 0x1.fffffep-1f);
}
double fraction(double value) {
  return std::isinf(value) ? NAN : std::min(value - std::floor(value), 0x1.fffffffffffffp-1);
}
Half fraction(Half value) {
  return Half{
      std::isinf(value.value) ? NAN : std::min(value.value - std::floor(value.value), 0x1.ffcp-1f)};
}

template <class T>
void add_rounding(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run) {
    opcodes.add(name, run, Class::valu, {kType<T>});
  };
  add(ISOTOPE_FLOAT_NAME("v_floor"),
      lanes<kFloatLoop>([](T a) { return T{std::floor(number(a))}; }));
  add(ISOTOPE_FLOAT_NAME("v_ceil"), lanes<kFloatLoop>([](T a) { return T{std::ceil(number(a))}; }));
  add(ISOTOPE_FLOAT_NAME("v_trunc"),
      lanes<kFloatLoop>([](T a) { return T{std::trunc(number(a))}; }));
  if constexpr (std::is_same_v<T, double>)
    add("v_rndne_f64", lanes<kFloatLoop>([](double a) { return __builtin_roundeven(a); }));
  else
    add(ISOTOPE_FLOAT_NAME("v_rndne"),
        lanes<kFloatLoop>([](T a) { return T{__builtin_roundevenf(number(a))}; }));
  add(ISOTOPE_FLOAT_NAME("v_fract"), lanes<kArithmetic>([](T a) { return fraction(a); }));
}

/// Of 0.5 ≤ |mantissa| < 1; 0 of zero, infinities and NaN.
template <class T>
i32 exponent(T value) {
  int result = 0;
  if (std::isfinite(number(value))) std::frexp(number(value), &result);
  return result;
}
template <class T>
T mantissa(T value) {
  int ignored;
  return std::isfinite(number(value)) ? T{std::frexp(number(value), &ignored)} : value;
}
i32 limited(i32 power, i32 limit) {
  return power < -limit ? -limit : power > limit ? limit : power;
}

void add_exponents(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run, Type to, Type from, Type power) {
    opcodes.add(name, run, Class::valu, {to, from, power});
  };
  add("v_frexp_exp_i16_f16", lanes([](Half a) { return i16(exponent(a)); }), Type::b16, Type::f16,
      Type::b32);
  add("v_frexp_exp_i32_f32", lanes([](float a) { return exponent(a); }), Type::b32, Type::f32,
      Type::b32);
  add("v_frexp_exp_i32_f64", lanes([](double a) { return exponent(a); }), Type::b32, Type::f64,
      Type::b32);
  add("v_frexp_mant_f16", lanes<kArithmetic>([](Half a) { return mantissa(a); }), Type::f16,
      Type::f16, Type::b32);
  add("v_frexp_mant_f32", lanes<kArithmetic>([](float a) { return mantissa(a); }), Type::f32,
      Type::f32, Type::b32);
  add("v_frexp_mant_f64", lanes<kArithmetic>([](double a) { return mantissa(a); }), Type::f64,
      Type::f64, Type::b32);
  // Exact in the wider format, so rounded once.
  add("v_ldexp_f16",
      lanes<kArithmetic>([](Half a, i16 b) { return Half{std::ldexp(a.value, limited(b, 60))}; }),
      Type::f16, Type::f16, Type::b16);
  add("v_ldexp_f32", lanes<kArithmetic>([](float a, i32 b) {
        return float(std::ldexp(double(a), limited(b, 600)));
      }),
      Type::f32, Type::f32, Type::b32);
  add("v_ldexp_f64", lanes<kArithmetic>([](double a, i32 b) { return std::ldexp(a, b); }),
      Type::f64, Type::f64, Type::b32);
}

/// DX9: 0 times anything is 0.
float zero_product(float a, float b) { return a == 0 || b == 0 ? 0.0f : a * b; }

void add_dx9(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run) {
    opcodes.add(name, run, Class::valu, {Type::f32});
  };
  add("v_mul_dx9_zero_f32",
      lanes<kArithmetic>([](float a, float b) { return zero_product(a, b); }));
  add("v_fma_dx9_zero_f32", lanes<kFloatLoop>([](float a, float b, float c) {
        return a == 0 || b == 0 ? c : std::fma(a, b, c);
      }));
}

}  // namespace
}  // namespace vector

void add_vector_float(Opcodes& opcodes) {
  using namespace vector;
  add_sums<float>(opcodes);
  add_sums<double>(opcodes);
  add_sums<Half>(opcodes);
  add_order<float>(opcodes);
  add_order<double>(opcodes);
  add_order<Half>(opcodes);
  add_rounding<float>(opcodes);
  add_rounding<double>(opcodes);
  add_rounding<Half>(opcodes);
  add_exponents(opcodes);
  add_dx9(opcodes);
  add_division(opcodes);
  add_trig_preop(opcodes);
  add_transcendental(opcodes);
}

}  // namespace isotope::sim
