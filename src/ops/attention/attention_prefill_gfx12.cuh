// A tile of prefill on RDNA4: eight waves of 16 query vectors with 16×16×16 WMMA. The next block of keys is on its way in
// registers while one is computed from shared memory, where K lies key by key and V transposed, both in BF16.
//
// Lane l = 16·h + r. Scores, transposed: rows of the product are keys, columns query vectors, so a lane has all to do with
// query vector r. Output, transposed: rows are elements of the head; the scores are its B operand as they stand.
#pragma once

namespace isotope::gpu {

constexpr int kThreads = kPrefillThreadsGfx12;
constexpr int kBlocks = kFp8 && kDim > 64 ? 2 : 3;  ///< a multiprocessor; with three, widened FP8 would spill
constexpr int kOctets = 16 / kKvBytes / 8;  ///< groups of eight elements that a 16-byte load brings
constexpr int kChunks = kDim / 8 / kOctets;  ///< loads of a row
constexpr int kKeyRow = kDim * 2 + 16;     ///< bytes of a key, and of an element of V for all keys: rows fall on other banks
constexpr int kValueRow = kKeys * 2 + 16;
constexpr int kValuesAt = kKeys * kKeyRow, kScalesAt = kValuesAt + kDim * kValueRow;
constexpr int kBadAt = kScalesAt + (kFp8 ? 2 * kKeys * 4 : 0);
static_assert(kBadAt + kThreads * 4 == prefill_shared_gfx12(kDim, kFp8));

/// The first half of the threads carries K, the second V: a chunk of each of kCarried keys. K: keys l / kChunks and every
/// kKeyStep-th from there; V: kCarried in a row. The threads of a short head that have nothing to carry do without.
constexpr int kCarried = 8 / kOctets;
constexpr int kCarriers = kKeys / kCarried * kChunks;
constexpr int kKeyStep = kKeys / kCarried;
static_assert(kCarriers <= kThreads / 2);
struct Carried {
  u32 w[kCarried][4];
  float scale;  ///< of key thread % 64: threads 0 … 63 of K, 64 … 127 of V
};
ISOTOPE_DEVICE bool carries_values() { return thread_index() >= kThreads / 2; }
ISOTOPE_DEVICE int carrier() { return thread_index() % (kThreads / 2); }
ISOTOPE_DEVICE int carried_key(int i) {
  const int at = carrier() / kChunks;
  return carries_values() ? at * kCarried + i : at + i * kKeyStep;
}

/// Keys first … first + 63; those behind `last` are read as `last`.
ISOTOPE_DEVICE void fetch(const AttentionParams& p, const QueryTile& tile, int first, Carried& to) {
  if constexpr (kFp8) {
    const i64 vector = key_vector(p, p.block_tables + tile.table, tile.kv_head, min(first + thread_index() % kKeys, tile.last));
    if (thread_index() < 2 * kKeys) to.scale = (thread_index() < kKeys ? p.k_scale : p.v_scale)[vector];
  }
  if (carrier() >= kCarriers) return;
  const u8* cache = static_cast<const u8*>(carries_values() ? p.v : p.k);
#pragma unroll
  for (int i = 0; i < kCarried; ++i) {
    const i64 vector = key_vector(p, p.block_tables + tile.table, tile.kv_head, min(first + carried_key(i), tile.last));
    const Vec16 v = load16(cache + vector * (kDim * kKvBytes) + carrier() % kChunks * 16);
#pragma unroll
    for (int w = 0; w < 4; ++w) to.w[i][w] = v.w[w];
  }
}

/// Eight elements of each key that is carried, V's transposed, into shared memory. Values that are not finite become 0; *bad the
/// position of the first such key of this thread's.
template <bool masked>
ISOTOPE_DEVICE void put_octet(Vec16 (&x)[kCarried], int octet, int first, u8* shared, int* bad) {
  if (!carries_values()) {
#pragma unroll
    for (int i = 0; i < kCarried; ++i) store16(shared + carried_key(i) * kKeyRow + octet * 16, x[i]);
    return;
  }
  if constexpr (masked) {
#pragma unroll
    for (int i = 0; i < kCarried; ++i) {
      if (!any_special(x[i])) continue;
      x[i] = {};
      *bad = min(*bad, first + carried_key(i));
    }
  }
  u8* to = shared + kValuesAt + octet * 8 * kValueRow + carried_key(0) * 2;
#pragma unroll
  for (int e = 0; e < 8; e += 2) {
    u32 even[kCarried / 2], odd[kCarried / 2];
#pragma unroll
    for (int w = 0; w < kCarried / 2; ++w) {
      even[w] = low_halves(x[2 * w].w[e / 2], x[2 * w + 1].w[e / 2]);
      odd[w] = high_halves(x[2 * w].w[e / 2], x[2 * w + 1].w[e / 2]);
    }
    if constexpr (kCarried == 8) {
      store16(to + e * kValueRow, {{even[0], even[1], even[2], even[3]}});
      store16(to + (e + 1) * kValueRow, {{odd[0], odd[1], odd[2], odd[3]}});
    } else {
      store8(to + e * kValueRow, {{even[0], even[1]}});
      store8(to + (e + 1) * kValueRow, {{odd[0], odd[1]}});
    }
  }
}

template <bool masked>
ISOTOPE_DEVICE void put(const Carried& from, int first, u8* shared, int* bad) {
  if constexpr (kFp8)
    if (thread_index() < 2 * kKeys) reinterpret_cast<float*>(shared + kScalesAt)[thread_index()] = from.scale;
  if (carrier() >= kCarriers) return;
#pragma unroll
  for (int octet = 0; octet < kOctets; ++octet) {
    Vec16 x[kCarried];
#pragma unroll
    for (int i = 0; i < kCarried; ++i) {
#pragma unroll
      for (int w = 0; w < 4; ++w) {
        if constexpr (kFp8)
          x[i].w[w] = fp8x2_to_bf16x2(u16(from.w[i][octet * 2 + w / 2] >> w % 2 * 16));
        else
          x[i].w[w] = from.w[i][w];
      }
    }
    put_octet<masked>(x, carrier() % kChunks * kOctets + octet, first, shared, bad);
  }
}

/// A lane's part of query vector 16·warp + r: half of the scores, half of the elements of each 16.
struct PrefillState {
  float total[kSteps][8], top, sum;
};
using PrefillScores = float[kKeys / 16][8];

ISOTOPE_DEVICE void score(const u32 (&q)[kSteps][4], const u8* shared, PrefillScores& s) {
  const u8* row = shared + lane_index() % 16 * kKeyRow + lane_index() / 16 * 16;
#pragma unroll
  for (int n = 0; n < kKeys / 16; ++n) {
#pragma unroll
    for (int i = 0; i < 8; ++i) s[n][i] = 0.0f;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const Vec16 a = load16(row + n * 16 * kKeyRow + step * 32);
      wmma_bf16(s[n], a.w, q[step]);
    }
  }
}

