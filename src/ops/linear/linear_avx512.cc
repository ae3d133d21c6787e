// Any weights with FP32 multiply-adds of 16 lanes, for CPUs with AVX-512 but no BF16 dot product
// (and for F32 weights).
//
// FP8 becomes FP16 with its exponent 8 too small by shifting bits, then FP32 by VCVTPH2PS, which is
// exact for subnormals too; 2^8 is multiplied back in by widening x, whose powers of two are exact
// as well.
#include "ops/linear/lanes_avx512.h"
#include "ops/linear/tile_loops.h"

namespace isotope::ops {
namespace {

/// 64 bytes of an FP8 tile as FP16 · 2^-8: each vector holds 16 features at one value of k, then at
/// another.
struct Fp8Halves {
  __m512i even;  ///< k = 0, 2
  __m512i odd;   ///< k = 1, 3
};

Fp8Halves widen_fp8(const std::byte* from) {
  // Word j of pair 0 of all features first, then pair 1.
  const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  const __m512i words = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(from));
  // seeeemmm in the upper byte becomes s0eeeemmm0000000: the arithmetic shift doubles the sign, the
  // mask drops one.
  const __m512i mask = _mm512_set1_epi16(short(0xbf80));
  return {_mm512_and_si512(_mm512_srai_epi16(_mm512_slli_epi16(words, 8), 1), mask),
          _mm512_and_si512(_mm512_srai_epi16(words, 1), mask)};
}

__m512 low_floats(__m512i halves) { return _mm512_cvtph_ps(_mm512_castsi512_si256(halves)); }
__m512 high_floats(__m512i halves) { return _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1)); }

struct Family : FloatLanes {
  using X = float;
  static constexpr int kFusedRows = 8;
  static constexpr bool kWidensX = true;
  static constexpr DType kScratch = DType::f32;
  // 24 sums, 4 weights and x fill 32 registers; 64 bytes of FP8 widen to four.
  static constexpr int tiles(int rows, bool fused) { return fused && rows > 3 ? 2 : 4; }

  template <DType kWeights>
  struct Weights;
  template <DType kWeights>
  static void widen_tile(const std::byte* from, std::int64_t values, std::int64_t prefetch,
                         std::byte* to);
  template <DType kWeights>
  static void widen_x(const std::uint16_t* from, std::int64_t values, float* to);
};

template <>
struct Family::Weights<DType::f32> {
  static constexpr int kValues = 1;
  using Wide = __m512;
  using Broadcast = __m512;
  static Wide widen(const std::byte* from) { return _mm512_loadu_ps(from); }
  static Broadcast broadcast(const X* x) { return _mm512_set1_ps(*x); }
  static Sum add_product(Sum sum, Wide weights, Broadcast x) {
    return _mm512_fmadd_ps(weights, x, sum);
  }
};

template <>
struct Family::Weights<DType::bf16> {
  static constexpr int kValues = 2;
  struct Wide {
    __m512 even, odd;
  };
  struct Broadcast {
    __m512 even, odd;
  };
  static Wide widen(const std::byte* from) {
    const __m512i pairs = _mm512_loadu_si512(from);
    return {_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)),
            _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(int(0xffff0000))))};
  }
  static Broadcast broadcast(const X* x) { return {_mm512_set1_ps(x[0]), _mm512_set1_ps(x[1])}; }
  static Sum add_product(Sum sum, const Wide& weights, const Broadcast& x) {
    return _mm512_fmadd_ps(weights.odd, x.odd, _mm512_fmadd_ps(weights.even, x.even, sum));
  }
};

template <>
struct Family::Weights<DType::f8_e4m3> {
  static constexpr int kValues = 4;
  struct Wide {
    __m512 k[4];
  };
  struct Broadcast {
    __m512 k[4];
  };
  static Wide widen(const std::byte* from) {
    const Fp8Halves halves = widen_fp8(from);
    return {low_floats(halves.even), low_floats(halves.odd), high_floats(halves.even),
            high_floats(halves.odd)};
  }
  static Broadcast broadcast(const X* x) {
    return {_mm512_set1_ps(x[0]), _mm512_set1_ps(x[1]), _mm512_set1_ps(x[2]), _mm512_set1_ps(x[3])};
  }
  static Sum add_product(Sum sum, const Wide& weights, const Broadcast& x) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) sum = _mm512_fmadd_ps(weights.k[i], x.k[i], sum);
    return sum;
  }
};

template <>
void Family::widen_tile<DType::bf16>(const std::byte* from, std::int64_t values,
                                     std::int64_t prefetch, std::byte* to) {
  auto* out = reinterpret_cast<float*>(to);
  for (std::int64_t i = 0; i < values; i += 2, from += 64, out += 32) {
    _mm_prefetch(reinterpret_cast<const char*>(from + prefetch), _MM_HINT_T1);
    const auto wide = Weights<DType::bf16>::widen(from);
    _mm512_store_ps(out, wide.even);
    _mm512_store_ps(out + 16, wide.odd);
  }
}

template <>
void Family::widen_tile<DType::f8_e4m3>(const std::byte* from, std::int64_t values,
                                        std::int64_t prefetch, std::byte* to) {
  auto* out = reinterpret_cast<float*>(to);
  for (std::int64_t i = 0; i < values; i += 4, from += 64, out += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(from + prefetch), _MM_HINT_T1);
    const auto wide = Weights<DType::f8_e4m3>::widen(from);
    for (int j = 0; j < 4; ++j) _mm512_store_ps(out + 16 * j, wide.k[j]);
  }
}

template <DType kWeights>
void Family::widen_x(const std::uint16_t* from, std::int64_t values, float* to) {
  const __m512 unit = _mm512_set1_ps(kWeights == DType::f8_e4m3 ? 256.0f : 1.0f);
  for (std::int64_t i = 0; i < values; i += 16) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i));
    const __m512i wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16);
    _mm512_store_ps(to + i, _mm512_mul_ps(_mm512_castsi512_ps(wide), unit));
  }
}

}  // namespace

void multiply_tiles_avx512(const TileMatmul& matmul, const TileRange& range) {
  switch (matmul.weight_dtype) {
    case DType::f8_e4m3:
      return multiply_range<Family, DType::f8_e4m3>(matmul, range);
    case DType::bf16:
      return multiply_range<Family, DType::bf16>(matmul, range);
    default:
      return multiply_range<Family, DType::f32>(matmul, range);
  }
}

}  // namespace isotope::ops
