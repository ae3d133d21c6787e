// The passes of sample_kernel.h on vectors; included by the file of each instruction set.
#pragma once

#include "ops/sample/sample_kernel.h"
#include "ops/simd/simd.h"

namespace isotope::ops {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();

ISOTOPE_INLINE int lanes_left(std::int64_t n) { return n < kLanes ? int(n) : kLanes; }

/// Values with NaN, and what lies beyond n, as -infinity.
ISOTOPE_INLINE Vec load_clean(const float* x, std::int64_t n) {
  if (n >= kLanes) return max(load(x), set1(kMinusInfinity));  // the second operand if one is NaN
  return max(select(first_n(int(n)), load_n(x, int(n)), set1(kMinusInfinity)),
             set1(kMinusInfinity));
}

float largest(const float* x, std::int64_t n) {
  // Four chains hide the latency of the maximum.
  constexpr int kChains = 4;
  Vec top[kChains];
  unroll<kChains>([&](auto c) { top[c] = set1(kMinusInfinity); });
  std::int64_t i = 0;
  for (; i + kChains * kLanes <= n; i += kChains * kLanes)
    unroll<kChains>([&](auto c) { top[c] = max(load(x + i + c * kLanes), top[c]); });
  for (; i < n; i += kLanes) top[0] = max(load_clean(x + i, n - i), top[0]);
  return reduce_max(max(max(top[0], top[1]), max(top[2], top[3])));
}

double sum_exp(const float* x, std::int64_t n, float best, float inverse_temperature) {
  // Blocks are summed in FP32, a few values a lane; blocks add up in double.
  constexpr std::int64_t kBlock = 64 * kLanes;
  const Vec top = set1(best), factor = set1(inverse_temperature);
  double total = 0;
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t end = begin + kBlock < n ? begin + kBlock : n;
    Vec sum = zero();
    for (std::int64_t i = begin; i < end; i += kLanes)
      sum = add(sum, exp(mul(sub(load_clean(x + i, end - i), top), factor)));
    total += double(reduce_add(sum));
  }
  return total;
}

void exp_each(const float* x, std::int64_t n, float best, float inverse_temperature, float* out) {
  const Vec top = set1(best), factor = set1(inverse_temperature);
  for (std::int64_t i = 0; i < n; i += kLanes)
    store_n(out + i, exp(mul(sub(load_clean(x + i, n - i), top), factor)), lanes_left(n - i));
}

std::int64_t count_greater(const float* x, std::int64_t n, float value) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < n; i += kLanes)
    count += __builtin_popcount(bits(greater(load_clean(x + i, n - i), set1(value))));
  return count;
}

std::int64_t collect(const float* x, std::int64_t n, float at_least_value, std::int32_t* out) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < n; i += kLanes) {
    unsigned mask = bits(at_least(load_clean(x + i, n - i), set1(at_least_value)));
    if (n - i < kLanes) mask &= (1u << (n - i)) - 1;
    for (; mask; mask &= mask - 1) out[count++] = std::int32_t(i) + __builtin_ctz(mask);
  }
  return count;
}

// ---- Philox4x32-10 for kLanes counters at once: token_bits() of 4 · kLanes neighbouring tokens

