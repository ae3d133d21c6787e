// A warp's work on 16 keys of one KV head on RDNA4, with 16×16×16 WMMA.
//
// Lane l = 16·h + r. Scores, transposed: rows of the product are keys, columns query heads. Output, transposed: rows are
// elements of the head, columns query heads, k runs over keys; the accumulators of the scores are its B operand as they
// stand. Memory is read in whole vectors by neighbouring lanes. What a lane then holds is what the output's A operand wants
// of V; K takes a turn through the warp's own shared memory.
#pragma once

#include "ops/attention/attention_common.cuh"

namespace isotope::gpu {

constexpr int kTileKeys = 16;
constexpr int kHeadTiles = 1;
constexpr int kScores = 8;
constexpr int kTiles = kDim / 16;  ///< and elements of the head that a lane holds in the end
constexpr int kParts = 8;
static_assert(kGroup <= 16);

/// Lanes that read one key: 16, or 8 where a key is short; then lane r reads keys from 4·(r / 8) of its half.
constexpr int kKeyLanes = kDim * kKvBytes >= 256 ? 16 : 8;
constexpr int kLoads = kKeyLanes / 2;                     ///< keys a lane reads of a tile
constexpr int kWords = kDim * kKvBytes / kKeyLanes / 4;  ///< of each, at most four
static_assert(kWords == 4 || kWords == 2);
constexpr int kRow = kDim * kKvBytes + 16;  ///< bytes of a key in shared memory: rows fall on different banks
constexpr int kStageBytes = kTileKeys * kRow;

struct Keys {
  u32 w[kLoads][kWords];
  float scale[kScores];
};
using Values = Keys;

ISOTOPE_DEVICE int score_key(int i) { return lane_index() / 16 * 8 + i; }
ISOTOPE_DEVICE int score_head(int) { return lane_index() % 16; }
ISOTOPE_DEVICE float over_keys_max(float v) { return max(v, shuffle_xor(v, 16)); }
ISOTOPE_DEVICE float over_keys_sum(float v) { return v + shuffle_xor(v, 16); }
ISOTOPE_DEVICE int part_head(int, int) { return lane_index() % 16; }
ISOTOPE_DEVICE int part_element(int tile, int i) {
  const int r = lane_index() / 16 * 8 + i;
  if constexpr (kKeyLanes == 16) return r * kTiles + tile;
  return r % 8 * (2 * kTiles) + r / 8 * kTiles + tile;
}
ISOTOPE_DEVICE void part_factors(float of_head, float (&factor)[2]) { factor[0] = factor[1] = of_head; }

/// Which key of a tile load i of this lane reads, and where its words begin.
ISOTOPE_DEVICE int load_key(int i) {
  const int h = lane_index() / 16, r = lane_index() % 16;
  return 8 * h + (kKeyLanes == 16 ? i : r / 8 * 4 + i);
}
ISOTOPE_DEVICE int load_byte() { return lane_index() % kKeyLanes * (kWords * 4); }

ISOTOPE_DEVICE void load_cache(const AttentionParams& p, const void* cache, const float* scales, const int* table,
                               int kv_head, const KeyTile& tile, Keys& to) {
#pragma unroll
  for (int i = 0; i < kLoads; ++i) {
    const i64 vector = tile_vector(p, table, kv_head, tile, load_key(i));
    const u8* from = static_cast<const u8*>(cache) + vector * (kDim * kKvBytes) + load_byte();
    if constexpr (kWords == 4) {
      const Vec16 v = load_stream(from);
#pragma unroll
      for (int w = 0; w < 4; ++w) to.w[i][w] = v.w[w];
    } else {
      const Vec8 v = load8(from);
      to.w[i][0] = v.w[0];
      to.w[i][1] = v.w[1];
    }
  }
  if constexpr (kFp8) {
#pragma unroll
    for (int i = 0; i < kScores; ++i)
      to.scale[i] = scales[tile_vector(p, table, kv_head, tile, score_key(i))];
  }
}
ISOTOPE_DEVICE void load_keys(const AttentionParams& p, const int* table, int kv_head, const KeyTile& tile, Keys& to) {
  load_cache(p, p.k, p.k_scale, table, kv_head, tile, to);
}
ISOTOPE_DEVICE void load_values(const AttentionParams& p, const int* table, int kv_head, const KeyTile& tile,
                                Values& to) {
  load_cache(p, p.v, p.v_scale, table, kv_head, tile, to);
}

ISOTOPE_DEVICE void score(const u16* q, const Keys& keys, u8* stage, float (&s)[kHeadTiles][kScores]) {
  warp_barrier();  // the last tile has been read
#pragma unroll
  for (int i = 0; i < kLoads; ++i) {
    u8* to = stage + load_key(i) * kRow + load_byte();
    if constexpr (kWords == 4)
      store16(to, {keys.w[i][0], keys.w[i][1], keys.w[i][2], keys.w[i][3]});
    else
      store8(to, {keys.w[i][0], keys.w[i][1]});
  }
  warp_barrier();
  const u8* row = stage + lane_index() % 16 * kRow + lane_index() / 16 * (8 * kKvBytes);
  const u16* heads = q + min(lane_index() % 16, kGroup - 1) * kQueryRow + lane_index() / 16 * 8;
  float d[8] = {};
#pragma unroll
  for (int step = 0; step < kTiles; ++step) {
    u32 a[4];
    if constexpr (kFp8) {
      const Vec8 v = load8(row + step * 16);
#pragma unroll
      for (int w = 0; w < 4; ++w) a[w] = fp8x2_to_bf16x2(u16(v.w[w / 2] >> w % 2 * 16));
    } else {
      const Vec16 v = load16(row + step * 32);
#pragma unroll
      for (int w = 0; w < 4; ++w) a[w] = v.w[w];
    }
    const Vec16 b = load16(heads + step * 16);
    wmma_bf16(d, a, b.w);
  }
#pragma unroll
  for (int i = 0; i < kScores; ++i) s[0][i] = d[i];
}

ISOTOPE_DEVICE void accumulate(const float (&weight)[kHeadTiles][kScores], const Values& values,
                               float (&total)[kHeadTiles][kTiles][kParts]) {
  u32 b[4];
#pragma unroll
  for (int w = 0; w < 4; ++w) b[w] = bf16x2_of(weight[0][2 * w], weight[0][2 * w + 1]);
  // Words of this lane's elements for the eight keys of its half.
  constexpr int kOwn = kTiles * kKvBytes / 4;
  u32 x[8][kOwn];
  if constexpr (kKeyLanes == 16) {
#pragma unroll
    for (int key = 0; key < 8; ++key)
#pragma unroll
      for (int w = 0; w < kOwn; ++w) x[key][w] = values.w[key][w];
  } else {
    // Lanes r and r + 8 read the same elements of four keys each: they swap halves.
    const bool upper = lane_index() % 16 >= 8;
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
#pragma unroll
      for (int w = 0; w < kOwn; ++w) {
        const u32 low = values.w[i][w], high = values.w[i][w + kOwn];
        const u32 other = shuffle_xor(upper ? low : high, 8);
        x[i][w] = upper ? other : low;
        x[i + 4][w] = upper ? high : other;
      }
    }
  }
#pragma unroll
  for (int e = 0; e < kTiles; e += 2) {
    u32 a[2][4];  // of tiles e and e + 1
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      u32 even = x[2 * w][e * kKvBytes / 4], odd = x[2 * w + 1][e * kKvBytes / 4];
      if constexpr (kFp8) {
        even = fp8x2_to_bf16x2(u16(even >> e % 4 * 8));
        odd = fp8x2_to_bf16x2(u16(odd >> e % 4 * 8));
      }
      a[0][w] = low_halves(even, odd);
      a[1][w] = high_halves(even, odd);
    }
    wmma_bf16(total[0][e], a[0], b);
    wmma_bf16(total[0][e + 1], a[1], b);
  }
}

}  // namespace isotope::gpu
