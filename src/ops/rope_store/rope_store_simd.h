// One row in one pass: the angles' cosines and sines once for all heads, then each head from
// registers to where it belongs. Included by the file of each instruction set. The trigonometry and
// the FP8 encoding use 256-bit vectors for both: they are a small part, and doubles and bytes fit
// them well.
#pragma once

#include "ops/rope_store/rope_store_forms.h"
#include "ops/simd/simd.h"

namespace isotope::ops {
namespace {

constexpr int kMaxHalf = int(kMaxRopeHeadDim) / 2;

ISOTOPE_INLINE int lanes_left(int n) { return n < kLanes ? n : kLanes; }

/// cos and sin of a row's angles times the attention factor; padded with anything.
struct Rotation {
  alignas(64) float cosine[kMaxHalf + 16];
  alignas(64) float sine[kMaxHalf + 16];
};

/// What is left of 4 angles after whole quarters of the circle, and how many. An angle may be 2^31
/// radians: the product is taken in double, π/2 in two parts.
ISOTOPE_INLINE __m128 reduce(__m256d angle, __m128i* quarters) {
  const __m256d n = _mm256_round_pd(_mm256_mul_pd(angle, _mm256_set1_pd(0.63661977236758134)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256d r = _mm256_fnmadd_pd(n, _mm256_set1_pd(1.5707963267948966), angle);
  r = _mm256_fnmadd_pd(n, _mm256_set1_pd(6.123233995736766e-17), r);
  *quarters = _mm256_cvtpd_epi32(n);
  return _mm256_cvtpd_ps(r);
}

/// Cosine and sine of 8 angles position · frequency, each within 2^-23: polynomials on [-π/4, π/4].
ISOTOPE_INLINE void cos_sin(__m256 frequency, double position, __m256* cosine, __m256* sine) {
  const __m256d p = _mm256_set1_pd(position);
  __m128i low_quarters, high_quarters;
  const __m128 low =
      reduce(_mm256_mul_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(frequency)), p), &low_quarters);
  const __m128 high = reduce(_mm256_mul_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(frequency, 1)), p),
                             &high_quarters);
  const __m256 r = _mm256_set_m128(high, low);
  const __m256i quarters = _mm256_set_m128i(high_quarters, low_quarters);
  const __m256 z = _mm256_mul_ps(r, r);
  __m256 s =
      _mm256_fmadd_ps(z, _mm256_set1_ps(-1.9515295891e-4f), _mm256_set1_ps(8.3321608736e-3f));
  s = _mm256_fmadd_ps(s, z, _mm256_set1_ps(-1.6666654611e-1f));
  s = _mm256_fmadd_ps(_mm256_mul_ps(s, z), r, r);
  __m256 c = _mm256_fmadd_ps(z, _mm256_set1_ps(2.443315711809948e-5f),
                             _mm256_set1_ps(-1.388731625493765e-3f));
  c = _mm256_fmadd_ps(c, z, _mm256_set1_ps(4.166664568298827e-2f));
  c = _mm256_fmadd_ps(_mm256_mul_ps(c, z), z,
                      _mm256_fnmadd_ps(_mm256_set1_ps(0.5f), z, _mm256_set1_ps(1.0f)));
  // Odd quarters swap the two; the second bit of the quarter (for the cosine: of the next one) is
  // the sign.
  const __m256 odd = _mm256_castsi256_ps(_mm256_slli_epi32(quarters, 31));
  const __m256i next = _mm256_add_epi32(quarters, _mm256_set1_epi32(1));
  const __m256i sign = _mm256_set1_epi32(int(0x80000000u));
  const __m256 sine_sign =
      _mm256_castsi256_ps(_mm256_and_si256(_mm256_slli_epi32(quarters, 30), sign));
  const __m256 cosine_sign =
      _mm256_castsi256_ps(_mm256_and_si256(_mm256_slli_epi32(next, 30), sign));
  *sine = _mm256_xor_ps(_mm256_blendv_ps(s, c, odd), sine_sign);
  *cosine = _mm256_xor_ps(_mm256_blendv_ps(c, s, odd), cosine_sign);
}

void find_rotation(const RopeRow& row, int half, Rotation& rotation) {
  const __m256 factor = _mm256_set1_ps(row.rope->attention_factor);
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (int i = 0; i < half; i += 8) {
    const __m256i valid = _mm256_cmpgt_epi32(_mm256_set1_epi32(half - i), lane);
    __m256 c, s;
    cos_sin(_mm256_maskload_ps(row.frequencies + i, valid), double(row.position), &c, &s);
    _mm256_store_ps(rotation.cosine + i, _mm256_mul_ps(c, factor));
    _mm256_store_ps(rotation.sine + i, _mm256_mul_ps(s, factor));
  }
}

/// 1 / sqrt(mean(x²) + eps), or 1 without a norm.
template <typename T>
ISOTOPE_INLINE float norm_factor(const T* x, const float* weight, float eps, int size) {
  if (!weight) return 1.0f;
  Vec sum = zero();
  for (int i = 0; i < size; i += kLanes) {
    const Vec value = load_n(x + i, lanes_left(size - i));
    sum = fma(value, value, sum);
  }
  const float mean = reduce_add(sum) / float(size);
  return 1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + eps)));
}

