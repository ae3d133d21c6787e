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

ISOTOPE_DEVICE float silu(float v) { return v * rcp(1.0f + exp(-v)); }

/// y[at…] = v or += v, where y's rows allow no vectors; `count` of the values exist.
template <int kCount>
ISOTOPE_DEVICE void write_singly(const PrefillParams& p, i64 at, int count, const float (&v)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (i >= count) continue;
    float* const y = static_cast<float*>(p.y) + at + i;
    if (!p.y_is_f32)
      static_cast<u16*>(p.y)[at + i] = float_to_bf16(v[i]);
    else
      *y = p.epilogue == prefill_add ? *y + v[i] : v[i];
  }
}

/// kVectors times kCount (4 or 8) values: v[i] goes to y[at + i · step…] if ok(i). Old values are all on their way before
/// the first is needed.
template <int kVectors, int kCount, typename Ok>
ISOTOPE_DEVICE void write_vectors(const PrefillParams& p, i64 at, i64 step, float (&v)[kVectors][kCount], Ok ok) {
  if (!p.y_is_f32) {
    u16* const y = static_cast<u16*>(p.y) + at;
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      if (!ok(i)) continue;
      if constexpr (kCount == 4)
        store8(y + i * step, Vec8{{bf16x2_of(v[i][0], v[i][1]), bf16x2_of(v[i][2], v[i][3])}});
      else
        store16(y + i * step, Vec16{{bf16x2_of(v[i][0], v[i][1]), bf16x2_of(v[i][2], v[i][3]),
                                     bf16x2_of(v[i][kCount - 4], v[i][kCount - 3]),
                                     bf16x2_of(v[i][kCount - 2], v[i][kCount - 1])}});
    }
    return;
  }
  float* const y = static_cast<float*>(p.y) + at;
  if (p.epilogue == prefill_add) {
    float old[kVectors][kCount];
#pragma unroll
    for (int i = 0; i < kVectors; ++i)
#pragma unroll
      for (int j = 0; j < kCount; j += 4) {
        Vec16 w = {};
        if (ok(i)) w = load16(y + i * step + j);
#pragma unroll
        for (int m = 0; m < 4; ++m) old[i][j + m] = float_of(w.w[m]);
      }
#pragma unroll
    for (int i = 0; i < kVectors; ++i)
#pragma unroll
      for (int j = 0; j < kCount; ++j) v[i][j] += old[i][j];
  }
#pragma unroll
  for (int i = 0; i < kVectors; ++i)
#pragma unroll
    for (int j = 0; j < kCount; j += 4)
      if (ok(i))
        store16(y + i * step + j,
                Vec16{{bits_of(v[i][j]), bits_of(v[i][j + 1]), bits_of(v[i][j + 2]), bits_of(v[i][j + 3])}});
}

#if !defined(ISOTOPE_GFX12)

/// kGroups groups of 8 output features from `f`, in rows `row` + g and + g + 8; see write_sums. Lanes trade halves of two
/// groups, so that each has four columns in a row of one group.
template <int kGroups, int kAll>
ISOTOPE_DEVICE void write_groups(const PrefillParams& p, i64 row, int f, const float (&sum)[kAll][4]) {
  const int odd = lane_index() & 1, half = lane_index() >> 1 & 1;
  row += lane_index() / 4;
  f += odd * 8 + half * 4;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float v[kGroups / 2][4];
#pragma unroll
    for (int j = 0; j < kGroups; j += 2) {
      const float a0 = sum[j][r * 2], a1 = sum[j][r * 2 + 1], b0 = sum[j + 1][r * 2], b1 = sum[j + 1][r * 2 + 1];
      const float other0 = shuffle_xor(odd ? a0 : b0, 1), other1 = shuffle_xor(odd ? a1 : b1, 1);
      v[j / 2][0] = odd ? other0 : a0;
      v[j / 2][1] = odd ? other1 : a1;
      v[j / 2][2] = odd ? b0 : other0;
      v[j / 2][3] = odd ? b1 : other1;
    }
    const i64 y_row = row + r * 8, at = y_row * p.y_stride + f;
    const int outputs = y_row < p.rows ? p.outputs : 0;
    if (p.vectors) {
      write_vectors(p, at, 16, v, [&](int i) { return f + i * 16 < outputs; });
    } else {
#pragma unroll
      for (int i = 0; i < kGroups / 2; ++i) write_singly(p, at + i * 16, outputs - f - i * 16, v[i]);
    }
  }
}

/// The sums of a warp's 16 rows from `row` and kGroups groups of 8 packed features from `feature`, as NVIDIA's matrix
/// units leave them: lane 4·g + t has columns 2t, 2t + 1 of each group, in row g at sum[group][0, 1] and in row g + 8 at
/// [2, 3]. A feature's scale, if any, comes last.
template <int kGroups>
ISOTOPE_DEVICE void write_sums(const PrefillParams& p, i64 row, int feature, float (&sum)[kGroups][4], bool scaled) {
  if (scaled && p.w_scales) {
#pragma unroll
    for (int j = 0; j < kGroups; ++j) {
      const int f = feature + j * 8 + lane_index() % 4 * 2;
      if (f >= p.w_tiles * 128) continue;
      const float s0 = p.w_scales[f], s1 = p.w_scales[f + 1];
      sum[j][0] *= s0, sum[j][1] *= s1, sum[j][2] *= s0, sum[j][3] *= s1;
    }
  }
  if (p.epilogue != prefill_swiglu) return write_groups<kGroups>(p, row, feature, sum);
#pragma unroll
  for (int j = 0; j < kGroups / 2; ++j)  // groups take turns: gate, up
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[j][i] = silu(sum[2 * j][i]) * sum[2 * j + 1][i];
  write_groups<kGroups / 2>(p, row, feature / 2, sum);
}

#endif

}  // namespace isotope::gpu
