// A vector of floats as wide as the including file is compiled for: 16 lanes with AVX-512, 8 with
// AVX2. Kernels are written once on it, in a header, and included by their NAME_avx2.cc,
// NAME_avx512.cc, …
//
// Everything lives in an unnamed namespace: a linker must never pick the copy of an inline function
// that was compiled for an instruction set which the running CPU lacks. For the same reason such
// files use nothing of the standard library beyond types.
#pragma once

// GCC 12's AVX-512 header leaves _mm512_undefined_ps() to warnings (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/dtype.h"

#define ISOTOPE_INLINE inline __attribute__((always_inline))

namespace isotope::ops {
namespace {

#if defined(__AVX512F__)

constexpr int kLanes = 16;
using Vec = __m512;
using Mask = __mmask16;

ISOTOPE_INLINE Mask first_n(int n) { return n >= 16 ? Mask(0xffff) : Mask((1u << n) - 1u); }
ISOTOPE_INLINE Vec set1(float x) { return _mm512_set1_ps(x); }
ISOTOPE_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
ISOTOPE_INLINE Vec load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(first_n(n), p); }
ISOTOPE_INLINE void store(float* p, Vec x) { _mm512_storeu_ps(p, x); }
ISOTOPE_INLINE void store_n(float* p, Vec x, int n) { _mm512_mask_storeu_ps(p, first_n(n), x); }
ISOTOPE_INLINE Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
ISOTOPE_INLINE Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
ISOTOPE_INLINE Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
ISOTOPE_INLINE Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
/// a·b + c, rounded once.
ISOTOPE_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
/// The second operand if either is NaN.
ISOTOPE_INLINE Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
ISOTOPE_INLINE Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
ISOTOPE_INLINE Vec abs(Vec a) { return _mm512_abs_ps(a); }
ISOTOPE_INLINE Vec round_even(Vec a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
ISOTOPE_INLINE Mask greater(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
ISOTOPE_INLINE Mask at_least(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
ISOTOPE_INLINE Mask less(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
/// Lane-wise mask ? a : b.
ISOTOPE_INLINE Vec select(Mask mask, Vec a, Vec b) { return _mm512_mask_blend_ps(mask, b, a); }
/// One bit a lane.
ISOTOPE_INLINE unsigned bits(Mask mask) { return mask; }
/// x · 2^n for integral n in [-126, 127].
ISOTOPE_INLINE Vec scale_by_power(Vec x, Vec n) {
  const __m512i exponent = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23);
  return _mm512_mul_ps(
      x, _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(127 << 23))));
}
ISOTOPE_INLINE __m256 low_half_plus_high(Vec x) {
  return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
}
ISOTOPE_INLINE __m256 max_of_halves(Vec x) {
  return _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
}

ISOTOPE_INLINE Vec widen(__m256i bf16) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}
ISOTOPE_INLINE Vec load(const bfloat16* p) {
  return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
ISOTOPE_INLINE Vec load_n(const bfloat16* p, int n) {
  return widen(_mm256_maskz_loadu_epi16(first_n(n), p));
}
/// To nearest even; NaN stays NaN, as to_bfloat16.
ISOTOPE_INLINE __m256i narrow(Vec x) {
  const __m512i raw = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(raw, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(raw, _mm512_set1_epi32(0x7fff)), odd);
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  const __m512i kept = _mm512_mask_or_epi32(rounded, nan, raw, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16));
}
ISOTOPE_INLINE void store(bfloat16* p, Vec x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(x));
}
ISOTOPE_INLINE void store_n(bfloat16* p, Vec x, int n) {
  _mm256_mask_storeu_epi16(p, first_n(n), narrow(x));
}

#else  // AVX2

constexpr int kLanes = 8;
using Vec = __m256;
using Mask = __m256;

