// 16-bit floats as lanes hold them. Loops over them vectorise: no branches, no tables.
#pragma once

#include <bit>

#include "sim/wave.h"

namespace isotope::sim {

inline float from_bf16(u32 bits) { return std::bit_cast<float>(bits << 16); }

/// Round to nearest even; NaN becomes quiet.
inline u32 to_bf16(float value) {
  const u32 bits = std::bit_cast<u32>(value);
  const u32 rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return (bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded;
}

/// Exact, subnormals too; NaN becomes quiet.
inline float from_f16(u32 bits) {
  const u32 magnitude = bits & 0x7fff;
  // Normal values take a new exponent bias; subnormal ones are made so and then lose the hidden bit
  // again.
  const u32 normal = (magnitude << 13) + ((127 - 15) << 23);
  const u32 subnormal =
      std::bit_cast<u32>(std::bit_cast<float>((magnitude << 13) + ((127 - 14) << 23)) -
                         std::bit_cast<float>(u32(127 - 14) << 23));
  const u32 special = magnitude << 13 | 0x7f800000 | (magnitude > 0x7c00 ? 0x400000 : 0);
  const u32 result = magnitude >= 0x7c00 ? special : magnitude < 0x400 ? subnormal : normal;
  return std::bit_cast<float>(result | (bits & 0x8000) << 16);
}

/// Round to nearest even, beyond 65504 to infinity; NaN becomes quiet.
inline u32 to_f16(float value) {
  const u32 bits = std::bit_cast<u32>(value), magnitude = bits & 0x7fffffff;
  const u32 normal = (magnitude - ((127 - 15) << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13;
  // Adding a power of two whose last place is the smallest f16 rounds to nearest even.
  constexpr u32 kShift = u32(127 - 24 + 23) << 23;
  const u32 subnormal =
      std::bit_cast<u32>(std::bit_cast<float>(magnitude) + std::bit_cast<float>(kShift)) - kShift;
  const u32 finite = magnitude < u32(127 - 14) << 23 ? subnormal : normal;
  const u32 limited = magnitude >= 0x477ff000 ? 0x7c00 : finite;
  const u32 nan = 0x7e00 | (magnitude >> 13 & 0x3ff);
  return (magnitude > 0x7f800000 ? nan : limited) | (bits >> 16 & 0x8000);
}

}  // namespace isotope::sim
