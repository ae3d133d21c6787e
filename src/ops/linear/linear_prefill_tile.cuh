// What one warp multiplies in the portable prefill kernel: kRows input rows × 32 features, operands in shared memory.
//
// A stage in shared memory is 64 bytes of k: panels of 8 rows, each of 4 cores of 128 bytes (8 rows × 16 bytes). Both
// vendors' loads below touch whole cores with neighbouring lanes, so no bank is asked twice. Which k of a step goes where
// in a fragment is free as long as both operands agree, and chosen so that fragments are whole vectors or words.
#pragma once

#include "ops/linear/linear_prefill_store.cuh"

namespace isotope::gpu {

constexpr int kStageK = 64;       ///< bytes of k in a stage
constexpr int kPanelBytes = 512;  ///< 8 rows of a stage
constexpr int kWarpFeatures = 32;

#if defined(ISOTOPE_GFX12)

/// Weights are A (16 rows), inputs B (16 columns): a lane's eight sums are eight neighbouring features of one input row,
/// which share a weight scale.
template <int kRows>
struct WarpSums {
  static constexpr int kFeatureTiles = kWarpFeatures / 16, kRowTiles = kRows / 16;
  float v[kFeatureTiles][kRowTiles][8];
};

template <bool kFp8>
ISOTOPE_DEVICE void multiply_vectors(float (&d)[8], const Vec16& a, const Vec16& b) {
  if constexpr (kFp8) {
    wmma_fp8(d, {a.w[0], a.w[1]}, {b.w[0], b.w[1]});
    wmma_fp8(d, {a.w[2], a.w[3]}, {b.w[2], b.w[3]});
  } else {
    wmma_bf16(d, a.w, b.w);
  }
}

/// `a`: the warp's rows of the inputs, terms `term_bytes` apart; `w`: its features.
template <bool kFp8, int kTerms, int kRows>
ISOTOPE_DEVICE void multiply(WarpSums<kRows>& sum, const u8* a, int term_bytes, const u8* w) {
  using Sums = WarpSums<kRows>;
  const int lane = lane_index();
  const int at = lane % 16 / 8 * kPanelBytes + lane / 16 * 128 + lane % 8 * 16;
#pragma unroll
  for (int step = 0; step < 2; ++step) {  // two vectors of k each
    Vec16 weight[Sums::kFeatureTiles];
#pragma unroll
    for (int f = 0; f < Sums::kFeatureTiles; ++f) weight[f] = load16(w + at + f * 2 * kPanelBytes + step * 256);
#pragma unroll
    for (int t = 0; t < kTerms; ++t)
#pragma unroll
      for (int r = 0; r < Sums::kRowTiles; ++r) {
        const Vec16 input = load16(a + t * term_bytes + at + r * 2 * kPanelBytes + step * 256);
#pragma unroll
        for (int f = 0; f < Sums::kFeatureTiles; ++f) multiply_vectors<kFp8>(sum.v[f][r], weight[f], input);
      }
  }
}

/// total += sum · scales, for 128 values of k; `row_scales` and `weight_scales` begin at the warp's.
template <int kScales, int kRows>
ISOTOPE_DEVICE void promote(WarpSums<kRows>& total, const WarpSums<kRows>& sum, const float* row_scales,
                            const float* weight_scales) {
  using Sums = WarpSums<kRows>;
  const int lane = lane_index();
#pragma unroll
  for (int r = 0; r < Sums::kRowTiles; ++r) {
    const float row_scale = row_scales[r * 16 + lane % 16];
#pragma unroll
    for (int f = 0; f < Sums::kFeatureTiles; ++f) {
      const float* const scales = weight_scales + (f * 16 + lane / 16 * 8);
      const float group = kScales == prefill_scales_end ? row_scale : row_scale * scales[0];
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const float scale = kScales == prefill_scales_feature ? row_scale * scales[i] : group;
        total.v[f][r][i] = fma(sum.v[f][r][i], scale, total.v[f][r][i]);
      }
    }
  }
}

/// kCount outputs from `f` of every sixteenth row from `row`.
template <int kRowTiles, int kCount>
ISOTOPE_DEVICE void write_rows(const PrefillParams& p, i64 row, int f, float (&v)[kRowTiles][kCount]) {
  const i64 at = row * p.y_stride + f, step = 16 * p.y_stride;
  if (p.vectors) {
    write_vectors(p, at, step, v, [&](int i) { return row + i * 16 < p.rows && f < p.outputs; });
    return;
  }
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r)
    if (row + r * 16 < p.rows) write_singly(p, at + r * step, p.outputs - f, v[r]);
}

