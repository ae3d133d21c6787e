// Element types and their scalar conversions. A tensor always carries its DType: bytes are never
// numbers.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace isotope {

enum class DType : std::uint8_t { f32, f16, bf16, f8_e4m3, i32, i64, u8 };

std::size_t size_of(DType dtype);
/// "f32", "bf16", "f8_e4m3", …
std::string_view name_of(DType dtype);

/// IEEE bfloat16: the upper half of an FP32.
struct bfloat16 {
  std::uint16_t bits;
};
/// IEEE binary16.
struct float16 {
  std::uint16_t bits;
};
/// OCP FP8 E4M3 ("e4m3fn"): bias 7, largest 448, no infinities, NaN = 0x7F and 0xFF.
struct float8_e4m3 {
  std::uint8_t bits;
};

inline float to_float(bfloat16 value) {
  return std::bit_cast<float>(std::uint32_t(value.bits) << 16);
}

/// Round to nearest even; NaN stays NaN.
inline bfloat16 to_bfloat16(float value) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {std::uint16_t((bits >> 16) | 0x40u)};
  bits += 0x7fffu + ((bits >> 16) & 1u);
  return {std::uint16_t(bits >> 16)};
}

float to_float(float16 value);
float to_float(float8_e4m3 value);
/// Round to nearest even, saturating to ±448 (infinities too); NaN stays NaN.
float8_e4m3 to_float8_e4m3(float value);

inline bool is_nan(float8_e4m3 value) { return (value.bits & 0x7f) == 0x7f; }

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<float16> {
  static constexpr DType value = DType::f16;
};
template <>
struct DTypeOf<bfloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<float8_e4m3> {
  static constexpr DType value = DType::f8_e4m3;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};

}  // namespace isotope
