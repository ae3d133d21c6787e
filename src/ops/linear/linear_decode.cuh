// What the forms of the decode product share: streaming weights, applying scales, and what is done with sums.
//
//   ISOTOPE_LINEAR_SCALES  0 none or one per row, 1 one per eight rows and 128 values of k, 2 one per row and 128 values
//   ISOTOPE_LINEAR_DEPTH   weight tiles (16 rows × 128 bytes) in flight per warp
#pragma once

#include "ops/linear/linear_decode_params.h"
#include "ops/linear/linear_fragments.cuh"
#include "ops/linear/linear_inputs.cuh"

namespace isotope::gpu {

constexpr int kScales = ISOTOPE_LINEAR_SCALES;
constexpr int kDepth = ISOTOPE_LINEAR_DEPTH;
#if defined(ISOTOPE_GFX12)
constexpr int kTileScales = kScales == 2 ? 8 : 1;  ///< block scales that a lane needs for a weight tile
#else
constexpr int kTileScales = 2;
#endif
/// Sums are scaled for each tile of k before they are added up.
constexpr bool kScaledTiles = kScales != 0 || kInputBlockScales;

/// What a lane holds of 16 weight rows by 128 bytes of k.
struct WeightTile {
  Vec16 v[4];
  float scale[kTileScales];
};

ISOTOPE_DEVICE int scale_row(int j) {
#if defined(ISOTOPE_GFX12)
  return kScales == 2 ? lane_index() / 16 * 8 + j : lane_index() / 16;
#else
  return kScales == 2 ? lane_index() / 4 + 8 * j : j;
#endif
}

/// Where this lane's weights of a tile of k of a strip (16 packed rows) are, in vectors of 16 bytes.
ISOTOPE_DEVICE u32 tile_offset(const LinearDecodeParams& p, int strip, int tile) {
  const int row = step_row(0);
  return u32((strip >> 3) * p.k_tiles + tile) * (kTileBytes / 16) + (strip & 7) * 128 + row / 8 * 64 +
         step_vector(0) * 8 + row % 8;
}

/// `offset` by tile_offset(p, strip, tile).
ISOTOPE_DEVICE void load_tile(const LinearDecodeParams& p, u32 offset, int strip, int tile, WeightTile& w) {
  const u8* from = static_cast<const u8*>(p.weights) + u64(offset) * 16;
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    w.v[2 * step] = load_stream(from + step * 512);
    w.v[2 * step + 1] = load_stream(from + step * 512 + kSecondVector);
  }
  if constexpr (kScales != 0) {
#pragma unroll
    for (int j = 0; j < kTileScales; ++j)
      w.scale[j] = p.scales[(strip * (kScales == 2 ? 16 : 2) + scale_row(j)) * p.k_tiles + tile];
  }
}

/// Asks for weight tiles [begin, end) of a strip ahead of their use.
ISOTOPE_DEVICE void prefetch_tiles(const LinearDecodeParams& p, int strip, int begin, int end) {
  const u8* from = static_cast<const u8*>(p.weights) + i64(strip >> 3) * p.k_tiles * kTileBytes + (strip & 7) * 2048;
  for (int tile = begin + lane_index(); tile < end; tile += kWarp) prefetch_l2_range(from + i64(tile) * kTileBytes, 2048);
}

/// total += acc times the scales of the weight tile and, on gfx12, of the inputs.
ISOTOPE_DEVICE void add_scaled(float (&total)[kAccumulators], const float (&acc)[kAccumulators], const WeightTile& w,
                               float input_scale) {
#pragma unroll
  for (int i = 0; i < kAccumulators; ++i) {
#if defined(ISOTOPE_GFX12)
    const float scale = kScales == 0 ? input_scale : w.scale[kScales == 2 ? i : 0] * input_scale;
#else
    const float scale = w.scale[i / 2];
    (void)input_scale;
#endif
    total[i] = fma(acc[i], scale, total[i]);
  }
}

/// What multiplies a finished sum: per-row weight scale, power of two of the input row.
ISOTOPE_DEVICE float row_scale(const LinearDecodeParams& p, int packed_row) {
  return kScales == 0 && p.scales ? p.scales[packed_row] : 1.0f;
}

/// SiLU(gate) · up, of sums and the scales of their weight rows.
ISOTOPE_DEVICE float gated(float gate, float gate_scale, float up, float up_scale) {
  const float v = gate * gate_scale;
  return v / (1.0f + exp(-v)) * (up * up_scale);
}

ISOTOPE_DEVICE void store_output(const LinearDecodeParams& p, int m, int feature, float v) {
  const i64 at = i64(m) * p.y_stride + feature;
  if (p.y_bf16)
    static_cast<u16*>(p.y)[at] = float_to_bf16(v);
  else
    static_cast<float*>(p.y)[at] = v;
}

}  // namespace isotope::gpu