/// Rows from `row`, packed features from `feature`.
template <int kRows>
ISOTOPE_DEVICE void write_warp(const PrefillParams& p, i64 row, int feature, WarpSums<kRows>& sum, bool scaled) {
  using Sums = WarpSums<kRows>;
  const int lane = lane_index();
#pragma unroll
  for (int f = 0; f < Sums::kFeatureTiles; ++f) {
    const int first = feature + f * 16 + lane / 16 * 8;
    if (scaled && p.w_scales) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const float scale = p.w_scales[first + i];
#pragma unroll
        for (int r = 0; r < Sums::kRowTiles; ++r) sum.v[f][r][i] *= scale;
      }
    }
    const i64 y_row = row + lane % 16;
    if (p.epilogue != prefill_swiglu) {
      write_rows(p, y_row, first, sum.v[f]);
      continue;
    }
    // Lanes below 16 have the gates, those above the ups of the same row; each takes four of the eight.
    float v[Sums::kRowTiles][4];
#pragma unroll
    for (int r = 0; r < Sums::kRowTiles; ++r)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float mine = lane < 16 ? sum.v[f][r][i] : sum.v[f][r][i + 4];
        const float other = shuffle_xor(lane < 16 ? sum.v[f][r][i + 4] : sum.v[f][r][i], 16);
        v[r][i] = lane < 16 ? silu(mine) * other : silu(other) * mine;
      }
    write_rows(p, y_row, (feature + f * 16) / 2 + lane / 16 * 4, v);
  }
}

#else

/// Inputs are A (16 rows), weights B (8 columns): a lane's four sums are two neighbouring features in two input rows.
/// FP8 becomes F16 on the way, exactly.
template <int kRows>
struct WarpSums {
  static constexpr int kGroups = kWarpFeatures / 8, kRowTiles = kRows / 16;
  float v[kRowTiles][kGroups][4];
};

ISOTOPE_DEVICE void widen(u32 word, u32* lo, u32* hi) {
  *lo = fp8x2_to_f16x2(u16(word));
  *hi = fp8x2_to_f16x2(u16(word >> 16));
}

template <bool kFp8, int kTerms, int kRows>
ISOTOPE_DEVICE void multiply(WarpSums<kRows>& sum, const u8* a, int term_bytes, const u8* w) {
  using Sums = WarpSums<kRows>;
  // Lane 4·g + t reads word t of row g of a core: one line of shared memory a load.
  a += lane_index() * 4;
  w += lane_index() * 4;
  constexpr int kVectors = kFp8 ? 1 : 2;  // of a multiplication, 16 values of k
#pragma unroll
  for (int v = 0; v < 4; v += kVectors) {
    u32 weight[Sums::kGroups][2];
#pragma unroll
    for (int j = 0; j < Sums::kGroups; ++j) {
      const u8* const core = w + j * kPanelBytes + v * 128;
      if constexpr (kFp8) {
        widen(load4(core), &weight[j][0], &weight[j][1]);
      } else {
        weight[j][0] = load4(core);
        weight[j][1] = load4(core + 128);
      }
    }
#pragma unroll
    for (int t = 0; t < kTerms; ++t)
#pragma unroll
      for (int r = 0; r < Sums::kRowTiles; ++r) {
        const u8* const core = a + t * term_bytes + r * 2 * kPanelBytes + v * 128;
        u32 input[4];
        if constexpr (kFp8) {
          widen(load4(core), &input[0], &input[2]);
          widen(load4(core + kPanelBytes), &input[1], &input[3]);
        } else {
          input[0] = load4(core);
          input[1] = load4(core + kPanelBytes);
          input[2] = load4(core + 128);
          input[3] = load4(core + kPanelBytes + 128);
        }
#pragma unroll
        for (int j = 0; j < Sums::kGroups; ++j) {
          if constexpr (kFp8)
            mma_m16n8k16_f16(sum.v[r][j], input, weight[j]);
          else
            mma_m16n8k16_bf16(sum.v[r][j], input, weight[j]);
        }
      }
  }
}

template <int kScales, int kRows>
ISOTOPE_DEVICE void promote(WarpSums<kRows>& total, const WarpSums<kRows>& sum, const float* row_scales,
                            const float* weight_scales) {
  using Sums = WarpSums<kRows>;
  const int g = lane_index() / 4, t = lane_index() % 4;
#pragma unroll
  for (int j = 0; j < Sums::kGroups; ++j) {
    float scale[2] = {1.0f, 1.0f};
    if constexpr (kScales == prefill_scales_block) scale[0] = scale[1] = weight_scales[j * 8];
    if constexpr (kScales == prefill_scales_feature) {
      scale[0] = weight_scales[j * 8 + t * 2];
      scale[1] = weight_scales[j * 8 + t * 2 + 1];
    }
#pragma unroll
    for (int r = 0; r < Sums::kRowTiles; ++r)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        total.v[r][j][i] = fma(sum.v[r][j][i], row_scales[r * 16 + i / 2 * 8 + g] * scale[i % 2], total.v[r][j][i]);
  }
}

template <int kRows>
ISOTOPE_DEVICE void write_warp(const PrefillParams& p, i64 row, int feature, WarpSums<kRows>& sum, bool scaled) {
#pragma unroll
  for (int r = 0; r < WarpSums<kRows>::kRowTiles; ++r) write_sums(p, row + r * 16, feature, sum.v[r], scaled);
}

#endif

}  // namespace isotope::gpu
