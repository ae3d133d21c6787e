// A tile of prefill on NVIDIA: four warps of 32 query vectors, two operands A each, over mma.m16n8k16, so that what is read of
// K and V serves both; with FP8, whose scales take registers too, eight warps of 16. K and V of the next block of keys are
// copied to shared memory while one is computed; FP8 is copied as it is and widened there.
//
// Lane l = 4·g + t. In shared memory a row is kDim BF16 values; its vectors of 16 bytes lie in an order that depends on the
// row, so that the eight rows of a matrix fall on different banks.
#pragma once

namespace isotope::gpu {

constexpr int kThreads = prefill_threads_sm(kFp8), kBlocks = kFp8 && kDim == 128 ? 1 : 2;
constexpr int kWarpQueries = kQueries / (kThreads / kWarp), kOperands = kWarpQueries / 16;
constexpr int kChunks = kDim / 8;  ///< vectors of a row
constexpr int kRowBytes = kDim * 2;
constexpr int kQueryBytes = kQueries * kRowBytes, kTileBytes = kKeys * kRowBytes;
constexpr int kRawBytes = kKeys * kDim;  ///< of K or V as FP8
/// Queries; K and V, twice if they arrive in BF16; else once, behind them K and V as FP8, twice, and the scales.
constexpr int kKeysAt = kQueryBytes, kValuesAt = kKeysAt + kTileBytes;
constexpr int kStageBytes = kFp8 ? 2 * kRawBytes : 2 * kTileBytes;
constexpr int kRawAt = kValuesAt + kTileBytes;  ///< of FP8, or of the second K and V
constexpr int kScalesAt = kRawAt + (kFp8 ? 2 : 1) * kStageBytes;
/// Behind the scales of 64 keys and of their values, twice, a word a thread: see mend_values().
constexpr int kScaleBytes = kFp8 ? 2 * kKeys * 4 : 0;
constexpr int kBadAt = kScalesAt + 2 * kScaleBytes;
static_assert(kBadAt + (kFp8 ? 0 : kThreads * 4) == prefill_shared_sm(kDim, kFp8));

ISOTOPE_DEVICE int place(int row, int chunk) { return row * kRowBytes + (chunk ^ (row & 7)) * 16; }
/// From place(row, chunk) to place(row, chunk + chunks) where the two numbers have no bit in common.
ISOTOPE_DEVICE int along(int place, int chunks) { return place ^ chunks * 16; }

/// The vectors of K or V that a thread copies: chunk copy_chunk of keys copy_key(0), copy_key(1), …
constexpr int kCopyChunks = kDim * kKvBytes / 16;
constexpr int kCopyStep = kThreads / kCopyChunks, kCopies = kKeys / kCopyStep;
ISOTOPE_DEVICE int copy_chunk(int thread) { return thread % kCopyChunks; }
ISOTOPE_DEVICE int copy_key(int thread, int i) { return thread / kCopyChunks + i * kCopyStep; }

/// Starts copying keys first … first + 63 and their scales; keys behind `last` are read as `last`.
ISOTOPE_DEVICE void copy_keys(const AttentionParams& p, const QueryTile& of, int first, u8* stage,
                              float* scales) {
  const QueryTile tile = of;  // out of shared memory once
  u8* to_k = stage;
  u8* to_v = stage + kStageBytes / 2;
  const int thread = afresh(thread_index());
  KeyTile keys = {};
#pragma unroll
  for (int i = 0; i < kCopies; ++i) {
    const int key = copy_key(thread, i), position = min(first + key, tile.last);
    i64 vector;
    if constexpr (ISOTOPE_ATTENTION_WHOLE && kCopyStep <= 16) {
      // A look into the table serves 16 keys.
      const int sixteen = min(first + i * kCopyStep / 16 * 16, tile.last) & ~15;
      if (i * kCopyStep % 16 == 0) keys = find_tile(p, p.block_tables + tile.table, tile.kv_head, sixteen, tile.last);
      vector = keys.vector + (position - sixteen) * p.kv_heads;
    } else {
      vector = key_vector(p, p.block_tables + tile.table, tile.kv_head, position);
    }
    const i64 from = vector * (kDim * kKvBytes) + copy_chunk(thread) * 16;
    const int to = kFp8 ? (key * kCopyChunks + copy_chunk(thread)) * 16 : place(key, copy_chunk(thread));
    copy_async16(to_k + to, static_cast<const u8*>(p.k) + from);
    copy_async16(to_v + to, static_cast<const u8*>(p.v) + from);
  }
  if (kFp8 && thread < 2 * kKeys) {
    const i64 vector = key_vector(p, p.block_tables + tile.table, tile.kv_head, min(first + thread % kKeys, tile.last));
    copy_async4(scales + thread, (thread < kKeys ? p.k_scale : p.v_scale) + vector);
  }
  copy_async_commit();
}

/// What this thread copied of K and V, from FP8 to BF16. A value of the future that is NaN must not reach rows of the past:
/// its scale, which is NaN with it, is enough for the others.
ISOTOPE_DEVICE void widen(const u8* stage, u8* keys, u8* values) {
  const int thread = afresh(thread_index());
#pragma unroll 1
  for (int which = 0; which < 2; ++which) {
#pragma unroll 1
    for (int i = 0; i < kCopies; ++i) {
      const int key = copy_key(thread, i);
      const Vec16 v = load16(stage + which * kRawBytes + (key * kCopyChunks + copy_chunk(thread)) * 16);
      u8* to = which == 0 ? keys : values;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        Vec16 wide;
#pragma unroll
        for (int w = 0; w < 4; ++w) wide.w[w] = fp8x2_to_bf16x2(u16(v.w[2 * half + w / 2] >> w % 2 * 16));
        if (which == 1 && any_special(wide)) wide = {};
        store16(to + place(key, 2 * copy_chunk(thread) + half), wide);
      }
    }
  }
}

