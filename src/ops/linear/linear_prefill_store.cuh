// What a prefill product does with its sums: store, add to the residual stream, or SwiGLU. Shared by the portable kernel
// and the one for wgmma.
#pragma once

#include "ops/linear/linear_prefill_params.h"

namespace isotope::gpu {

/// Which tile of rows and of features a block works on. Rows run fastest within a group of row tiles, so that the
/// weights of a column of tiles are read from memory once and the inputs of a group stay in the L2 cache.
struct PrefillTile {
  int row, column;
};
ISOTOPE_DEVICE PrefillTile prefill_tile(int index, int row_tiles, int columns, int group) {
  const int first = index / (group * columns) * group;
  const int rows = min(group, row_tiles - first);
  const int inside = index - first * columns;
  return {first + inside % rows, inside / rows};
}

/// y[row, f…f + kCount) = v, or += v; kCount is 4 or 8.
template <int kCount>
ISOTOPE_DEVICE void write_values(const PrefillParams& p, i64 row, int f, const float (&v)[kCount]) {
  if (row >= p.rows) return;
  const i64 at = row * p.y_stride + f;
  if (p.vectors && f + kCount <= p.outputs) {
    if (p.y_is_f32) {
      float* const y = static_cast<float*>(p.y) + at;
#pragma unroll
      for (int i = 0; i < kCount; i += 4) {
        Vec16 w = {};
        if (p.epilogue == prefill_add) w = load16(y + i);
#pragma unroll
        for (int j = 0; j < 4; ++j)
          w.w[j] = bits_of(p.epilogue == prefill_add ? float_of(w.w[j]) + v[i + j] : v[i + j]);
        store16(y + i, w);
      }
    } else {
      u16* const y = static_cast<u16*>(p.y) + at;
      if constexpr (kCount == 4) {
        store8(y, Vec8{{bf16x2_of(v[0], v[1]), bf16x2_of(v[2], v[3])}});
      } else {
        Vec16 w;
#pragma unroll
        for (int i = 0; i < 4; ++i) w.w[i] = bf16x2_of(v[2 * i], v[2 * i + 1]);
        store16(y, w);
      }
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (f + i >= p.outputs) continue;
    float* const y = static_cast<float*>(p.y) + at + i;
    if (!p.y_is_f32)
      static_cast<u16*>(p.y)[at + i] = float_to_bf16(v[i]);
    else
      *y = p.epilogue == prefill_add ? *y + v[i] : v[i];
  }
}

ISOTOPE_DEVICE float silu(float v) { return v * rcp(1.0f + exp(-v)); }

#if !defined(ISOTOPE_GFX12)
/// Sums of two neighbouring groups of 8 output features, `feature` the first, as NVIDIA's matrix units leave them: lane
/// 4·g + t has columns 2t, 2t + 1 of each in one row. Lanes trade halves, so that each writes four columns in a row.
ISOTOPE_DEVICE void write_groups(const PrefillParams& p, i64 row, int feature, float a0, float a1, float b0, float b1) {
  const int odd = lane_index() & 1, half = lane_index() >> 1 & 1;
  const float other0 = shuffle_xor(odd ? a0 : b0, 1), other1 = shuffle_xor(odd ? a1 : b1, 1);
  const float v[4] = {odd ? other0 : a0, odd ? other1 : a1, odd ? b0 : other0, odd ? b1 : other1};
  write_values(p, row, feature + odd * 8 + half * 4, v);
}

/// The sums of a warp's rows g and g + 8 (from `row`) and kGroups groups of 8 packed features from `feature`:
/// sum[group][0, 1] of the first row, [2, 3] of the second. A feature's scale, if any, comes last.
template <int kGroups>
ISOTOPE_DEVICE void write_sums(const PrefillParams& p, i64 row, int feature, float (&sum)[kGroups][4], bool scaled) {
  const int t = lane_index() % 4;
  if (scaled && p.w_scales) {
#pragma unroll
    for (int j = 0; j < kGroups; ++j) {
      const int f = feature + j * 8 + t * 2;
      if (f >= p.w_tiles * 128) continue;
      const float s0 = p.w_scales[f], s1 = p.w_scales[f + 1];
      sum[j][0] *= s0, sum[j][1] *= s1, sum[j][2] *= s0, sum[j][3] *= s1;
    }
  }
  row += lane_index() / 4;
  if (p.epilogue == prefill_swiglu) {  // groups take turns: gate, up
    static_assert(kGroups % 4 == 0);
#pragma unroll
    for (int j = 0; j < kGroups; j += 4)
#pragma unroll
      for (int r = 0; r < 4; r += 2)
        write_groups(p, row + r * 4, (feature + j * 8) / 2, silu(sum[j][r]) * sum[j + 1][r],
                     silu(sum[j][r + 1]) * sum[j + 1][r + 1], silu(sum[j + 2][r]) * sum[j + 3][r],
                     silu(sum[j + 2][r + 1]) * sum[j + 3][r + 1]);
    return;
  }
#pragma unroll
  for (int j = 0; j < kGroups; j += 2)
#pragma unroll
    for (int r = 0; r < 4; r += 2)
      write_groups(p, row + r * 4, feature + j * 8, sum[j][r], sum[j][r + 1], sum[j + 1][r], sum[j + 1][r + 1]);
}
#endif

}  // namespace isotope::gpu