#if defined(__AVX512F__)
using IntVec = __m512i;
ISOTOPE_INLINE IntVec set1_int(std::uint32_t x) { return _mm512_set1_epi32(int(x)); }
ISOTOPE_INLINE IntVec lane_numbers() {
  return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
ISOTOPE_INLINE IntVec add_int(IntVec a, IntVec b) { return _mm512_add_epi32(a, b); }
ISOTOPE_INLINE IntVec xor_int(IntVec a, IntVec b) { return _mm512_xor_si512(a, b); }
/// The two halves of the products of 32-bit lanes.
ISOTOPE_INLINE void multiply(IntVec a, IntVec b, IntVec* high, IntVec* low) {
  const __m512i even = _mm512_mul_epu32(a, b), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), b);
  *low = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
  *high = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
}
/// word[w] lane j -> vectors in the order of 4j + w.
ISOTOPE_INLINE void interleave(IntVec* word) {
  const __m512i a = _mm512_unpacklo_epi32(word[0], word[1]),
                b = _mm512_unpackhi_epi32(word[0], word[1]);
  const __m512i c = _mm512_unpacklo_epi32(word[2], word[3]),
                d = _mm512_unpackhi_epi32(word[2], word[3]);
  // r[i]: 128-bit part m holds counter 4m + i.
  const __m512i r0 = _mm512_unpacklo_epi64(a, c), r1 = _mm512_unpackhi_epi64(a, c);
  const __m512i r2 = _mm512_unpacklo_epi64(b, d), r3 = _mm512_unpackhi_epi64(b, d);
  const __m512i low01 = _mm512_shuffle_i32x4(r0, r1, 0x44),
                high01 = _mm512_shuffle_i32x4(r0, r1, 0xee);
  const __m512i low23 = _mm512_shuffle_i32x4(r2, r3, 0x44),
                high23 = _mm512_shuffle_i32x4(r2, r3, 0xee);
  word[0] = _mm512_shuffle_i32x4(low01, low23, 0x88);
  word[1] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
  word[2] = _mm512_shuffle_i32x4(high01, high23, 0x88);
  word[3] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
}
/// floor(log2(x >> 8)) of unsigned lanes; -127 for 0.
ISOTOPE_INLINE Vec exponent_of_24_bits(IntVec x) {
  const __m512i value = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_srli_epi32(x, 8)));
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_srli_epi32(value, 23), _mm512_set1_epi32(127)));
}
ISOTOPE_INLINE void store_int(std::uint32_t* p, IntVec x) { _mm512_storeu_si512(p, x); }
#else
using IntVec = __m256i;
ISOTOPE_INLINE IntVec set1_int(std::uint32_t x) { return _mm256_set1_epi32(int(x)); }
ISOTOPE_INLINE IntVec lane_numbers() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
ISOTOPE_INLINE IntVec add_int(IntVec a, IntVec b) { return _mm256_add_epi32(a, b); }
ISOTOPE_INLINE IntVec xor_int(IntVec a, IntVec b) { return _mm256_xor_si256(a, b); }
/// The two halves of the products of 32-bit lanes.
ISOTOPE_INLINE void multiply(IntVec a, IntVec b, IntVec* high, IntVec* low) {
  const __m256i even = _mm256_mul_epu32(a, b), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), b);
  *low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
  *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}
/// word[w] lane j -> vectors in the order of 4j + w.
ISOTOPE_INLINE void interleave(IntVec* word) {
  const __m256i a = _mm256_unpacklo_epi32(word[0], word[1]),
                b = _mm256_unpackhi_epi32(word[0], word[1]);
  const __m256i c = _mm256_unpacklo_epi32(word[2], word[3]),
                d = _mm256_unpackhi_epi32(word[2], word[3]);
  // r[i]: 128-bit part m holds counter 4m + i.
  const __m256i r0 = _mm256_unpacklo_epi64(a, c), r1 = _mm256_unpackhi_epi64(a, c);
  const __m256i r2 = _mm256_unpacklo_epi64(b, d), r3 = _mm256_unpackhi_epi64(b, d);
  word[0] = _mm256_permute2x128_si256(r0, r1, 0x20);
  word[1] = _mm256_permute2x128_si256(r2, r3, 0x20);
  word[2] = _mm256_permute2x128_si256(r0, r1, 0x31);
  word[3] = _mm256_permute2x128_si256(r2, r3, 0x31);
}
/// floor(log2(x >> 8)) of unsigned lanes; -127 for 0.
ISOTOPE_INLINE Vec exponent_of_24_bits(IntVec x) {
  const __m256i value = _mm256_castps_si256(_mm256_cvtepi32_ps(_mm256_srli_epi32(x, 8)));
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(value, 23), _mm256_set1_epi32(127)));
}
ISOTOPE_INLINE void store_int(std::uint32_t* p, IntVec x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x);
}
#endif

