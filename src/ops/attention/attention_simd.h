// The arithmetic of attention on Vec, for any form of the cache. Included by the instruction-set
// files.
//
// Bit-identity: a score is one accumulator a lane along the head, then the tree of sum_each(); an
// output is one fused multiply-add a key, in order of position. Neither depends on how many queries
// or keys share a register block, so a query may be computed alone or with any others.
//
// `Kv` says how a row of the cache becomes vectors:
//   kVectors            vectors of floats in one block of kVectors · kLanes elements
//   load(row, vectors)  widens a block;  load_n(row, n, vectors): only n elements, zeros beyond
//   element(vector, lane)  which element of the block stands there
//   kElementBytes, kScaled (FP8: one scale a key), kUnit (what is still to be multiplied in)
#pragma once

#include "ops/attention/attention_kernel.h"
#include "ops/simd/simd.h"

namespace isotope::ops::cpu {
namespace {

/// BF16 as pairs: the even elements of a block are the lower halves of its 32-bit words, the odd
/// ones the upper halves, so that one load gives two vectors by a shift and a mask.
struct Bf16Kv {
  static constexpr int kVectors = 2;
  static constexpr int kElementBytes = 2;
  static constexpr bool kScaled = false;
  static constexpr float kUnit = 1.0f;
  static constexpr int element(int vector, int lane) { return 2 * lane + vector; }
#if defined(__AVX512F__)
  ISOTOPE_INLINE static void split(__m512i words, Vec* out) {
    out[0] = _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
    out[1] = _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(int(0xffff0000u))));
  }
  ISOTOPE_INLINE static void load(const void* row, Vec* out) {
    split(_mm512_loadu_si512(row), out);
  }
  ISOTOPE_INLINE static void load_n(const void* row, int n, Vec* out) {
    split(_mm512_maskz_loadu_epi16(__mmask32((std::uint64_t(1) << n) - 1), row), out);
  }
#else
  ISOTOPE_INLINE static void load(const void* row, Vec* out) {
    const __m256i words = _mm256_loadu_si256(static_cast<const __m256i*>(row));
    out[0] = _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
    out[1] = _mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32(int(0xffff0000u))));
  }
  ISOTOPE_INLINE static void load_n(const void* row, int n, Vec* out) {
    alignas(32) std::uint16_t part[16] = {};
    std::memcpy(part, row, std::size_t(n) * 2);
    load(part, out);
  }
#endif
};

/// FP8 by way of FP16: moving the bits into place gives the value times 2^-8, subnormals included.
/// The factor 2^8 is joined with the scale of the key (kUnit).
struct Fp8HalfKv {
  static constexpr int kVectors = 2;
  static constexpr int kElementBytes = 1;
  static constexpr bool kScaled = true;
  static constexpr float kUnit = 256.0f;
  static constexpr int element(int vector, int lane) { return vector * kLanes + lane; }
#if defined(__AVX512F__)
  ISOTOPE_INLINE static void widen_bytes(__m256i bytes, Vec* out) {
    const __m512i high = _mm512_slli_epi16(_mm512_cvtepu8_epi16(bytes), 8);
    const __m512i half =
        _mm512_and_si512(_mm512_srai_epi16(high, 1), _mm512_set1_epi16(short(0xbfff)));
    out[0] = _mm512_cvtph_ps(_mm512_castsi512_si256(half));
    out[1] = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(half, 1));
  }
  ISOTOPE_INLINE static void load(const void* row, Vec* out) {
    widen_bytes(_mm256_loadu_si256(static_cast<const __m256i*>(row)), out);
  }
  ISOTOPE_INLINE static void load_n(const void* row, int n, Vec* out) {
    widen_bytes(_mm256_maskz_loadu_epi8(__mmask32((std::uint64_t(1) << n) - 1), row), out);
  }
#else
  ISOTOPE_INLINE static void load(const void* row, Vec* out) {
    const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(row));
    const __m256i high = _mm256_slli_epi16(_mm256_cvtepu8_epi16(bytes), 8);
    const __m256i half =
        _mm256_and_si256(_mm256_srai_epi16(high, 1), _mm256_set1_epi16(short(0xbfff)));
    out[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(half));
    out[1] = _mm256_cvtph_ps(_mm256_extracti128_si256(half, 1));
  }
  ISOTOPE_INLINE static void load_n(const void* row, int n, Vec* out) {
    alignas(16) std::uint8_t part[16] = {};
    std::memcpy(part, row, std::size_t(n));
    load(part, out);
  }
#endif
};

