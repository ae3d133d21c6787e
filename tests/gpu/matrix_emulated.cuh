// The matrix instructions of both vendors on the emulated GPU: the lanes of a warp bring the fragments that the hardware
// defines, the last one multiplies the matrices.
#pragma once

namespace isotope::gpu {

typedef float EmulatedRow8 __attribute__((vector_size(32)));

ISOTOPE_DEVICE float bf16_value(u32 bits) { return float_of(bits << 16); }
ISOTOPE_DEVICE float half_of(u32 pair, int i, bool bf16) {
  const u32 bits = pair >> (16 * i) & 0xffffu;
  return bf16 ? bf16_value(bits) : f16_value(bits);
}
/// A matrix instruction needs every lane of the warp.
ISOTOPE_DEVICE void require_whole_warp(int count) {
  if (count != kWarp) ISOTOPE_BLOCK->fail("a matrix instruction in a warp of fewer than 32 lanes");
}

#if defined(ISOTOPE_SM)
/// in: 4 registers of A, 2 of B, 4 of D. PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type".
template <bool kBf16>
static void meet_mma_m16n8k16(EmulatedLane* lanes, int count) {
  require_whole_warp(count);
  float a[16][16];
  EmulatedRow8 b[16], d[16];
  for (int lane = 0; lane < kWarp; ++lane) {
    const int group = lane / 4, pair = lane % 4 * 2;
    const u32* in = lanes[lane].in;
    for (int r = 0; r < 4; ++r)
      for (int i = 0; i < 2; ++i)
        a[group + r % 2 * 8][pair + r / 2 * 8 + i] = half_of(in[r], i, kBf16);
    for (int r = 0; r < 2; ++r)
      for (int i = 0; i < 2; ++i) b[pair + r * 8 + i][group] = half_of(in[4 + r], i, kBf16);
    for (int i = 0; i < 4; ++i) d[group + i / 2 * 8][pair + i % 2] = float_of(in[6 + i]);
  }
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k) d[row] += a[row][k] * b[k];
  for (int lane = 0; lane < kWarp; ++lane)
    for (int i = 0; i < 4; ++i)
      lanes[lane].out[i] = bits_of(d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2]);
}
template <bool kBf16>
ISOTOPE_DEVICE void emulated_mma(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  EmulatedLane& mine = emulated_lane();
  for (int i = 0; i < 4; ++i) mine.in[i] = a[i];
  for (int i = 0; i < 2; ++i) mine.in[4 + i] = b[i];
  for (int i = 0; i < 4; ++i) mine.in[6 + i] = bits_of(d[i]);
  ISOTOPE_BLOCK->meet(meet_mma_m16n8k16<kBf16>, "mma_m16n8k16");
  for (int i = 0; i < 4; ++i) d[i] = float_of(mine.out[i]);
}
ISOTOPE_DEVICE void mma_m16n8k16_bf16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  emulated_mma<true>(d, a, b);
}
ISOTOPE_DEVICE void mma_m16n8k16_f16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  emulated_mma<false>(d, a, b);
}

/// in: the lane's address. Lane l brings row l % 8 of matrix l / 8 and takes values 2·(l % 4) and the next of row l / 4 of
/// each matrix, or of column l / 4.
template <bool kTransposed>
static void meet_load_matrices(EmulatedLane* lanes, int count) {
  require_whole_warp(count);
  for (int matrix = 0; matrix < 4; ++matrix) {
    const u16* rows[8];
    for (int row = 0; row < 8; ++row) {
      const u32* in = lanes[matrix * 8 + row].in;
      rows[row] = reinterpret_cast<const u16*>(u64(in[0]) | u64(in[1]) << 32);
    }
    for (int lane = 0; lane < kWarp; ++lane) {
      const int line = lane / 4, first = lane % 4 * 2;
      const u32 low = kTransposed ? rows[first][line] : rows[line][first];
      const u32 high = kTransposed ? rows[first + 1][line] : rows[line][first + 1];
      lanes[lane].out[matrix] = low | high << 16;
    }
  }
}
template <bool kTransposed>
ISOTOPE_DEVICE void emulated_load_matrices(const void* row, u32 (&r)[4]) {
  const u64 address = reinterpret_cast<u64>(row);
  if (address % 16 != 0) ISOTOPE_BLOCK->fail("misaligned row of a matrix");
  EmulatedLane& mine = emulated_lane();
  mine.in[0] = u32(address);
  mine.in[1] = u32(address >> 32);
  ISOTOPE_BLOCK->meet(meet_load_matrices<kTransposed>, "load_matrices");
  for (int i = 0; i < 4; ++i) r[i] = mine.out[i];
}
ISOTOPE_DEVICE void load_matrices(const void* row, u32 (&r)[4]) { emulated_load_matrices<false>(row, r); }
ISOTOPE_DEVICE void load_matrices_transposed(const void* row, u32 (&r)[4]) {
  emulated_load_matrices<true>(row, r);
}
#endif