/// Scores to weights, and what was added up so far to the new scale.
template <bool masked>
ISOTOPE_DEVICE void weigh(const AttentionParams& p, const u8* shared, int first, int position, PrefillScores& s,
                          PrefillState& x) {
  const int h = lane_index() / 16;
  const float* scales = reinterpret_cast<const float*>(shared + kScalesAt) + h * 8;
  const int end = position - first - h * 8;  // keys 8·h + … behind this one are not seen
  float top = x.top;
#pragma unroll
  for (int n = 0; n < kKeys / 16; ++n) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if constexpr (kFp8) s[n][i] *= scales[n * 16 + i];
      if (masked && n * 16 + i > end) s[n][i] = minus_infinity();
      top = max(top, s[n][i]);
    }
  }
  top = max(top, shuffle_xor(top, 16));
  // Exactly 1 where the top stays.
  const float base = -top * p.scale, old = exp2((x.top - top) * p.scale);
  x.top = top;
  float sum = 0.0f;
#pragma unroll
  for (int n = 0; n < kKeys / 16; ++n) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      s[n][i] = exp2(fma(s[n][i], p.scale, base));
      sum += s[n][i];
      // A scale of the future may be NaN.
      if constexpr (kFp8) s[n][i] = masked && n * 16 + i > end ? 0.0f : s[n][i] * scales[kKeys + n * 16 + i];
    }
  }
  x.sum = fma(x.sum, old, sum);
