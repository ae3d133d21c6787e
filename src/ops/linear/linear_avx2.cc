// Any weights with FP32 multiply-adds of 8 lanes: the form that runs on every CPU since 2013.
//
// FP8 becomes FP16 with its exponent 8 too small by shifting bits, then FP32 by VCVTPH2PS, which is
// exact for subnormals too; 2^8 is multiplied back in by widening x, whose powers of two are exact
// as well.
#include "ops/linear/tile_loops.h"

namespace isotope::ops {
namespace {

__m256i load_bytes(const std::byte* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

/// 16 lanes: features 0 to 7 and 8 to 15.
struct Lanes {
  __m256 low, high;
};

Lanes add_scaled(const Lanes& sum, __m256 low, __m256 high, __m256 x) {
  return {_mm256_fmadd_ps(low, x, sum.low), _mm256_fmadd_ps(high, x, sum.high)};
}

__m256i round_to_bf16(__m256 value) {
  const __m256i bits = _mm256_castps_si256(value);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256 is_nan = _mm256_cmp_ps(value, value, _CMP_UNORD_Q);
  return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(is_nan)), 16);
}

struct Family {
  using Sum = Lanes;
  using X = float;
  static constexpr int kFusedRows = 2;
  static constexpr bool kWidensX = true;
  static constexpr DType kScratch = DType::f32;
  // A sum takes 2 of 16 registers, a weight 2 and x 1 or 2.
  static constexpr int tiles(int rows, bool) { return rows == 1 ? 4 : rows == 2 ? 2 : 1; }

  static Sum zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Sum load(const float* from) { return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}; }
  static void store(float* to, const Sum& value) {
    _mm256_storeu_ps(to, value.low);
    _mm256_storeu_ps(to + 8, value.high);
  }
  static Sum broadcast(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
  static Sum add(const Sum& a, const Sum& b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  static Sum multiply(const Sum& a, const Sum& b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
  }
  static Sum multiply_add(const Sum& a, const Sum& b, const Sum& c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static void store_bf16(std::uint16_t* to, const Sum& value) {
    // VPACKUSDW packs within 128 bits: [low 0-3, high 0-3, low 4-7, high 4-7].
    const __m256i packed = _mm256_packus_epi32(round_to_bf16(value.low), round_to_bf16(value.high));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute4x64_epi64(packed, 0xd8));
  }

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
  using Wide = Lanes;
  using Broadcast = __m256;
  static Wide widen(const std::byte* from) { return load(reinterpret_cast<const float*>(from)); }
  static Broadcast broadcast(const X* x) { return _mm256_broadcast_ss(x); }
  static Sum add_product(const Sum& sum, const Wide& weights, Broadcast x) {
    return add_scaled(sum, weights.low, weights.high, x);
  }
};

template <>
struct Family::Weights<DType::bf16> {
  static constexpr int kValues = 2;
  /// Kept as loaded and widened at use: 16 registers do not hold more.
  struct Wide {
    __m256i low, high;
  };
  struct Broadcast {
    __m256 even, odd;
  };
  static __m256 even(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
  static __m256 odd(__m256i pairs) {
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(int(0xffff0000))));
  }
  static Wide widen(const std::byte* from) { return {load_bytes(from), load_bytes(from + 32)}; }
  static Broadcast broadcast(const X* x) {
    return {_mm256_broadcast_ss(x), _mm256_broadcast_ss(x + 1)};
  }
  static Sum add_product(Sum sum, const Wide& weights, const Broadcast& x) {
    sum = add_scaled(sum, even(weights.low), even(weights.high), x.even);
    return add_scaled(sum, odd(weights.low), odd(weights.high), x.odd);
  }
};

template <>
struct Family::Weights<DType::f8_e4m3> {
  static constexpr int kValues = 4;
  /// Words (two values of k) of features 0 to 7 and 8 to 15: pair 0 of eight features, then pair 1.
  struct Wide {
    __m256i low, high;
  };
  using Broadcast = const X*;
  // seeeemmm in the upper byte becomes s0eeeemmm0000000: the arithmetic shift doubles the sign, the
  // mask drops one.
  static __m256i halves(__m256i upper_bytes) {
    return _mm256_and_si256(_mm256_srai_epi16(upper_bytes, 1), _mm256_set1_epi16(short(0xbf80)));
  }
  static __m256i even(__m256i words) { return halves(_mm256_slli_epi16(words, 8)); }
  static __m256 first(__m256i h) { return _mm256_cvtph_ps(_mm256_castsi256_si128(h)); }
  static __m256 second(__m256i h) { return _mm256_cvtph_ps(_mm256_extracti128_si256(h, 1)); }

