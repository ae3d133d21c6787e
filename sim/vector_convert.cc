// Conversions between formats of numbers, but for those of 8-bit floats.
#include "sim/packed.h"
#include "sim/vector.h"

namespace isotope::sim {
namespace {

using namespace vector;

/// Towards zero; what T does not hold becomes its nearest, NaN 0.
template <class T>
T truncated(double value) {
  constexpr double kLow = double(std::numeric_limits<T>::min()),
                   kHigh = double(std::numeric_limits<T>::max());
  const double limited = value < kLow ? kLow : value > kHigh ? kHigh : value;
  return value == value ? T(limited) : T(0);
}
/// -1…1 to ±32767, 0…1 to 65535, to nearest even.
i16 signed_normal(double value) {
  return truncated<i16>(__builtin_roundeven(std::fmin(std::fmax(value, -1), 1) * 32767));
}
u16 unsigned_normal(double value) {
  return truncated<u16>(__builtin_roundeven(std::fmin(std::fmax(value, 0), 1) * 65535));
}
i16 signed_normal_or_zero(double value) { return value == value ? signed_normal(value) : i16(0); }
u16 unsigned_normal_or_zero(double value) {
  return value == value ? unsigned_normal(value) : u16(0);
}
u32 pair(u32 low, u32 high) { return (low & 0xffff) | high << 16; }

/// Towards zero: finite values beyond the largest f16 become it.
u32 truncated_half(float value) {
  const u32 bits = std::bit_cast<u32>(value), magnitude = bits & 0x7fffffff,
            sign = bits >> 16 & 0x8000;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | (magnitude >> 13 & 0x3ff);
  if (magnitude == 0x7f800000) return sign | 0x7c00;
  if (magnitude >= 0x47800000) return sign | 0x7bff;
  if (magnitude >= 0x38800000) return sign | (magnitude - (112u << 23)) >> 13;
  return sign | u32(std::bit_cast<float>(magnitude) * 0x1p24f);
}

void add_to_integers(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run, Type type) {
    opcodes.add(name, run, Class::valu, {Type::b32, type});
  };
  add("v_cvt_i32_f32", lanes<kArithmetic>([](float a) { return truncated<i32>(a); }), Type::f32);
  add("v_cvt_u32_f32", lanes<kArithmetic>([](float a) { return truncated<u32>(a); }), Type::f32);
  add("v_cvt_i32_f64", lanes<kArithmetic>([](double a) { return truncated<i32>(a); }), Type::f64);
  add("v_cvt_u32_f64", lanes<kArithmetic>([](double a) { return truncated<u32>(a); }), Type::f64);
  add("v_cvt_i16_f16", lanes<kArithmetic>([](Half a) { return truncated<i16>(a.value); }),
      Type::f16);
  add("v_cvt_u16_f16", lanes<kArithmetic>([](Half a) { return truncated<u16>(a.value); }),
      Type::f16);
  // The sum of nearest is that of the exact numbers: 0.49999997 is nearest to 0.
  add("v_cvt_nearest_i32_f32",
      lanes([](float a) { return truncated<i32>(std::floor(double(a) + 0.5)); }), Type::f32);
  add("v_cvt_floor_i32_f32", lanes([](float a) { return truncated<i32>(std::floor(double(a))); }),
      Type::f32);
  add("v_cvt_i32_i16", lanes([](i16 a) { return i32(a); }), Type::b16);
  add("v_cvt_u32_u16", lanes([](u16 a) { return u32(a); }), Type::b16);
}

void add_to_floats(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run, Type to, Type from) {
    opcodes.add(name, run, Class::valu, {to, from});
  };
  add("v_cvt_f32_i32", lanes<kArithmetic>([](i32 a) { return float(a); }), Type::f32, Type::b32);
  add("v_cvt_f32_u32", lanes<kArithmetic>([](u32 a) { return float(a); }), Type::f32, Type::b32);
  add("v_cvt_f64_i32", lanes<kArithmetic>([](i32 a) { return double(a); }), Type::f64, Type::b32);
  add("v_cvt_f64_u32", lanes<kArithmetic>([](u32 a) { return double(a); }), Type::f64, Type::b32);
  add("v_cvt_f16_i16", lanes<kArithmetic>([](i16 a) { return Half{float(a)}; }), Type::f16,
      Type::b16);
  add("v_cvt_f16_u16", lanes<kArithmetic>([](u16 a) { return Half{float(a)}; }), Type::f16,
      Type::b16);
  add("v_cvt_f32_f64", lanes<kArithmetic>([](double a) { return float(a); }), Type::f32, Type::f64);
  add("v_cvt_f64_f32", lanes<kArithmetic>([](float a) { return double(a); }), Type::f64, Type::f32);
  add("v_cvt_f16_f32", lanes<kArithmetic>([](float a) { return Half{a}; }), Type::f16, Type::f32);
  add("v_cvt_f32_f16", lanes<kArithmetic>([](Half a) { return a.value; }), Type::f32, Type::f16);
  add("v_cvt_f32_ubyte0", lanes<kArithmetic>([](u32 a) { return float(a & 0xff); }), Type::f32,
      Type::b32);
  add("v_cvt_f32_ubyte1", lanes<kArithmetic>([](u32 a) { return float(a >> 8 & 0xff); }), Type::f32,
      Type::b32);
  add("v_cvt_f32_ubyte2", lanes<kArithmetic>([](u32 a) { return float(a >> 16 & 0xff); }),
      Type::f32, Type::b32);
  add("v_cvt_f32_ubyte3", lanes<kArithmetic>([](u32 a) { return float(a >> 24); }), Type::f32,
      Type::b32);
  // Four bits with a sign, in sixteenths.
  add("v_cvt_off_f32_i4", lanes([](u32 a) { return float(i32(a << 28) >> 28) / 16; }), Type::f32,
      Type::b32);
}