#pragma unroll
  for (int n = 0; n < kSteps; ++n)
#pragma unroll
    for (int i = 0; i < 8; ++i) x.total[n][i] *= old;
}

ISOTOPE_DEVICE void add_values(const PrefillScores& s, const u8* shared, PrefillState& x) {
  const u8* row = shared + kValuesAt + lane_index() % 16 * kValueRow + lane_index() / 16 * 16;
#pragma unroll
  for (int k = 0; k < kKeys / 16; ++k) {
    u32 b[4];
#pragma unroll
    for (int w = 0; w < 4; ++w) b[w] = bf16x2_of(s[k][2 * w], s[k][2 * w + 1]);
#pragma unroll
    for (int n = 0; n < kSteps; ++n) {
      const Vec16 a = load16(row + n * 16 * kValueRow + k * 32);
      wmma_bf16(x.total[n], a.w, b);
    }
  }
}

/// The position of the first key that put() found in anybody's share.
ISOTOPE_DEVICE int first_bad(const int* bad) {
  block_barrier();
  int first = kNever;
  for (int i = lane_index(); i < kThreads; i += kWarp) first = min(first, bad[i]);
#pragma unroll
  for (int m = kWarp / 2; m > 0; m >>= 1) first = min(first, shuffle_xor(first, m));
  return first;
}

ISOTOPE_DEVICE void attend(const AttentionParams& p, const QueryTile& tile) {
  u8* shared = dynamic_shared();
  int* bad = reinterpret_cast<int*>(shared + kBadAt);
  bad[thread_index()] = kNever;
  const int m = warp_index() * 16 + lane_index() % 16, h = lane_index() / 16;
  Carried carried;
  fetch(p, tile, 0, carried);
  u32 q[kSteps][4];
  const u16* from = static_cast<const u16*>(p.q) + query_offset(p, tile, p.q_stride, m) + h * 8;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const Vec16 v = load16(from + step * 16);
#pragma unroll
    for (int w = 0; w < 4; ++w) q[step][w] = v.w[w];
  }
  const int position = p.positions[tile.row + query_row(tile, m)];
  PrefillState x = {};
  x.top = minus_infinity();
#pragma unroll 1
  for (int first = 0; first <= tile.last; first += kKeys) {
    const bool masked = first + kKeys - 1 > tile.first;
    block_barrier();  // everybody has done with the last block's keys
    if (masked)
      put<true>(carried, first, shared, bad + thread_index());
    else
      put<false>(carried, first, shared, bad);
    block_barrier();
    if (first + kKeys <= tile.last) fetch(p, tile, first + kKeys, carried);
    PrefillScores s;
    score(q, shared, s);
    if (masked)
      weigh<true>(p, shared, first, position, s, x);
    else
      weigh<false>(p, shared, first, position, s, x);
    add_values(s, shared, x);
  }
  float factor = 1.0f / (x.sum + shuffle_xor(x.sum, 16));
  if (position >= first_bad(bad)) factor = float_of(0x7fc00000u);
  if (!is_query(tile, m)) return;
  u16* to = static_cast<u16*>(p.out) + query_offset(p, tile, p.out_stride, m) + h * 8;
#pragma unroll
  for (int n = 0; n < kSteps; ++n) {
    const float(&v)[8] = x.total[n];
    store_global16(to + n * 16, {bf16x2_of(v[0] * factor, v[1] * factor), bf16x2_of(v[2] * factor, v[3] * factor),
                                 bf16x2_of(v[4] * factor, v[5] * factor), bf16x2_of(v[6] * factor, v[7] * factor)});
  }
}

}  // namespace isotope::gpu
