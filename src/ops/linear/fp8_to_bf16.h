// FP8 E4M3 to BF16 by table, for the families that multiply BF16. Included only by files compiled
// for AVX-512 VBMI.
//
// Two look-ups of 128 entries (VPERMI2B), one for each byte of the result, are exact for every
// code. Shifting the bits and folding 2^120 into the scale would be cheaper, but it makes BF16
// subnormals of FP8 subnormals, and both VDPBF16PS and TDPBF16PS take those as zero.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/intrinsics.h"

namespace isotope::ops {
namespace {

/// The two bytes of the BF16 value of each non-negative FP8 code.
struct Fp8Tables {
  alignas(64) std::uint8_t low[128];
  alignas(64) std::uint8_t high[128];
};

constexpr std::uint16_t bf16_of_fp8(int code) {
  const int exponent = code >> 3, mantissa = code & 7;
  if (exponent != 0) return std::uint16_t(((exponent + 120) << 7) | (mantissa << 4));
  if (mantissa == 0) return 0;
  const int top = mantissa >= 4 ? 2 : mantissa >= 2 ? 1 : 0;  // the leading bit becomes implicit
  return std::uint16_t(((127 - 9 + top) << 7) | ((mantissa << (7 - top)) & 0x7f));
}

constexpr Fp8Tables make_fp8_tables() {
  Fp8Tables tables{};
  for (int code = 0; code < 128; ++code) {
    tables.low[code] = std::uint8_t(bf16_of_fp8(code) & 0xff);
    tables.high[code] = std::uint8_t(bf16_of_fp8(code) >> 8);
  }
  return tables;
}

constexpr Fp8Tables kFp8Tables = make_fp8_tables();

/// 64 bytes of an FP8 tile: pairs 0 and 1 of four values of k, 16 features each, as BF16.
struct Fp8Pairs {
  __m512i first, second;
};

/// The tables in registers.
class Fp8ToBf16 {
 public:
  Fp8ToBf16() {
    // The compiler would rather load constants again at each use, and loads are scarce in the
    // loops.
    __asm__("" : "+v"(low_[0]), "+v"(low_[1]), "+v"(high_[0]), "+v"(high_[1]));
  }

  Fp8Pairs widen(const std::byte* from) const {
    const __m512i codes = _mm512_loadu_si512(from);
    const __m512i low = _mm512_permutex2var_epi8(low_[0], codes, low_[1]);
    const __m512i magnitude = _mm512_permutex2var_epi8(high_[0], codes, high_[1]);
    // The look-up ignores bit 7 of a code: magnitude | (codes & 0x80) puts the sign where it
    // belongs.
    const __m512i high =
        _mm512_ternarylogic_epi32(magnitude, codes, _mm512_set1_epi8(char(0x80)), 0xf8);
    return {_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high)};
  }

 private:
  __m512i low_[2] = {_mm512_load_si512(kFp8Tables.low), _mm512_load_si512(kFp8Tables.low + 64)};
  __m512i high_[2] = {_mm512_load_si512(kFp8Tables.high), _mm512_load_si512(kFp8Tables.high + 64)};
};

/// `values` of k of one FP8 tile, in the layout of a BF16 tile. Meanwhile what lies `prefetch`
/// bytes further on comes into L2.
inline void widen_fp8_tile(const std::byte* from, std::int64_t values, std::int64_t prefetch,
                           std::byte* to) {
  const Fp8ToBf16 tables;
  for (std::int64_t i = 0; i < values; i += 4, from += 64, to += 128) {
    _mm_prefetch(reinterpret_cast<const char*>(from + prefetch), _MM_HINT_T1);
    const Fp8Pairs pairs = tables.widen(from);
    _mm512_store_si512(to, pairs.first);
    _mm512_store_si512(to + 64, pairs.second);
  }
}

}  // namespace
}  // namespace isotope::ops
