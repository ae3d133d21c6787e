// (vectors of 16 bytes) -> a sum of 32-bit words for each thread: memory read once, as fast as the card can.
//   launch: any grid, kReadThreads threads. A block reads pieces of kReadThreads · kReadVectors vectors in turn.
#include "ops/bandwidth/bandwidth_params.h"
#include "ops/gpu/portable.cuh"

namespace isotope::gpu {

KERNEL(read_once, ReadParams, kReadThreads) {
  release_successor();
  wait_for_predecessor();
  const u8* data = static_cast<const u8*>(p.data);
  constexpr i64 kPiece = i64(kReadThreads) * kReadVectors;
  u32 sum = 0;
  i64 piece = block_x();
  for (; (piece + 1) * kPiece <= p.vectors; piece += grid_x()) {
    Vec16 v[kReadVectors];
#pragma unroll
    for (int i = 0; i < kReadVectors; ++i)
      v[i] = load_stream(data + (piece * kPiece + i * kReadThreads + thread_index()) * 16);
#pragma unroll
    for (int i = 0; i < kReadVectors; ++i) sum += v[i].w[0] + v[i].w[1] + v[i].w[2] + v[i].w[3];
  }
  for (i64 at = piece * kPiece + thread_index(); at < p.vectors && at < (piece + 1) * kPiece; at += kReadThreads) {
    const Vec16 v = load_stream(data + at * 16);
    sum += v.w[0] + v.w[1] + v.w[2] + v.w[3];
  }
  p.sums[i64(block_x()) * kReadThreads + thread_index()] = sum;
}

}  // namespace isotope::gpu