/// The kLanes sums over lanes of kLanes vectors: lane i of the result is the sum of x[sum_slot(i)].
/// Each sum is the tree of reduce_add().
#if defined(__AVX512F__)
constexpr int sum_slot(int i) {
  return (i >> 2 & 1) * 8 + (i >> 3 & 1) * 4 + (i & 1) * 2 + (i >> 1 & 1);
}
ISOTOPE_INLINE Vec sum_each(Vec* x) {
  unroll<8>([&](auto i) __attribute__((always_inline)) {
    x[i] =
        add(_mm512_shuffle_f32x4(x[i], x[i + 8], 0x44), _mm512_shuffle_f32x4(x[i], x[i + 8], 0xee));
  });
  unroll<4>([&](auto i) __attribute__((always_inline)) {
    x[i] =
        add(_mm512_shuffle_f32x4(x[i], x[i + 4], 0x88), _mm512_shuffle_f32x4(x[i], x[i + 4], 0xdd));
  });
  unroll<2>([&](auto i) __attribute__((always_inline)) {
    const __m512d a = _mm512_castps_pd(x[i]), b = _mm512_castps_pd(x[i + 2]);
    x[i] =
        add(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  });
  return add(_mm512_shuffle_ps(x[0], x[1], 0x88), _mm512_shuffle_ps(x[0], x[1], 0xdd));
}
#else
constexpr int sum_slot(int i) { return (i >> 2) * 4 + (i & 1) * 2 + (i >> 1 & 1); }
ISOTOPE_INLINE Vec sum_each(Vec* x) {
  unroll<4>([&](auto i) __attribute__((always_inline)) {
    x[i] = add(_mm256_permute2f128_ps(x[i], x[i + 4], 0x20),
               _mm256_permute2f128_ps(x[i], x[i + 4], 0x31));
  });
  unroll<2>([&](auto i) __attribute__((always_inline)) {
    const __m256d a = _mm256_castps_pd(x[i]), b = _mm256_castps_pd(x[i + 2]);
    x[i] =
        add(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
  });
  return add(_mm256_shuffle_ps(x[0], x[1], 0x88), _mm256_shuffle_ps(x[0], x[1], 0xdd));
}
#endif

/// Keys scored (or values summed) for all queries of a task before the next ones, so that their
/// rows stay in the L1 cache. With few queries a head, as in a decode, memory is the limit and a
/// task has several heads: smaller steps, in which the heads of a token are read one after the
/// other, make one stream of the whole token.
constexpr int kStepKeys = 32, kStepKeysOfFew = 16, kFewQueries = 8;
static_assert(kStepKeysOfFew % kLanes == 0, "one query is scored with kLanes keys at once");
/// Prefetches run this many keys in front, into the L2 cache. Measured on Zen 4: 8 comes late, 32
/// evicts.
constexpr int kKeysAhead = 16;
/// Queries in one register block: with 4 × 4 (AVX2: 2 × 4) accumulators, queries and a key fit in
/// registers.
constexpr int kMaxGroup = kLanes / 4;

ISOTOPE_INLINE int smaller(int a, int b) { return a < b ? a : b; }

template <class Kv>
struct Attention {
  static constexpr int kBlock = Kv::kVectors * kLanes;  // elements widened at once
  static constexpr int kBlockBytes = kBlock * Kv::kElementBytes;

  static int stride(int head_dim) { return (head_dim + kBlock - 1) / kBlock * kBlock; }

  static ISOTOPE_INLINE const std::uint8_t* at(const void* row, int block) {
    return static_cast<const std::uint8_t*>(row) + block * kBlockBytes;
  }

  static ISOTOPE_INLINE const std::uint8_t* head_of(const void* token, int kv_head, int head_dim) {
    return static_cast<const std::uint8_t*>(token) +
           std::ptrdiff_t(kv_head) * head_dim * Kv::kElementBytes;
  }

  /// Scores of Q queries with kLanes / Q keys -> scores[query][key], neither scaled nor masked.
  template <int Q>
  static ISOTOPE_INLINE void score(const float* q, int q_stride, const void* const* k, int head_dim,
                                   float* scores) {
    constexpr int kKeys = kLanes / Q;
    Vec acc[kLanes];
    unroll<kLanes>([&](auto i) __attribute__((always_inline)) { acc[i] = zero(); });
    const auto step = [&](int block, auto&& load_block) __attribute__((always_inline)) {
      Vec query[Q][Kv::kVectors];
      unroll<Q>([&](auto i) __attribute__((always_inline)) {
        unroll<Kv::kVectors>([&](auto j) __attribute__((always_inline)) {
          query[i][j] = load(q + i * q_stride + block * kBlock + j * kLanes);
        });
      });
      unroll<kKeys>([&](auto key) __attribute__((always_inline)) {
        Vec x[Kv::kVectors];
        load_block(at(k[key], block), x);
        unroll<Q>([&](auto i) __attribute__((always_inline)) {
          constexpr int slot = slot_of(i * kKeys + key);
          unroll<Kv::kVectors>([&](auto j) __attribute__((always_inline)) {
            acc[slot] = fma(query[i][j], x[j], acc[slot]);
          });
        });
      });
    };
    const int full = head_dim / kBlock, rest = head_dim % kBlock;
    for (int block = 0; block < full; ++block)
      step(
          block, [](const void* row, Vec* x) __attribute__((always_inline)) { Kv::load(row, x); });
    if (rest)
      step(
          full, [rest](const void* row, Vec* x)
                    __attribute__((always_inline)) { Kv::load_n(row, rest, x); });
    alignas(64) float sums[kLanes];
    store(sums, sum_each(acc));
    for (int i = 0; i < Q; ++i)
      std::memcpy(scores + i * kPartKeys, sums + i * kKeys, sizeof(float) * kKeys);
  }

  /// The accumulator whose sum comes out in lane i.
  static constexpr int slot_of(int i) { return sum_slot(i); }

  /// Scores of Q queries with keys [begin, end); writes up to a multiple of kLanes / Q keys.
  template <int Q>
  static ISOTOPE_INLINE void score_block(const float* q, int q_stride, const PartKeys& keys,
                                         int kv_head, int begin, int end, int head_dim,
                                         float* scores) {
    constexpr int kKeys = kLanes / Q;
    for (int key = begin; key < end; key += kKeys) {
      const void* rows[kKeys];
      for (int i = 0; i < kKeys; ++i)
        rows[i] = head_of(keys.k[smaller(key + i, keys.count - 1)], kv_head, head_dim);
      score<Q>(q, q_stride, rows, head_dim, scores + key);
    }
  }

  /// The scales of one KV head.
  struct Scales {
    alignas(64) float k[kPartKeys], v[kPartKeys];
    Scales(const PartKeys& keys, int kv_head) {
      for (int i = 0; Kv::kScaled && i < keys.count; ++i) {
        k[i] = keys.k_scale[i][kv_head];
        v[i] = keys.v_scale[i][kv_head];
      }
    }
  };

  /// scores -> probabilities (times the value's scale), their maximum and sum. Lanes add up
  /// separately.
  static void softmax(float* s, int n, const Scales& scales, float scale, float* max_out,
                      float* sum_out) {
    const Vec factor = set1(scale * Kv::kUnit);
    Vec largest = set1(-__builtin_inff());
    for (int i = 0; i < n; i += kLanes) {
      Vec x = mul(load(s + i), factor);
      if constexpr (Kv::kScaled) x = mul(x, load(scales.k + i));
      store(s + i, x);
      largest = max(select(first_n(n - i), x, largest), largest);
    }
    const float top = reduce_max(largest);
    Vec sum = zero();
    for (int i = 0; i < n; i += kLanes) {
      Vec p = select(first_n(n - i), exp(sub(load(s + i), set1(top))), zero());
      sum = add(sum, p);
      if constexpr (Kv::kScaled) p = mul(p, mul(load(scales.v + i), set1(Kv::kUnit)));
      store(s + i, p);
    }
    *max_out = top;
    *sum_out = reduce_add(sum);
  }

  /// values[query][block .. block + B) += p[query][key] · v[key] for keys [begin, end).
  template <int Q, int B, bool kTail>
  static ISOTOPE_INLINE void add_values(const float* p, const PartKeys& keys, int begin, int end,
                                        std::ptrdiff_t offset, int block, int rest, float* values,
                                        int v_stride) {
    constexpr int kCount = B * Kv::kVectors;
    Vec acc[Q][kCount];
    unroll<Q>([&](auto i) __attribute__((always_inline)) {
      unroll<kCount>([&](auto j) __attribute__((always_inline)) {
        acc[i][j] = load(values + i * v_stride + block * kBlock + j * kLanes);
      });
    });
    for (int key = begin; key < end; ++key) {
      Vec x[kCount];
      unroll<B>([&](auto b) __attribute__((always_inline)) {
        const std::uint8_t* row =
            at(static_cast<const std::uint8_t*>(keys.v[key]) + offset, block + b);
        if constexpr (kTail)
          Kv::load_n(row, rest, x + b * Kv::kVectors);
        else
          Kv::load(row, x + b * Kv::kVectors);
      });
      unroll<Q>([&](auto i) __attribute__((always_inline)) {
        const Vec weight = set1(p[i * kPartKeys + key]);
        unroll<kCount>([&](auto j) __attribute__((always_inline)) {
          acc[i][j] = fma(weight, x[j], acc[i][j]);
        });
      });
    }
    unroll<Q>([&](auto i) __attribute__((always_inline)) {
      unroll<kCount>([&](auto j) __attribute__((always_inline)) {
        store(values + i * v_stride + block * kBlock + j * kLanes, acc[i][j]);
      });
    });
  }

  /// As above for the whole head.
  template <int Q>
  static ISOTOPE_INLINE void add_values(const float* p, const PartKeys& keys, int kv_head,
                                        int begin, int end, int head_dim, float* values,
                                        int v_stride) {
    // Accumulators: Q · kWide · kVectors is 16 with AVX-512 (8 with AVX2), enough to hide the
    // latency of the fused multiply-adds; one query alone takes 8.
    constexpr int kWide = (Q == kMaxGroup ? 4 : 8) / Kv::kVectors;
    if (begin >= end) return;
    const std::ptrdiff_t offset = std::ptrdiff_t(kv_head) * head_dim * Kv::kElementBytes;
    const int full = head_dim / kBlock, rest = head_dim % kBlock;
    int block = 0;
    for (; block + kWide <= full; block += kWide)
      add_values<Q, kWide, false>(p, keys, begin, end, offset, block, rest, values, v_stride);
    for (; block < full; ++block)
      add_values<Q, 1, false>(p, keys, begin, end, offset, block, rest, values, v_stride);
    if (rest) add_values<Q, 1, true>(p, keys, begin, end, offset, full, rest, values, v_stride);
  }

  /// Calls body(first query, integral constant Q) for register blocks of queries.
  template <typename Body>
  static ISOTOPE_INLINE void for_groups(int queries, Body&& body) {
    int i = 0;
    for (; i + kMaxGroup <= queries; i += kMaxGroup)
      body(i, std::integral_constant<int, kMaxGroup>{});
    if constexpr (kMaxGroup > 2) {
      for (; i + 2 <= queries; i += 2) body(i, std::integral_constant<int, 2>{});
    }
    for (; i < queries; ++i) body(i, std::integral_constant<int, 1>{});
  }

  /// Inlined by force: GCC 12 takes a function that only prefetches for pure, and drops calls to
  /// it.
  static ISOTOPE_INLINE void prefetch(const void* const* tokens, int begin, int end,
                                      std::ptrdiff_t bytes) {
    for (int key = begin; key < end; ++key) {
      for (std::ptrdiff_t byte = 0; byte < bytes; byte += 64)
        _mm_prefetch(static_cast<const char*>(tokens[key]) + byte, _MM_HINT_T1);
    }
  }

  /// One head's share of the tokens that are read kKeysAhead keys later. Whole tokens at a time,
  /// because memory gives single heads at half the bandwidth; spread over the heads, because few
  /// requests may be under way.
  static ISOTOPE_INLINE void prefetch_share(const void* const* tokens, int count, int begin,
                                            int step, int head, int heads, std::ptrdiff_t bytes) {
    const int first = begin + kKeysAhead + step * head / heads,
              last = begin + kKeysAhead + step * (head + 1) / heads;
    prefetch(tokens, smaller(first, count), smaller(last, count), bytes);
  }

  static void attend(const QueryBlock& block, const PartKeys& keys, float* scores,
                     PartialView result) {
    const int width = stride(block.head_dim), n = block.queries;
    const int step = n > kFewQueries ? kStepKeys : kStepKeysOfFew;
    const std::ptrdiff_t bytes =
        std::ptrdiff_t(block.kv_heads) * block.head_dim * Kv::kElementBytes;
    for (int begin = 0; begin < keys.count; begin += step) {
      const int end = smaller(begin + step, keys.count);
      for (int head = 0; head < block.kv_heads; ++head) {
        prefetch_share(keys.k, keys.count, begin, step, head, block.kv_heads, bytes);
        score_step(block, keys, head, begin, end, scores + head * n * kPartKeys);
      }
    }
    for (int head = 0; head < block.kv_heads; ++head) {
      const Scales scales(keys, head);
      for (int i = 0; i < n; ++i) {
        const int query = head * n + i;
        if (block.counts[i] > 0)
          softmax(scores + query * kPartKeys, block.counts[i], scales, block.scale,
                  result.max + query, result.sum + query);
      }
    }
    std::memset(result.values, 0, sizeof(float) * std::size_t(block.kv_heads * n * width));
    for (int begin = 0; begin < keys.count; begin += step) {
      const int end = smaller(begin + step, keys.count);
      for (int head = 0; head < block.kv_heads; ++head) {
        prefetch_share(keys.v, keys.count, begin, step, head, block.kv_heads, bytes);
        value_step(block, keys, head, begin, end, scores + head * n * kPartKeys,
                   result.values + head * n * width);
      }
    }
  }

  static ISOTOPE_INLINE void score_step(const QueryBlock& block, const PartKeys& keys, int head,
                                        int begin, int end, float* scores) {
    const int width = stride(block.head_dim);
    const float* q = block.q + head * block.queries * width;
    for_groups(
        block.queries, [&](int i, auto group) __attribute__((always_inline)) {
          score_block<group>(q + i * width, width, keys, head, begin, end, block.head_dim,
                             scores + i * kPartKeys);
        });
  }

  static ISOTOPE_INLINE void value_step(const QueryBlock& block, const PartKeys& keys, int head,
                                        int begin, int end, const float* scores, float* values) {
    const int width = stride(block.head_dim), dim = block.head_dim;
    for_groups(
        block.queries, [&](int i, auto group) __attribute__((always_inline)) {
          // Keys that all queries of the group see, together; what is beyond, each sees alone:
          // nothing of a later token, not even an infinity times zero, may enter the sum of an
          // earlier one.
          int common = end;
          for (int j = 0; j < group; ++j) common = smaller(common, block.counts[i + j]);
          add_values<group>(scores + i * kPartKeys, keys, head, begin, common, dim,
                            values + i * width, width);
          if (common < begin) common = begin;
          for (int j = i; j < i + group; ++j) {
            const int last = smaller(end, block.counts[j]);
            add_values<1>(scores + j * kPartKeys, keys, head, common, last, dim, values + j * width,
                          width);
          }
        });
  }

  static void merge(const QueryBlock& block, PartialView into, PartialView from) {
    const int width = stride(block.head_dim);
    for (int i = 0; i < block.kv_heads * block.queries; ++i) {
      if (block.counts[i % block.queries] <= 0) continue;
      const Vec top = max(set1(into.max[i]), set1(from.max[i]));
      const Vec a = exp(sub(set1(into.max[i]), top)), b = exp(sub(set1(from.max[i]), top));
      store_n(into.max + i, top, 1);
      store_n(into.sum + i, fma(a, set1(into.sum[i]), mul(b, set1(from.sum[i]))), 1);
      float* x = into.values + i * width;
      const float* y = from.values + i * width;
      for (int j = 0; j < width; j += kLanes)
        store(x + j, fma(a, load(x + j), mul(b, load(y + j))));
    }
  }

  static void load_query(const void* q, DType dtype, int head_dim, float* out) {
    alignas(64) float plain[kMaxHeadDim + kBlock];
    const int width = stride(head_dim);
    for (int i = 0; i < width; i += kLanes) {
      const int n = head_dim - i > 0 ? head_dim - i : 0;
      store(plain + i, dtype == DType::f32 ? load_n(static_cast<const float*>(q) + i, n)
                                           : load_n(static_cast<const bfloat16*>(q) + i, n));
    }
    for (int block = 0; block < width; block += kBlock) {
      for (int j = 0; j < Kv::kVectors; ++j) {
        for (int lane = 0; lane < kLanes; ++lane)
          out[block + j * kLanes + lane] = plain[block + Kv::element(j, lane)];
      }
    }
  }

  static void store_output(const float* values, float sum, int head_dim, void* out, DType dtype) {
    alignas(64) float plain[kMaxHeadDim + kBlock];
    const int width = stride(head_dim);
    for (int block = 0; block < width; block += kBlock) {
      for (int j = 0; j < Kv::kVectors; ++j) {
        for (int lane = 0; lane < kLanes; ++lane)
          plain[block + Kv::element(j, lane)] = values[block + j * kLanes + lane];
      }
    }
    for (int i = 0; i < head_dim; i += kLanes) {
      const Vec x = div(load(plain + i), set1(sum));
      if (dtype == DType::f32)
        store_n(static_cast<float*>(out) + i, x, head_dim - i);
      else
        store_n(static_cast<bfloat16*>(out) + i, x, head_dim - i);
    }
  }

  static constexpr AttentionKernel kernel() {
    return {stride, load_query, attend, merge, store_output};
  }
};

}  // namespace
}  // namespace isotope::ops::cpu
