// A warp's work on 16 keys of one KV head on NVIDIA, K and V straight from memory to the operands of mma.m16n8k16.
//
// Lane l = 4·g + t. Scores: rows of the product are query heads, columns keys; k runs over the head in an order that makes
// a lane's share of a key whole vectors. Output, transposed: rows are elements of the head, columns query heads, k runs over
// keys; the accumulators of the scores are its B operand as they stand.
#pragma once

#include "ops/attention/attention_common.cuh"

namespace isotope::gpu {

constexpr int kTileKeys = 16;
constexpr int kHeadTiles = (kGroup + 7) / 8;  ///< of eight query heads
constexpr int kScores = 4;                    ///< keys a lane holds of one head tile
constexpr int kTiles = kDim / 16;             ///< of 16 elements of the output
constexpr int kParts = 4;                     ///< floats of one tile
constexpr int kStageBytes = 0;                ///< shared memory of a warp

constexpr int kKeyVectors = kDim * kKvBytes / 64;  ///< a lane reads of one key
constexpr int kPerVector = 16 / kKvBytes;
/// A lane reads kPerValue elements at a time of a value, at 8 lanes a value.
constexpr int kPerValue = kPerVector < kDim / 8 ? kPerVector : kDim / 8;
constexpr int kValueVectors = kDim / 8 / kPerValue;

struct Keys {
  Vec16 v[2][kKeyVectors];  ///< keys g and g + 8
  float scale[kScores];
};
struct Values {
  u32 w[kScores][kValueVectors * kPerValue * kKvBytes / 4];
  float scale[kScores];
};

/// Score i of a lane belongs to key score_key(i) of the tile and, in head tile h, to head score_head(h).
ISOTOPE_DEVICE int score_key(int i) { return i / 2 * 8 + lane_index() % 4 * 2 + i % 2; }
ISOTOPE_DEVICE int score_head(int h) { return h * 8 + lane_index() / 4; }
ISOTOPE_DEVICE float over_keys_max(float v) {
  v = max(v, shuffle_xor(v, 1));
  return max(v, shuffle_xor(v, 2));
}
ISOTOPE_DEVICE float over_keys_sum(float v) {
  v += shuffle_xor(v, 1);
  return v + shuffle_xor(v, 2);
}
/// Part i of a tile belongs to this head and this element.
ISOTOPE_DEVICE int part_head(int h, int i) { return h * 8 + lane_index() % 4 * 2 + i % 2; }
ISOTOPE_DEVICE int part_element(int tile, int i) {
  const int e = tile + i / 2 * kTiles;  // of the lane's kDim / 8
  return e / kPerValue * (8 * kPerValue) + lane_index() / 4 * kPerValue + e % kPerValue;
}
/// What parts of heads part_head(h, 0) and part_head(h, 1) are multiplied by, from a factor of head score_head(h).
ISOTOPE_DEVICE void part_factors(float of_head, float (&factor)[2]) {
  const int lane = lane_index() % 4 * 8;
  factor[0] = shuffle(of_head, lane);
  factor[1] = shuffle(of_head, lane + 4);
}

ISOTOPE_DEVICE void load_keys(const AttentionParams& p, const int* table, int kv_head, const KeyTile& tile, Keys& to) {
  const int g = lane_index() / 4, t = lane_index() % 4;
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    const i64 vector = tile_vector(p, table, kv_head, tile, g + 8 * n);
    const u8* from = static_cast<const u8*>(p.k) + vector * (kDim * kKvBytes) + t * 16;
#pragma unroll
    for (int j = 0; j < kKeyVectors; ++j) to.v[n][j] = load_stream(from + j * 64);
  }
  if constexpr (kFp8) {
#pragma unroll
    for (int i = 0; i < kScores; ++i)
      to.scale[i] = p.k_scale[tile_vector(p, table, kv_head, tile, score_key(i))];
  }
}

