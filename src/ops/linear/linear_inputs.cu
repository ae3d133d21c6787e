// Inputs of a product in the order of its fragments (linear_fragments.cuh): one block an input row, grid as many as whole
// tiles have; rows that do not exist become zeros.
//   out [ceil(rows / kMmaRows)][steps][kInputVectors][kMmaRows][kLanesPerRow] vectors; F32 weights: [rows][padded_k] f32;
//     operand order: [tiles of k][ceil(rows / kMmaRows)][products of 16 values][2][kMmaRows] vectors
//   scales [rows] or [rows][padded_k / 128] f32
#include "ops/gpu/portable.cuh"
#include "ops/linear/linear_decode_params.h"
#include "ops/linear/linear_inputs.cuh"

namespace isotope::gpu {

ISOTOPE_DEVICE void copy_row(const LinearInputsParams& p, int m, float* shared) {
  const LinearSource& s = p.source;
  i64 row = m < s.rows ? i64(m) : i64(-1);
  if (row >= 0 && s.row_index) row = s.row_index[m];
  Batch batch;
  const float factor = row >= 0 && s.norm ? norm_factor(s, row, batch, shared) : 1.0f;
  float* out = static_cast<float*>(p.out) + i64(m) * s.padded_k;
  for (int i = thread_index() * 4; i < s.padded_k; i += kInputThreads * 4) {
    float v[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (row >= 0) {
      load_four(s, row, i, v);
      if (s.norm) multiply_norm(s, i, factor, v);
    }
    store16(out + i, {{bits_of(v[0]), bits_of(v[1]), bits_of(v[2]), bits_of(v[3])}});
  }
}

ISOTOPE_DEVICE InputTarget target_of(const LinearInputsParams& p, int m) {
  const LinearSource& s = p.source;
  InputTarget target{};
  target.tile_rows = kMmaRows;
  target.row = m % kMmaRows;
  target.scales = p.scales + (kInputBlockScales ? i64(m) * (s.padded_k / 128) : i64(m));
  if constexpr (kOperandOrder) {
    constexpr int kOperandBytes = kMmaRows * kTileValues * 2;
    target.tile = static_cast<u8*>(p.out) + m / kMmaRows * kOperandBytes;
    target.k_stride = i64(grid_x() / kMmaRows) * kOperandBytes;
  } else {
    target.tile = static_cast<u8*>(p.out) + m / kMmaRows * (i64(s.padded_k / kStepValues) * kInputVectors * (kWarp * 16));
  }
  return target;
}

template <int kGroups>
ISOTOPE_DEVICE void write_held_row(const LinearInputsParams& p, float* shared) {
  HeldRow<kGroups> g;
  load_norm(p.source, g);
  wait_for_predecessor();
  prepare_held_row(p.source, block_x(), target_of(p, block_x()), g, shared);
}

// STREAMS nothing
KERNEL(linear_inputs, LinearInputsParams, kInputThreads) {
  SHARED(float, shared, kInputWarps);
  release_successor();
  const LinearSource& s = p.source;
  if constexpr (kWeightBytes == 4) {
    wait_for_predecessor();
    copy_row(p, block_x(), shared);
  } else if constexpr (kInputBlockScales) {
    wait_for_predecessor();
    prepare_row(s, block_x(), target_of(p, block_x()), shared);
  } else if (s.aligned && s.padded_k <= 4 * kBatchStride) {
    write_held_row<4>(p, shared);
  } else if (s.aligned && s.padded_k <= 12 * kBatchStride) {
    write_held_row<12>(p, shared);
  } else {
    wait_for_predecessor();
    prepare_row(s, block_x(), target_of(p, block_x()), shared);
  }
  if (block_x() == 0)
    for (int i = thread_index(); i < p.num_counters; i += kInputThreads) p.counters[i] = 0;
}

}  // namespace isotope::gpu
