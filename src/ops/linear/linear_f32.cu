// F32 weights, plainly: a warp multiplies a strip of 16 packed rows by eight input rows, four lanes a weight row.
//   inputs f32 [rows][padded_k] by linear_inputs; launch: grid (ceil(strips / 8), ceil(rows / 8)), 256 threads.
#include "ops/gpu/portable.cuh"
#include "ops/linear/linear_decode.cuh"

namespace isotope::gpu {

constexpr int kColumns = 8;

/// One feature of one row, by its sum; `up` counts with swiglu.
ISOTOPE_DEVICE void store_sum(const LinearDecodeParams& p, int m, int strip, int row, float sum, float up) {
  const int feature = p.epilogue == 2 ? strip * 8 + row : strip * 16 + row;
  if (feature >= p.n) return;
  float v = sum;
  if (p.epilogue == 2) v = gated(sum, 1.0f, up, 1.0f);
  if (p.epilogue == 1) v = static_cast<const float*>(p.y)[i64(m) * p.y_stride + feature] + v;
  store_output(p, m, feature, v);
}

// STREAMS nothing: FP32 models are small
KERNEL(linear_f32, LinearDecodeParams, kProductThreads) {
  release_successor();
  wait_for_predecessor();
  const int strip = block_x() * (kProductThreads / kWarp) + warp_index();
  if (strip >= p.strips) return;
  const int row = lane_index() % 8, quarter = lane_index() / 8, first_row = block_y() * kColumns;
  const u8* weights = static_cast<const u8*>(p.weights) + i64(strip / 8) * p.k_tiles * kTileBytes +
                      strip % 8 * 2048 + row * 16;
  const float* inputs = static_cast<const float*>(p.inputs);
  float sum[2][kColumns] = {};
  for (int v = quarter; v < p.k_tiles * 8; v += 4) {
    const u8* from = weights + i64(v / 8) * kTileBytes + v % 8 * 128;
    const Vec16 w[2] = {load16(from), load16(from + 1024)};
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      if (first_row + c >= p.source.rows) continue;
      const Vec16 x = load16(inputs + i64(first_row + c) * p.source.padded_k + v * 4);
#pragma unroll
      for (int h = 0; h < 2; ++h)
#pragma unroll
        for (int e = 0; e < 4; ++e) sum[h][c] = fma(float_of(w[h].w[e]), float_of(x.w[e]), sum[h][c]);
    }
  }
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      sum[h][c] += shuffle_xor(sum[h][c], 8);
      sum[h][c] += shuffle_xor(sum[h][c], 16);
    }
    if (first_row + c >= p.source.rows || quarter != 0) continue;
    store_sum(p, first_row + c, strip, row, sum[0][c], sum[1][c]);
    if (p.epilogue != 2) store_sum(p, first_row + c, strip, row + 8, sum[1][c], 0.0f);
  }
}

}  // namespace isotope::gpu