ISOTOPE_DEVICE void load_values(const AttentionParams& p, const int* table, int kv_head, const KeyTile& tile,
                                Values& to) {
  const int g = lane_index() / 4;
#pragma unroll
  for (int i = 0; i < kScores; ++i) {
    const i64 vector = tile_vector(p, table, kv_head, tile, score_key(i));
    const u8* from = static_cast<const u8*>(p.v) + vector * (kDim * kKvBytes) + g * (kPerValue * kKvBytes);
#pragma unroll
    for (int j = 0; j < kValueVectors; ++j) {
      if constexpr (kPerValue * kKvBytes == 16) {
        const Vec16 v = load_stream(from + j * 128);
#pragma unroll
        for (int w = 0; w < 4; ++w) to.w[i][4 * j + w] = v.w[w];
      } else {
        const Vec8 v = load8(from + j * 64);
        to.w[i][2 * j] = v.w[0];
        to.w[i][2 * j + 1] = v.w[1];
      }
    }
    if constexpr (kFp8) to.scale[i] = p.v_scale[vector];
  }
}

/// q · k of every head and key, without any scale. `q` is in shared memory, rows of kQueryRow; what is computed for rows
/// behind the group is nobody's.
ISOTOPE_DEVICE void score(const u16* q, const Keys& keys, u8*, float (&s)[kHeadTiles][kScores]) {
  static_assert(kHeadTiles <= 2, "an A operand holds 16 heads");
  const u16* rows[kHeadTiles];
#pragma unroll
  for (int h = 0; h < kHeadTiles; ++h)
    rows[h] = q + min(score_head(h), kGroup - 1) * kQueryRow + lane_index() % 4 * kPerVector;
  float d[2][4] = {};
#pragma unroll
  for (int step = 0; step < kTiles; ++step) {
    constexpr int kSteps = kPerVector / 4;  // of one vector
    u32 a[4] = {};
#pragma unroll
    for (int h = 0; h < kHeadTiles; ++h) {
      const Vec8 v = load8(rows[h] + step / kSteps * 4 * kPerVector + step % kSteps * 4);
      a[h] = v.w[0];
      a[h + 2] = v.w[1];
    }
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      u32 b[2];
      if constexpr (kFp8) {
        const u32 word = keys.v[n][step / 4].w[step % 4];
        b[0] = fp8x2_to_bf16x2(u16(word));
        b[1] = fp8x2_to_bf16x2(u16(word >> 16));
      } else {
        b[0] = keys.v[n][step / 2].w[step % 2 * 2];
        b[1] = keys.v[n][step / 2].w[step % 2 * 2 + 1];
      }
      mma_m16n8k16_bf16(d[n], a, b);
    }
  }
#pragma unroll
  for (int h = 0; h < kHeadTiles; ++h)
#pragma unroll
    for (int i = 0; i < kScores; ++i) s[h][i] = d[i / 2][2 * h + i % 2];
}

/// total += weights · values; the weights in BF16.
ISOTOPE_DEVICE void accumulate(const float (&weight)[kHeadTiles][kScores], const Values& values,
                               float (&total)[kHeadTiles][kTiles][kParts]) {
  u32 b[kHeadTiles][2];
#pragma unroll
  for (int h = 0; h < kHeadTiles; ++h) {
    b[h][0] = bf16x2_of(weight[h][0], weight[h][1]);
    b[h][1] = bf16x2_of(weight[h][2], weight[h][3]);
  }
#pragma unroll
  for (int e = 0; e < kTiles; e += 2) {
    u32 a[2][4];  // of tiles e and e + 1
#pragma unroll
    for (int row = 0; row < 2; ++row) {
#pragma unroll
      for (int pair = 0; pair < 2; ++pair) {
        const int from = e + row * kTiles;  // and the element behind it
        u32 x, y;                           // both elements of either key
        if constexpr (kFp8) {
          x = fp8x2_to_bf16x2(u16(values.w[2 * pair][from / 4] >> from % 4 * 8));
          y = fp8x2_to_bf16x2(u16(values.w[2 * pair + 1][from / 4] >> from % 4 * 8));
        } else {
          x = values.w[2 * pair][from / 2];
          y = values.w[2 * pair + 1][from / 2];
        }
        a[0][2 * pair + row] = low_halves(x, y);
        a[1][2 * pair + row] = high_halves(x, y);
      }
    }
#pragma unroll
    for (int h = 0; h < kHeadTiles; ++h) {
      mma_m16n8k16_bf16(total[h][e], a[0], b[h]);
      mma_m16n8k16_bf16(total[h][e + 1], a[1], b[h]);
    }
  }
}

}  // namespace isotope::gpu