/// token_bits() of tokens 4 · first_group …, in order.
ISOTOPE_INLINE void bits_of_tokens(std::uint64_t seed, std::uint64_t counter,
                                   std::uint32_t first_group, IntVec* word) {
  std::uint32_t key0 = std::uint32_t(seed), key1 = std::uint32_t(seed >> 32);
  word[0] = add_int(set1_int(first_group), lane_numbers());
  word[1] = set1_int(0);
  word[2] = set1_int(std::uint32_t(counter));
  word[3] = set1_int(std::uint32_t(counter >> 32));
  for (int round = 0; round < 10; ++round) {
    IntVec high0, low0, high1, low1;
    multiply(word[0], set1_int(0xD2511F53), &high0, &low0);
    multiply(word[2], set1_int(0xCD9E8D57), &high1, &low1);
    word[0] = xor_int(xor_int(high1, word[1]), set1_int(key0));
    word[1] = low1;
    word[2] = xor_int(xor_int(high0, word[3]), set1_int(key1));
    word[3] = low0;
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  interleave(word);
}

/// Tokens above the threshold, ties included; which ties count is decided one by one.
ISOTOPE_INLINE unsigned kept(const DrawInput& input, std::int64_t i) {
  if (i >= input.size) return 0;
  return bits(at_least(load_clean(input.logits + i, input.size - i), set1(input.cut.threshold)));
}

void draw(const DrawInput& input, DrawSink sink) {
  const Vec best = set1(input.best), factor = set1(input.inverse_temperature),
            ln2 = set1(0.69314724f);
  float to_beat = kMinusInfinity;
  for (std::int64_t begin = 0; begin < input.size; begin += 4 * kLanes) {
    unsigned masks[4], any = 0;
    for (int w = 0; w < 4; ++w) any |= masks[w] = kept(input, begin + w * kLanes);
    if (!any) continue;
    IntVec word[4];
    bits_of_tokens(input.seed, input.counter, std::uint32_t(begin / 4), word);
    for (int w = 0; w < 4; ++w) {
      if (!masks[w]) continue;
      const std::int64_t first = begin + w * kLanes;
      const Vec logits = load_clean(input.logits + first, input.size - first);
      const Vec scaled = mul(sub(logits, best), factor);
      // With u in (0, 1) from the bits, -ln(-ln u) ≤ -ln(1 - u) ≤ -ln 2 · floor(log2(1 - u)):
      // without a logarithm this rules out nearly all tokens. 1 - u has the inverted bits. The
      // margin covers rounding.
      const Vec exponent = exponent_of_24_bits(xor_int(word[w], set1_int(0xffffffffu)));
      const Vec bound = fma(sub(set1(24.0f), exponent), ln2, scaled);
      const float margin = 1e-4f * (1.0f + (to_beat < 0 ? -to_beat : to_beat));
      unsigned mask = masks[w] & bits(at_least(bound, set1(to_beat - margin)));
      if (!mask) continue;
      std::uint32_t token_bits[kLanes];
      store_int(token_bits, word[w]);
      for (; mask; mask &= mask - 1) {
        const int lane = __builtin_ctz(mask);
        const std::int32_t id = std::int32_t(first) + lane;
        if (input.logits[id] == input.cut.threshold && id > input.cut.last_tie) continue;
        to_beat = sink.offer(sink.state, input.logits[id], id, token_bits[lane]);
      }
    }
  }
}

constexpr SampleKernel kSampleKernel = {largest, sum_exp, exp_each, count_greater, collect, draw};

}  // namespace
}  // namespace isotope::ops