/// Values that are not finite become 0; *bad the position of the first such key that this thread found.
ISOTOPE_DEVICE void mend_values(u8* values, int first, int* bad) {
#pragma unroll 1
  for (int i = thread_index(); i < kKeys * kChunks; i += kThreads) {
    u8* at = values + place(i / kChunks, i % kChunks);
    if (!any_special(load16(at))) continue;
    store16(at, {});
    *bad = min(*bad, first + i / kChunks);
  }
}

/// State of a lane: query vectors kWarpQueries·warp + 16·i + g + 8·j.
struct PrefillState {
  float total[kOperands][kDim / 8][4], top[kOperands][2], sum[kOperands][2];
};
using PrefillScores = float[kOperands][kKeys / 8][4];

ISOTOPE_DEVICE int lane_query(int i, int j) { return warp_index() * kWarpQueries + i * 16 + j * 8 + lane_index() / 4; }

ISOTOPE_DEVICE void score(const u8* queries, const u8* keys, PrefillScores& s) {
  const int thread = afresh(thread_index()), lane = thread % kWarp;
  const int from_q = place(thread / kWarp * kWarpQueries + lane % 16, lane / 16);
  const int from_k = place(lane / 16 * 8 + lane % 8, lane / 8 % 2);
#pragma unroll
  for (int i = 0; i < kOperands; ++i)
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
      for (int c = 0; c < 4; ++c) s[i][n][c] = 0.0f;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    u32 a[kOperands][4];
#pragma unroll
    for (int i = 0; i < kOperands; ++i)
      load_matrices(queries + i * 16 * kRowBytes + along(from_q, 2 * step), a[i]);
#pragma unroll
    for (int n = 0; n < kKeys / 8; n += 2) {
      u32 b[4];
      load_matrices(keys + n * 8 * kRowBytes + along(from_k, 2 * step), b);
      const u32 even[2] = {b[0], b[1]}, odd[2] = {b[2], b[3]};
#pragma unroll
      for (int i = 0; i < kOperands; ++i) {
        mma_m16n8k16_bf16(s[i][n], a[i], even);
        mma_m16n8k16_bf16(s[i][n + 1], a[i], odd);
      }
    }
  }
}

/// Scores to weights, and what was added up so far to the new scale.
template <bool masked>
ISOTOPE_DEVICE void weigh(const AttentionParams& p, const QueryTile& tile, const float* scales, int first,
                          PrefillScores& s, PrefillState& x) {
  const int t = lane_index() % 4;
#pragma unroll
  for (int i = 0; i < kOperands; ++i) {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      // Keys 2·t + … behind this one are not seen.
      const int end = masked ? p.positions[tile.row + query_row(tile, lane_query(i, j))] - first - 2 * t : 0;
      const float* lane_scales = scales + 2 * t;
      float top = x.top[i][j];
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          float& score = s[i][n][2 * j + c];
          if constexpr (kFp8) score *= lane_scales[n * 8 + c];
          if (masked && n * 8 + c > end) score = minus_infinity();
          top = max(top, score);
        }
      }
      top = max(top, shuffle_xor(top, 1));
      top = max(top, shuffle_xor(top, 2));
      // Exactly 1 where the top stays.
      const float base = -top * p.scale, old = exp2((x.top[i][j] - top) * p.scale);
      x.top[i][j] = top;
      float sum = 0.0f;
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          float& weight = s[i][n][2 * j + c];
          weight = exp2(fma(weight, p.scale, base));
          sum += weight;
          if constexpr (kFp8) {
            const float scale = lane_scales[kKeys + n * 8 + c];
            // A scale of the future may be NaN.
            weight = masked && n * 8 + c > end ? 0.0f : weight * scale;
          }
        }
      }
      x.sum[i][j] = fma(x.sum[i][j], old, sum);
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        x.total[i][n][2 * j] *= old;
        x.total[i][n][2 * j + 1] *= old;
      }
    }
  }
}