/// y [2·half] = rotated and normed x, times `scale`.
template <typename T, typename U>
ISOTOPE_INLINE void rotate(const T* x, const float* weight, float eps, const Rotation& rotation,
                           int half, float scale, U* y) {
  const Vec inverse = set1(norm_factor(x, weight, eps, 2 * half)), factor = set1(scale);
  for (int i = 0; i < half; i += kLanes) {
    const int n = lanes_left(half - i);
    Vec a = load_n(x + i, n), b = load_n(x + half + i, n);
    if (weight) {
      a = mul(mul(a, inverse), load_n(weight + i, n));
      b = mul(mul(b, inverse), load_n(weight + half + i, n));
    }
    const Vec c = load(rotation.cosine + i), s = load(rotation.sine + i);
    store_n(y + i, mul(sub(mul(a, c), mul(b, s)), factor), n);
    store_n(y + half + i, mul(fma(b, c, mul(a, s)), factor), n);
  }
}

/// to_float8_e4m3 of 8 values.
ISOTOPE_INLINE std::uint64_t encode_fp8(__m256 x) {
  const __m256i raw = _mm256_castps_si256(x);
  const __m256i sign = _mm256_and_si256(_mm256_srli_epi32(raw, 24), _mm256_set1_epi32(0x80));
  const __m256i magnitude = _mm256_and_si256(raw, _mm256_set1_epi32(0x7fffffff));
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(magnitude, 20), _mm256_set1_epi32(1));
  const __m256i rounded =
      _mm256_add_epi32(_mm256_add_epi32(magnitude, _mm256_set1_epi32(0x7ffff)), odd);
  __m256i code =
      _mm256_sub_epi32(_mm256_srli_epi32(rounded, 20), _mm256_set1_epi32((127 - 7) << 3));
  code = _mm256_min_epi32(code, _mm256_set1_epi32(0x7e));
  // Subnormals are multiples of 2^-9.
  const __m256i small =
      _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_castsi256_ps(magnitude), _mm256_set1_ps(512.0f)));
  const __m256i is_small = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x3c800000), magnitude);
  const __m256i is_nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000));
  code = _mm256_blendv_epi8(code, small, is_small);
  code = _mm256_blendv_epi8(code, _mm256_set1_epi32(0x7f), is_nan);
  code = _mm256_or_si256(code, sign);
  const __m128i words =
      _mm_packus_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
  return std::uint64_t(_mm_cvtsi128_si64(_mm_packus_epi16(words, words)));
}

/// x [size] -> codes and their scale. x has room for whole vectors.
ISOTOPE_INLINE void quantize(const float* x, int size, std::uint8_t* codes, float* scale_out) {
  Vec largest = zero(), spoiled = zero();
  for (int i = 0; i < size; i += kLanes) {
    const Vec value = load_n(x + i, lanes_left(size - i));
    largest = max(abs(value), largest);
    spoiled = fma(value, zero(), spoiled);  // 0, or NaN if a value is not finite
  }
  const float top = reduce_max(largest);
  const float scale = (top == 0 ? 1.0f : top / 448.0f) + reduce_add(spoiled);
  *scale_out = scale;
  for (int i = 0; i < size; i += 8) {
    const std::uint64_t eight =
        encode_fp8(_mm256_div_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(scale)));
    std::memcpy(codes + i, &eight, std::size_t(size - i < 8 ? size - i : 8));
  }
}

struct Target {
  const TensorView* cache;
  const TensorView* scales;
  std::int64_t vector;  ///< counts (slot, head) pairs
};

/// A head of K (with rotation) or V (without) into its slot.
template <typename T>
ISOTOPE_INLINE void store_head(const T* x, const float* weight, float eps, const Rotation* rotation,
                               int size, const Target& target) {
  alignas(64) float y[2 * kMaxHalf + 16];
  if (rotation) {
    rotate(x, weight, eps, *rotation, size / 2, 1.0f, y);
  } else {
    for (int i = 0; i < size; i += kLanes) store(y + i, load_n(x + i, lanes_left(size - i)));
  }
  if (target.cache->dtype == DType::f8_e4m3) {
    // The last group of 8 may reach past the head.
    std::memset(y + size, 0, 8 * sizeof(float));
    quantize(y, size, static_cast<std::uint8_t*>(target.cache->data) + target.vector * size,
             static_cast<float*>(target.scales->data) + target.vector);
    return;
  }
  bfloat16* out = static_cast<bfloat16*>(target.cache->data) + target.vector * size;
  for (int i = 0; i < size; i += kLanes) store_n(out + i, load(y + i), lanes_left(size - i));
}

template <typename T>
void rope_store_row_of(const RopeRow& row) {
  const RopeSpec& rope = *row.rope;
  const int size = int(rope.head_dim);
  const T* x = static_cast<const T*>(row.qkv->data) + row.row * row.qkv->row_stride;
  T* q = static_cast<T*>(row.q_out->data) + row.row * row.q_out->row_stride;
  Rotation rotation;
  find_rotation(row, size / 2, rotation);
  for (std::int64_t head = 0; head < rope.num_heads; ++head, x += size, q += size)
    rotate(x, row.q_norm, row.norm_eps, rotation, size / 2, row.query_scale, q);
  if (row.slot < 0) return;
  const T* v = x + rope.num_kv_heads * size;
  for (std::int64_t head = 0; head < rope.num_kv_heads; ++head, x += size, v += size) {
    const std::int64_t vector = row.slot * rope.num_kv_heads + head;
    store_head(x, row.k_norm, row.norm_eps, &rotation, size,
               {&row.kv->k, &row.kv->k_scale, vector});
    store_head(v, nullptr, 0.0f, nullptr, size, {&row.kv->v, &row.kv->v_scale, vector});
  }
}

ISOTOPE_INLINE void rope_store_row(const RopeRow& row) {
  if (row.qkv->dtype == DType::bf16)
    rope_store_row_of<bfloat16>(row);
  else
    rope_store_row_of<float>(row);
}

}  // namespace
}  // namespace isotope::ops
