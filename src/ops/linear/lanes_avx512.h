// 16 FP32 lanes, for the families of AVX-512 and later. Included only by files compiled for those.
#pragma once

#include <cstdint>

#include "ops/intrinsics.h"

namespace isotope::ops {
namespace {

struct FloatLanes {
  using Sum = __m512;
  static Sum zero() { return _mm512_setzero_ps(); }
  static Sum load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, Sum value) { _mm512_storeu_ps(to, value); }
  static Sum broadcast(float value) { return _mm512_set1_ps(value); }
  static Sum add(Sum a, Sum b) { return _mm512_add_ps(a, b); }
  static Sum multiply(Sum a, Sum b) { return _mm512_mul_ps(a, b); }
  static Sum multiply_add(Sum a, Sum b, Sum c) { return _mm512_fmadd_ps(a, b, c); }

  /// Round to nearest even. Not VCVTNEPS2BF16, which flushes subnormals.
  static void store_bf16(std::uint16_t* to, Sum value) {
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i half = _mm512_add_epi32(_mm512_set1_epi32(0x7fff), odd);
    const __m512i rounded = _mm512_add_epi32(bits, half);
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    const __m512i upper = _mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, is_nan, quiet), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(upper));
  }
};

}  // namespace
}  // namespace isotope::ops