ISOTOPE_DEVICE void add_values(const PrefillScores& s, const u8* values, PrefillState& x) {
  const int lane = afresh(thread_index()) % kWarp, from = place(lane % 16, lane / 16);
#pragma unroll
  for (int k = 0; k < kKeys / 16; ++k) {
    u32 a[kOperands][4];
#pragma unroll
    for (int i = 0; i < kOperands; ++i)
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const float(&pair)[4] = s[i][2 * k + r / 2];
        a[i][r] = bf16x2_of(pair[r % 2 * 2], pair[r % 2 * 2 + 1]);
      }
#pragma unroll
    for (int n = 0; n < kDim / 8; n += 2) {
      u32 b[4];
      load_matrices_transposed(values + k * 16 * kRowBytes + along(from, n), b);
      const u32 even[2] = {b[0], b[1]}, odd[2] = {b[2], b[3]};
#pragma unroll
      for (int i = 0; i < kOperands; ++i) {
        mma_m16n8k16_bf16(x.total[i][n], a[i], even);
        mma_m16n8k16_bf16(x.total[i][n + 1], a[i], odd);
      }
    }
  }
}

/// The position of the first key that mend_values() found in anybody's share.
ISOTOPE_DEVICE int first_bad(const int* bad) {
  if constexpr (kFp8) return kNever;
  block_barrier();
  int first = kNever;
  for (int i = lane_index(); i < kThreads; i += kWarp) first = min(first, bad[i]);
#pragma unroll
  for (int m = kWarp / 2; m > 0; m >>= 1) first = min(first, shuffle_xor(first, m));
  return first;
}

/// Through the shared memory of the queries, of which a warp reads its own rows only, to whole vectors.
ISOTOPE_DEVICE void store_tile(const AttentionParams& p, const QueryTile& tile, PrefillState& x, int bad, u8* shared) {
  const int lane = lane_index(), g = lane / 4, t = lane % 4;
  warp_barrier();  // every lane has read the queries for the last time
#pragma unroll
  for (int i = 0; i < kOperands; ++i) {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      float sum = x.sum[i][j];
      sum += shuffle_xor(sum, 1);
      sum += shuffle_xor(sum, 2);
      float factor = 1.0f / sum;
      if (bad != kNever && p.positions[tile.row + query_row(tile, lane_query(i, j))] >= bad) factor = float_of(0x7fc00000u);
      u8* row = shared + lane_query(i, j) * kRowBytes;  // g is its number modulo 8
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n)
        *reinterpret_cast<u32*>(row + (n ^ g) * 16 + t * 4) =
            bf16x2_of(x.total[i][n][2 * j] * factor, x.total[i][n][2 * j + 1] * factor);
    }
  }
  warp_barrier();
#pragma unroll 4
  for (int i = lane; i < kWarpQueries * kChunks; i += kWarp) {
    const int m = warp_index() * kWarpQueries + i / kChunks, chunk = i % kChunks;
    if (is_query(tile, m))
      store_global16(static_cast<u16*>(p.out) + query_offset(p, tile, p.out_stride, m) + chunk * 8,
                     load16(shared + place(m, chunk)));
  }
}

/// `tile` is in shared memory, so that it does not take registers.
ISOTOPE_DEVICE void attend(const AttentionParams& p, const QueryTile& tile) {
  constexpr int kFirstStage = kFp8 ? kRawAt : kKeysAt;
  u8* shared = dynamic_shared();
  float* scales = reinterpret_cast<float*>(shared + kScalesAt);
  int* bad = reinterpret_cast<int*>(shared + kBadAt);
  if constexpr (!kFp8) bad[thread_index()] = kNever;
#pragma unroll 4
  for (int i = thread_index(); i < kQueries * kChunks; i += kThreads)
    copy_async16(shared + place(i / kChunks, i % kChunks),
                 static_cast<const u16*>(p.q) + query_offset(p, tile, p.q_stride, i / kChunks) + i % kChunks * 8);
  copy_keys(p, tile, 0, shared + kFirstStage, scales);
  PrefillState x = {};
#pragma unroll
  for (int i = 0; i < kOperands; ++i)
#pragma unroll
    for (int j = 0; j < 2; ++j) x.top[i][j] = minus_infinity();
#pragma unroll 1
  for (int first = 0; first <= tile.last; first += kKeys) {
    const int turn = first / kKeys % 2;
    u8* stage = shared + kFirstStage + turn * kStageBytes;
    u8* keys = kFp8 ? shared + kKeysAt : stage;
    u8* values = kFp8 ? shared + kValuesAt : stage + kTileBytes;
    copy_async_wait<0>();
    block_barrier();  // this block's keys are there, and everybody has done with the last one's
    if constexpr (kFp8) widen(stage, keys, values);
    if (first + kKeys <= tile.last)
      copy_keys(p, tile, first + kKeys, shared + kFirstStage + (1 - turn) * kStageBytes,
                scales + (1 - turn) * (kScaleBytes / 4));
    const bool masked = first + kKeys - 1 > tile.first;
    if (!kFp8 && masked) mend_values(values, first, bad + thread_index());
    if (kFp8 || masked) block_barrier();
    PrefillScores s;
    score(shared, keys, s);
    if (masked)
      weigh<true>(p, tile, scales + turn * (kScaleBytes / 4), first, s, x);
    else
      weigh<false>(p, tile, scales + turn * (kScaleBytes / 4), first, s, x);
    add_values(s, values, x);
  }
  store_tile(p, tile, x, first_bad(bad), shared);
}

}  // namespace isotope::gpu
