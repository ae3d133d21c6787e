// Rows of the embedding table as F32: a block a row, a vector of the table a thread at a time.
//   launch: grid (rows), 128 threads.    ISOTOPE_EMBED_WEIGHT: 1 FP8 E4M3, 2 BF16, 4 F32
#include "ops/embed/embed_params.h"
#include "ops/gpu/portable.cuh"

namespace isotope::gpu {

constexpr int kWeightBytes = ISOTOPE_EMBED_WEIGHT;
constexpr int kValues = 16 / kWeightBytes;
constexpr int kThreads = 128;

ISOTOPE_DEVICE void widen(const Vec16& v, float (&x)[kValues]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (kWeightBytes == 1) {
      fp8x2_to_f32(u16(v.w[i]), &x[4 * i], &x[4 * i + 1]);
      fp8x2_to_f32(u16(v.w[i] >> 16), &x[4 * i + 2], &x[4 * i + 3]);
    } else if constexpr (kWeightBytes == 2) {
      x[2 * i] = bf16_lo(v.w[i]);
      x[2 * i + 1] = bf16_hi(v.w[i]);
    } else {
      x[i] = float_of(v.w[i]);
    }
  }
}

KERNEL(embed, EmbedParams, kThreads) {
  release_successor();
  wait_for_predecessor();
  const int id = p.ids[block_x()];
  const bool idle = id < 0 || id >= p.n;
  float* out = p.out + i64(block_x()) * p.out_stride;
  const bool aligned = p.out_stride % 4 == 0 && reinterpret_cast<u64>(p.out) % 16 == 0;
  for (int v = thread_index(); v < p.vectors; v += kThreads) {
    float x[kValues] = {};
    if (!idle) {
      const i64 at = p.tiles ? ((i64(id / 128) * (p.vectors / 8) + v / 8) * 16 + id % 128 / 8) * 1024 + v % 8 * 128 + id % 8 * 16
                             : (i64(id) * p.vectors + v) * 16;
      widen(load16(static_cast<const u8*>(p.table) + at), x);
      if (p.scales) {
        const int column = p.scale_columns > 1 ? v * kValues / 128 : 0;
        const float scale = p.scales[i64(id >> p.scale_shift) * p.scale_columns + column];
#pragma unroll
        for (int i = 0; i < kValues; ++i) x[i] *= scale;
      }
    }
    const int first = v * kValues;
    if (aligned && first + kValues <= p.k) {
#pragma unroll
      for (int i = 0; i < kValues; i += 4)
        store16(out + first + i, {{bits_of(x[i]), bits_of(x[i + 1]), bits_of(x[i + 2]), bits_of(x[i + 3])}});
    } else {
#pragma unroll
      for (int i = 0; i < kValues; ++i)
        if (first + i < p.k) out[first + i] = x[i];
    }
  }
}

}  // namespace isotope::gpu
