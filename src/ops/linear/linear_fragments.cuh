// What a warp multiplies at a time, for each dtype of weights and both vendors.
//
//   ISOTOPE_LINEAR_WEIGHT  bytes of a weight: 1 FP8 E4M3, 2 BF16, 4 F32
//
// A step is 16 weight rows by 64 bytes of k (arch_*.cuh). Inputs are brought into the order of its fragments once: for
// each tile of kMmaRows input rows and each step kInputVectors blocks, a block one vector a lane.
//   NVIDIA, FP8 weights: F16, scaled for each input row by the power of two that brings its largest magnitude into
//     [2^14, 2^15): F16 holds BF16's eight bits exactly down to 2^-31 of that.
//   gfx12, FP8 weights: two E4M3 terms (two blocks of the first, two of the second), scaled for each input row and 128
//     values of k by the power of two that brings the largest magnitude into (224, 448].
//   BF16 weights: BF16.    F32 weights: plain rows of F32 (linear_f32.cu).
#pragma once

namespace isotope::gpu {

constexpr int kWeightBytes = ISOTOPE_LINEAR_WEIGHT;
constexpr bool kFp8 = kWeightBytes == 1;
constexpr int kStepValues = kStepBytes / kWeightBytes;
constexpr int kVectorValues = 16 / kWeightBytes;
constexpr int kTileValues = 128 / kWeightBytes;   ///< of k in a weight tile: two steps
constexpr int kLanesPerRow = kWarp / kMmaRows;    ///< lanes that bring an input row to a step
constexpr int kTileBytes = 16384;                 ///< of 128 weight rows
constexpr int kParts = 8;                         ///< into which k is cut
constexpr int kProductThreads = 256;

#if defined(ISOTOPE_GFX12)
constexpr int kInputVectors = kFp8 ? 4 : 2;
constexpr bool kInputBlockScales = kFp8;  ///< one scale per input row and 128 values of k
constexpr bool kInputRowScales = false;
/// Which block holds vector v of a step, and which of the row's lanes brings it.
ISOTOPE_DEVICE int vector_lane(int v) { return v % 2; }
ISOTOPE_DEVICE int vector_block(int v) { return v / 2; }
ISOTOPE_DEVICE int lane_of_row() { return lane_index() / 16; }

constexpr int kSecondVector = 256;  ///< bytes from the first to the second weight vector of a lane

/// The weights of a step as the matrix unit takes them.
struct WeightFragment {
  Vec16 v[2];
};
ISOTOPE_DEVICE WeightFragment widen(const Vec16& first, const Vec16& second) { return {{first, second}}; }

ISOTOPE_DEVICE void multiply(float (&acc)[kAccumulators], const WeightFragment& w, const Vec16 (&x)[kInputVectors]) {
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    if constexpr (kFp8) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const u32 a[2] = {w.v[j].w[2 * half], w.v[j].w[2 * half + 1]};
        const u32 hi[2] = {x[j].w[2 * half], x[j].w[2 * half + 1]};
        const u32 lo[2] = {x[2 + j].w[2 * half], x[2 + j].w[2 * half + 1]};
        wmma_fp8(acc, a, hi);
        wmma_fp8(acc, a, lo);
      }
    } else {
      const u32 a[4] = {w.v[j].w[0], w.v[j].w[1], w.v[j].w[2], w.v[j].w[3]};
      const u32 b[4] = {x[j].w[0], x[j].w[1], x[j].w[2], x[j].w[3]};
      wmma_bf16(acc, a, b);
    }
  }
}
/// Index of (row, column) of a 16 × kMmaRows tile among [accumulator][lane].
ISOTOPE_DEVICE int acc_index(int row, int column) { return row % 8 * kWarp + row / 8 * 16 + column; }
#else
constexpr int kInputVectors = kFp8 ? 2 : 1;
constexpr bool kInputBlockScales = false;
constexpr bool kInputRowScales = kFp8;
ISOTOPE_DEVICE int vector_lane(int v) { return v; }
ISOTOPE_DEVICE int lane_of_row() { return lane_index() % 4; }
constexpr int kSecondVector = 1024;

struct WeightFragment {
  u32 a[kFp8 ? 4 : 2][4];
};
ISOTOPE_DEVICE WeightFragment widen(const Vec16& first, const Vec16& second) {
  WeightFragment f;
  if constexpr (kFp8) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      f.a[i][0] = fp8x2_to_f16x2(u16(first.w[i]));
      f.a[i][1] = fp8x2_to_f16x2(u16(second.w[i]));
      f.a[i][2] = fp8x2_to_f16x2(u16(first.w[i] >> 16));
      f.a[i][3] = fp8x2_to_f16x2(u16(second.w[i] >> 16));
    }
  } else {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      f.a[i][0] = first.w[2 * i];
      f.a[i][1] = second.w[2 * i];
      f.a[i][2] = first.w[2 * i + 1];
      f.a[i][3] = second.w[2 * i + 1];
    }
  }
  return f;
}

ISOTOPE_DEVICE void multiply(float (&acc)[kAccumulators], const WeightFragment& w, const Vec16 (&x)[kInputVectors]) {
  if constexpr (kFp8) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const u32 b[2] = {x[i / 2].w[i % 2 * 2], x[i / 2].w[i % 2 * 2 + 1]};
      mma_m16n8k16_f16(acc, w.a[i], b);
    }
  } else {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const u32 b[2] = {x[0].w[2 * i], x[0].w[2 * i + 1]};
      mma_m16n8k16_bf16(acc, w.a[i], b);
    }
  }
}
ISOTOPE_DEVICE int acc_index(int row, int column) {
  return (row / 8 * 2 + column % 2) * kWarp + row % 8 * 4 + column / 2;
}
#endif

}  // namespace isotope::gpu
