#include "base/dtype.h"

#include <array>

#include "base/error.h"

namespace isotope {

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f16:
    case DType::bf16:
      return 2;
    case DType::f8_e4m3:
    case DType::u8:
      return 1;
    case DType::i64:
      return 8;
  }
  assertion_failed("known dtype", __FILE__, __LINE__);
}

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f16:
      return "f16";
    case DType::bf16:
      return "bf16";
    case DType::f8_e4m3:
      return "f8_e4m3";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::u8:
      return "u8";
  }
  assertion_failed("known dtype", __FILE__, __LINE__);
}

float to_float(float16 value) {
  const std::uint32_t sign = std::uint32_t(value.bits & 0x8000u) << 16;
  const std::uint32_t exponent = (value.bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = value.bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = std::ldexp(float(mantissa), -24);
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

float to_float(float8_e4m3 value) {
  const int exponent = (value.bits >> 3) & 0xf;
  const int mantissa = value.bits & 7;
  if (is_nan(value)) return std::nanf("");
  const float magnitude = exponent == 0 ? std::ldexp(float(mantissa), -9)
                                        : std::ldexp(float(8 + mantissa), exponent - 10);
  return (value.bits & 0x80) ? -magnitude : magnitude;
}

float8_e4m3 to_float8_e4m3(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint8_t sign = std::uint8_t((bits >> 24) & 0x80u);
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return {std::uint8_t(sign | 0x7f)};
  // Half way between the largest (448) and the value that the next step would have (480).
  if (magnitude >= 464.0f) return {std::uint8_t(sign | 0x7e)};
  if (magnitude < 0x1p-6f) {
    // Subnormals are multiples of 2^-9; rounding up to 8 gives the smallest normal by itself.
    return {std::uint8_t(sign | std::uint8_t(std::nearbyintf(magnitude * 512.0f)))};
  }
  std::uint32_t rounded = bits & 0x7fffffffu;
  rounded += 0x7ffffu + ((rounded >> 20) & 1u);
  const std::uint32_t code = (rounded >> 20) - ((127u - 7u) << 3);
  return {std::uint8_t(sign | (code > 0x7e ? 0x7e : code))};
}

}  // namespace isotope
