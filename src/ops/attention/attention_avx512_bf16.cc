#include "ops/attention/attention_simd.h"

namespace isotope::ops::cpu {
namespace {

/// The two bytes of the BF16 that each FP8 code without its sign stands for. NaN (0x7f) stays NaN.
struct Fp8Tables {
  alignas(64) std::uint8_t low[128] = {}, high[128] = {};
  constexpr Fp8Tables() {
    for (int code = 0; code < 128; ++code) {
      const unsigned bf16 = widen_code(code);
      low[code] = std::uint8_t(bf16 & 0xff);
      high[code] = std::uint8_t(bf16 >> 8);
    }
  }
  static constexpr unsigned widen_code(int code) {
    unsigned exponent = unsigned(code) >> 3, mantissa = unsigned(code) & 7;
    if (code == 0) return 0;
    if (code == 0x7f) return 0x7fc0;
    if (exponent == 0) {  // subnormal: mantissa · 2^-9, normalized
      exponent = 1;
      while (!(mantissa & 8)) mantissa <<= 1, --exponent;
      mantissa &= 7;
    }
    return ((exponent + 120) << 7) | (mantissa << 4);
  }
};
constexpr Fp8Tables kTables;

/// FP8 through two tables of 128 bytes (VPERMI2B): 64 codes become the low and high bytes of 64
/// BF16, which interleave to words and split as pairs do.
struct Fp8TableKv {
  static constexpr int kVectors = 4;
  static constexpr int kElementBytes = 1;
  static constexpr bool kScaled = true;
  static constexpr float kUnit = 1.0f;
  /// VPUNPCK works within 16 bytes: word w of the lower (upper) half-interleaving is code
  /// 16·(w / 8) + w % 8 (+ 8).
  static constexpr int element(int vector, int lane) {
    const int word = 2 * lane + (vector & 1);
    return word / 8 * 16 + word % 8 + (vector >= 2 ? 8 : 0);
  }
  ISOTOPE_INLINE static void widen_bytes(__m512i codes, Vec* out) {
    const __m512i low = _mm512_permutex2var_epi8(_mm512_load_si512(kTables.low), codes,
                                                 _mm512_load_si512(kTables.low + 64));
    const __m512i high = _mm512_permutex2var_epi8(_mm512_load_si512(kTables.high), codes,
                                                  _mm512_load_si512(kTables.high + 64));
    // high | (codes & 0x80)
    const __m512i with_sign =
        _mm512_ternarylogic_epi32(high, codes, _mm512_set1_epi8(char(0x80)), 0xf8);
    Bf16Kv::split(_mm512_unpacklo_epi8(low, with_sign), out);
    Bf16Kv::split(_mm512_unpackhi_epi8(low, with_sign), out + 2);
  }
  ISOTOPE_INLINE static void load(const void* row, Vec* out) {
    widen_bytes(_mm512_loadu_si512(row), out);
  }
  ISOTOPE_INLINE static void load_n(const void* row, int n, Vec* out) {
    widen_bytes(_mm512_maskz_loadu_epi8((std::uint64_t(1) << n) - 1, row), out);
  }
};

}  // namespace

const AttentionKernel& attention_kernel_avx512_bf16(DType kv_dtype) {
  static constexpr AttentionKernel kBf16 = Attention<Bf16Kv>::kernel();
  static constexpr AttentionKernel kFp8 = Attention<Fp8TableKv>::kernel();
  return kv_dtype == DType::bf16 ? kBf16 : kFp8;
}

}  // namespace isotope::ops::cpu
