// Inputs of a product in the order of its fragments (linear_fragments.cuh): one block an input row, grid as many as whole
// tiles have; rows that do not exist become zeros.
//   out [ceil(rows / kMmaRows)][steps][kInputVectors][kMmaRows][kLanesPerRow] vectors; F32 weights: [rows][padded_k] f32
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

// STREAMS nothing
KERNEL(linear_inputs, LinearInputsParams, kInputThreads) {
  SHARED(float, shared, kInputWarps);
  release_successor();
  wait_for_predecessor();
  const int m = block_x();
  if (m == 0)
    for (int i = thread_index(); i < p.num_counters; i += kInputThreads) p.counters[i] = 0;
  if constexpr (kWeightBytes == 4) {
    copy_row(p, m, shared);
  } else {
    const LinearSource& s = p.source;
    const i64 tile_bytes = i64(s.padded_k / kStepValues) * kInputVectors * (kWarp * 16);
    InputTarget target;
    target.tile = static_cast<u8*>(p.out) + m / kMmaRows * tile_bytes;
    target.tile_rows = kMmaRows;
    target.row = m % kMmaRows;
    target.scales = p.scales + (kInputBlockScales ? i64(m) * (s.padded_k / 128) : i64(m));
    prepare_row(s, m, target, shared);
  }
}

}  // namespace isotope::gpu