  static Wide widen(const std::byte* from) {
    return {_mm256_permute4x64_epi64(load_bytes(from), 0xd8),
            _mm256_permute4x64_epi64(load_bytes(from + 32), 0xd8)};
  }
  static Broadcast broadcast(const X* x) { return x; }
  static Sum add_product(Sum sum, const Wide& weights, Broadcast x) {
    const __m256i low_even = even(weights.low), low_odd = halves(weights.low);
    const __m256i high_even = even(weights.high), high_odd = halves(weights.high);
    sum = add_scaled(sum, first(low_even), first(high_even), _mm256_broadcast_ss(x));
    sum = add_scaled(sum, first(low_odd), first(high_odd), _mm256_broadcast_ss(x + 1));
    sum = add_scaled(sum, second(low_even), second(high_even), _mm256_broadcast_ss(x + 2));
    return add_scaled(sum, second(low_odd), second(high_odd), _mm256_broadcast_ss(x + 3));
  }
};

template <>
void Family::widen_tile<DType::bf16>(const std::byte* from, std::int64_t values,
                                     std::int64_t prefetch, std::byte* to) {
  using Narrow = Weights<DType::bf16>;
  auto* out = reinterpret_cast<float*>(to);
  for (std::int64_t i = 0; i < values; i += 2, from += 64, out += 32) {
    _mm_prefetch(reinterpret_cast<const char*>(from + prefetch), _MM_HINT_T1);
    const Narrow::Wide wide = Narrow::widen(from);
    store(out, {Narrow::even(wide.low), Narrow::even(wide.high)});
    store(out + 16, {Narrow::odd(wide.low), Narrow::odd(wide.high)});
  }
}

template <>
void Family::widen_tile<DType::f8_e4m3>(const std::byte* from, std::int64_t values,
                                        std::int64_t prefetch, std::byte* to) {
  using Narrow = Weights<DType::f8_e4m3>;
  auto* out = reinterpret_cast<float*>(to);
  for (std::int64_t i = 0; i < values; i += 4, from += 64, out += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(from + prefetch), _MM_HINT_T1);
    const Narrow::Wide wide = Narrow::widen(from);
    const __m256i low_even = Narrow::even(wide.low), low_odd = Narrow::halves(wide.low);
    const __m256i high_even = Narrow::even(wide.high), high_odd = Narrow::halves(wide.high);
    store(out, {Narrow::first(low_even), Narrow::first(high_even)});
    store(out + 16, {Narrow::first(low_odd), Narrow::first(high_odd)});
    store(out + 32, {Narrow::second(low_even), Narrow::second(high_even)});
    store(out + 48, {Narrow::second(low_odd), Narrow::second(high_odd)});
  }
}

template <DType kWeights>
void Family::widen_x(const std::uint16_t* from, std::int64_t values, float* to) {
  const __m256 unit = _mm256_set1_ps(kWeights == DType::f8_e4m3 ? 256.0f : 1.0f);
  for (std::int64_t i = 0; i < values; i += 8) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    const __m256i wide = _mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16);
    _mm256_store_ps(to + i, _mm256_mul_ps(_mm256_castsi256_ps(wide), unit));
  }
}

}  // namespace

void multiply_tiles_avx2(const TileMatmul& matmul, const TileRange& range) {
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