#if defined(ISOTOPE_GFX12)
enum class WmmaType { bf16, f16, fp8 };

/// in: A, B (4 registers each, 2 of FP8), then 8 of D. Lane l holds row or column l % 16 of A and B, k from 8·(l / 16);
/// of D column l % 16, rows from 8·(l / 16).
template <WmmaType kType>
static void meet_wmma(EmulatedLane* lanes, int count) {
  require_whole_warp(count);
  constexpr int kRegisters = kType == WmmaType::fp8 ? 2 : 4;
  float a[16][16];
  EmulatedRow8 b[16][2], d[16][2];
  for (int lane = 0; lane < kWarp; ++lane) {
    const int line = lane % 16, k = lane / 16 * 8;
    const u32* in = lanes[lane].in;
    for (int i = 0; i < 8; ++i) {
      if constexpr (kType == WmmaType::fp8) {
        a[line][k + i] = fp8_value(in[i / 4] >> (i % 4 * 8) & 0xffu);
        b[k + i][line / 8][line % 8] = fp8_value(in[2 + i / 4] >> (i % 4 * 8) & 0xffu);
      } else {
        a[line][k + i] = half_of(in[i / 2], i % 2, kType == WmmaType::bf16);
        b[k + i][line / 8][line % 8] = half_of(in[4 + i / 2], i % 2, kType == WmmaType::bf16);
      }
      d[k + i][line / 8][line % 8] = float_of(in[2 * kRegisters + i]);
    }
  }
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k)
      for (int half = 0; half < 2; ++half) d[row][half] += a[row][k] * b[k][half];
  for (int lane = 0; lane < kWarp; ++lane)
    for (int i = 0; i < 8; ++i)
      lanes[lane].out[i] = bits_of(d[lane / 16 * 8 + i][lane % 16 / 8][lane % 8]);
}
template <WmmaType kType, int kRegisters>
ISOTOPE_DEVICE void emulated_wmma(float (&d)[8], const u32 (&a)[kRegisters], const u32 (&b)[kRegisters]) {
  EmulatedLane& mine = emulated_lane();
  for (int i = 0; i < kRegisters; ++i) mine.in[i] = a[i];
  for (int i = 0; i < kRegisters; ++i) mine.in[kRegisters + i] = b[i];
  for (int i = 0; i < 8; ++i) mine.in[2 * kRegisters + i] = bits_of(d[i]);
  ISOTOPE_BLOCK->meet(meet_wmma<kType>, "wmma");
  for (int i = 0; i < 8; ++i) d[i] = float_of(mine.out[i]);
}
ISOTOPE_DEVICE void wmma_bf16(float (&d)[8], const u32 (&a)[4], const u32 (&b)[4]) {
  emulated_wmma<WmmaType::bf16>(d, a, b);
}
ISOTOPE_DEVICE void wmma_f16(float (&d)[8], const u32 (&a)[4], const u32 (&b)[4]) {
  emulated_wmma<WmmaType::f16>(d, a, b);
}
ISOTOPE_DEVICE void wmma_fp8(float (&d)[8], const u32 (&a)[2], const u32 (&b)[2]) {
  emulated_wmma<WmmaType::fp8>(d, a, b);
}
#endif

}  // namespace isotope::gpu
