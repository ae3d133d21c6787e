#include "sim/float8.h"

#include <bit>

namespace isotope::sim {
namespace {

constexpr u32 kInfinity = 0x7f800000, kSign = 0x80000000;

template <int exponent_bits, bool has_infinity>
struct Format {
  static constexpr int kMantissa = 7 - exponent_bits, kBias = (1 << (exponent_bits - 1)) - 1;
  static constexpr u8 kNan = 0x7f, kInf = 0x7c;
  static constexpr u8 kLargest = has_infinity ? kInf - 1 : kNan - 1;

  static constexpr float decode(u8 code) {
    const u32 sign = u32(code & 0x80) << 24, magnitude = code & 0x7f;
    if (magnitude > (has_infinity ? kInf : kLargest))
      return std::bit_cast<float>(sign | 0x7fc00000);
    if (has_infinity && magnitude == kInf) return std::bit_cast<float>(sign | kInfinity);
    constexpr u32 kExponentBias = u32(127 - kBias) << 23;
    const float smallest = std::bit_cast<float>(u32(127 + 1 - kBias - kMantissa) << 23);
    const float value = magnitude >> kMantissa
                            ? std::bit_cast<float>((magnitude << (23 - kMantissa)) + kExponentBias)
                            : float(magnitude) * smallest;
    return std::bit_cast<float>(std::bit_cast<u32>(value) | sign);
  }

  static u8 encode(float value, bool clamp) {
    const u32 bits = std::bit_cast<u32>(value), magnitude = bits & ~kSign;
    const u8 sign = u8(bits >> 24 & 0x80);
    if (magnitude > kInfinity) return sign | kNan;
    const u8 beyond = has_infinity ? kInf : kNan;
    if (magnitude == kInfinity) {
      if (clamp) throw Fault("infinity to an 8-bit float with FP16_OVFL set");
      return sign | beyond;
    }
    // The smallest normal value in FP32's code: below it the spacing of codes stays the same.
    constexpr u32 kNormal = u32(127 + 1 - kBias) << 23;
    u32 code;
    if (magnitude < kNormal) {
      // Adding a power of two whose last place is the format's smallest value rounds to nearest
      // even.
      constexpr float kShift = float(u64(1) << 23) / float(u64(1) << (kBias - 1 + kMantissa));
      code =
          std::bit_cast<u32>(std::bit_cast<float>(magnitude) + kShift) - std::bit_cast<u32>(kShift);
    } else {
      constexpr int kDrop = 23 - kMantissa;
      const u32 rounded = magnitude + ((1u << (kDrop - 1)) - 1) + (magnitude >> kDrop & 1);
      code = (rounded - kNormal + (1u << 23)) >> kDrop;
    }
    if (code > kLargest) return sign | (clamp ? kLargest : beyond);
    return u8(sign | code);
  }

  static constexpr std::array<float, 256> table() {
    std::array<float, 256> made{};
    for (std::size_t code = 0; code < made.size(); ++code) made[code] = decode(u8(code));
    return made;
  }
};
using Fp8 = Format<4, false>;
using Bf8 = Format<5, true>;

}  // namespace

constinit const std::array<float, 256> kFp8Values = Fp8::table(), kBf8Values = Bf8::table();
u8 to_fp8(float value, bool clamp) { return Fp8::encode(value, clamp); }
u8 to_bf8(float value, bool clamp) { return Bf8::encode(value, clamp); }

}  // namespace isotope::sim