void add_packed(Opcodes& opcodes) {
  const auto add = [&](const char* name, Handler run, Type from) {
    opcodes.add(name, run, Class::valu, {Type::b32, from});
  };
  add("v_cvt_pk_rtz_f16_f32",
      lanes_clamped<kArithmetic>(
          [](float a, float b) { return pair(truncated_half(a), truncated_half(b)); },
          [](float a, float b) {
            return pair(packed::clamp_f16(truncated_half(a)), packed::clamp_f16(truncated_half(b)));
          }),
      Type::f32);
  add("v_cvt_pk_i16_f32", lanes<kArithmetic>([](float a, float b) {
        return pair(u32(truncated<i16>(a)), u32(truncated<i16>(b)));
      }),
      Type::f32);
  add("v_cvt_pk_u16_f32", lanes<kArithmetic>([](float a, float b) {
        return pair(truncated<u16>(a), truncated<u16>(b));
      }),
      Type::f32);
  add("v_cvt_pk_i16_i32",
      lanes([](i32 a, i32 b) { return pair(u32(truncated<i16>(a)), u32(truncated<i16>(b))); }),
      Type::b32);
  add("v_cvt_pk_u16_u32",
      lanes([](u32 a, u32 b) { return pair(truncated<u16>(a), truncated<u16>(b)); }), Type::b32);
  add("v_cvt_pk_norm_i16_f32", lanes<kArithmetic>([](float a, float b) {
        return pair(u32(signed_normal_or_zero(a)), u32(signed_normal_or_zero(b)));
      }),
      Type::f32);
  add("v_cvt_pk_norm_u16_f32", lanes<kArithmetic>([](float a, float b) {
        return pair(unsigned_normal_or_zero(a), unsigned_normal_or_zero(b));
      }),
      Type::f32);
  add("v_cvt_pk_norm_i16_f16", lanes<kArithmetic>([](Half a, Half b) {
        return pair(u32(signed_normal_or_zero(a.value)), u32(signed_normal_or_zero(b.value)));
      }),
      Type::f16);
  add("v_cvt_pk_norm_u16_f16", lanes<kArithmetic>([](Half a, Half b) {
        return pair(unsigned_normal_or_zero(a.value), unsigned_normal_or_zero(b.value));
      }),
      Type::f16);
  opcodes.add("v_cvt_norm_i16_f16",
              lanes<kArithmetic>([](Half a) { return signed_normal_or_zero(a.value); }),
              Class::valu, {Type::b16, Type::f16});
  opcodes.add("v_cvt_norm_u16_f16",
              lanes<kArithmetic>([](Half a) { return unsigned_normal_or_zero(a.value); }),
              Class::valu, {Type::b16, Type::f16});
  opcodes.add("v_sat_pk_u8_i16", lanes([](u32 a) {
                return u16(truncated<u8>(i16(a)) | truncated<u8>(i16(a >> 16)) << 8);
              }),
              Class::valu);
}

}  // namespace

void add_vector_convert(Opcodes& opcodes) {
  add_to_integers(opcodes);
  add_to_floats(opcodes);
  add_packed(opcodes);
}

}  // namespace isotope::sim