ISOTOPE_INLINE Mask first_n(int n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane));
}
ISOTOPE_INLINE Vec set1(float x) { return _mm256_set1_ps(x); }
ISOTOPE_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
ISOTOPE_INLINE Vec load_n(const float* p, int n) {
  return _mm256_maskload_ps(p, _mm256_castps_si256(first_n(n)));
}
ISOTOPE_INLINE void store(float* p, Vec x) { _mm256_storeu_ps(p, x); }
ISOTOPE_INLINE void store_n(float* p, Vec x, int n) {
  _mm256_maskstore_ps(p, _mm256_castps_si256(first_n(n)), x);
}
ISOTOPE_INLINE Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
ISOTOPE_INLINE Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
ISOTOPE_INLINE Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
ISOTOPE_INLINE Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
/// a·b + c, rounded once.
ISOTOPE_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
/// The second operand if either is NaN.
ISOTOPE_INLINE Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
ISOTOPE_INLINE Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
ISOTOPE_INLINE Vec abs(Vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
ISOTOPE_INLINE Vec round_even(Vec a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
ISOTOPE_INLINE Mask greater(Vec a, Vec b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
ISOTOPE_INLINE Mask at_least(Vec a, Vec b) { return _mm256_cmp_ps(a, b, _CMP_GE_OQ); }
ISOTOPE_INLINE Mask less(Vec a, Vec b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
/// Lane-wise mask ? a : b.
ISOTOPE_INLINE Vec select(Mask mask, Vec a, Vec b) { return _mm256_blendv_ps(b, a, mask); }
/// One bit a lane.
ISOTOPE_INLINE unsigned bits(Mask mask) { return unsigned(_mm256_movemask_ps(mask)); }
/// x · 2^n for integral n in [-126, 127].
ISOTOPE_INLINE Vec scale_by_power(Vec x, Vec n) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
  return _mm256_mul_ps(
      x, _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(127 << 23))));
}
ISOTOPE_INLINE __m256 low_half_plus_high(Vec x) { return x; }
ISOTOPE_INLINE __m256 max_of_halves(Vec x) { return x; }

ISOTOPE_INLINE Vec widen(__m128i bf16) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16));
}
ISOTOPE_INLINE Vec load(const bfloat16* p) {
  return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
ISOTOPE_INLINE Vec load_n(const bfloat16* p, int n) {
  alignas(16) bfloat16 part[8] = {};
  std::memcpy(part, p, std::size_t(n < 8 ? n : 8) * sizeof(bfloat16));
  return load(part);
}
/// To nearest even; NaN stays NaN, as to_bfloat16.
ISOTOPE_INLINE __m128i narrow(Vec x) {
  const __m256i raw = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(raw, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(raw, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i quiet = _mm256_or_si256(raw, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i words = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
  const __m256i packed = _mm256_packus_epi32(words, words);
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}
ISOTOPE_INLINE void store(bfloat16* p, Vec x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(x));
}
ISOTOPE_INLINE void store_n(bfloat16* p, Vec x, int n) {
  alignas(16) bfloat16 part[8];
  store(part, x);
  std::memcpy(p, part, std::size_t(n < 8 ? n : 8) * sizeof(bfloat16));
}

#endif

ISOTOPE_INLINE Vec zero() { return set1(0.0f); }

/// Sum over lanes as a tree: lane i with i + 8, then i + 4, i + 2, i + 1.
ISOTOPE_INLINE float reduce_add(Vec x) {
  const __m256 h = low_half_plus_high(x);
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

ISOTOPE_INLINE float reduce_max(Vec x) {
  const __m256 h = max_of_halves(x);
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}

/// e^x for x ≤ 88, relative error below 2^-22; exactly 0 below -87.3 (no denormals), NaN for NaN.
ISOTOPE_INLINE Vec exp(Vec x) {
  const Mask tiny = less(x, set1(-87.3f));
  const Vec bounded = max(set1(-87.3f), min(set1(88.0f), x));  // second operands keep a NaN
  const Vec n = round_even(mul(bounded, set1(1.44269504f)));
  // ln 2 in two parts; the first has few bits, so that n times it is exact.
  Vec r = fma(n, set1(-0.693359375f), bounded);
  r = fma(n, set1(2.12194440e-4f), r);
  Vec p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = add(fma(mul(p, r), r, r), set1(1.0f));
  return select(tiny, zero(), scale_by_power(p, n));
}

/// Calls body(0), …, body(N - 1) with compile-time indices, so that arrays of vectors stay in
/// registers.
template <int N, typename Body>
ISOTOPE_INLINE void unroll(Body&& body) {
  [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
    (body(std::integral_constant<int, i>{}), ...);
  }
  (std::make_integer_sequence<int, N>{});
}

}  // namespace
}  // namespace isotope::ops
