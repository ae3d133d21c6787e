// Kernels that use each word of portable.cuh once, for emulation_test.cc. One thread an element unless they say otherwise.
#include "ops/gpu/portable.cuh"

#include "tests/gpu/emulation_params.h"

namespace isotope::gpu {

ISOTOPE_DEVICE int element() { return block_x() * block_threads() + thread_index(); }

/// Floats in; pairs (v, -v) of BF16, F16 and FP8 out.
KERNEL(narrow, EmulationParams, 256) {
  const int i = element();
  if (i >= p.count) return;
  const float v = float_of(p.in[i]);
  p.out[i] = bf16x2_of(v, -v);
  p.out2[i] = f16x2_of(v, -v);
  p.out3[i] = fp8x2_of(v, -v);
}

/// Code i of 65536, and code 65535 - i above it, as BF16 (out), F16 (out2): two floats each.
KERNEL(widen, EmulationParams, 256) {
  const u32 i = u32(element()), pair = i | (65535u - i) << 16;
  p.out[2 * i] = bits_of(bf16_lo(pair));
  p.out[2 * i + 1] = bits_of(bf16_hi(pair));
  p.out2[2 * i] = bits_of(f16_lo(pair));
  p.out2[2 * i + 1] = bits_of(f16_hi(pair));
}

/// All 65536 pairs of FP8 codes as floats (out: two each) and as F16 (out2).
KERNEL(widen_fp8, EmulationParams, 256) {
  const u32 i = u32(element());
  float lo, hi;
  fp8x2_to_f32(u16(i), &lo, &hi);
  p.out[2 * i] = bits_of(lo);
  p.out[2 * i + 1] = bits_of(hi);
  p.out2[i] = fp8x2_to_f16x2(u16(i));
}

/// Operation `mode` on two floats.
KERNEL(arithmetic, EmulationParams, 256) {
  const int i = element();
  if (i >= p.count) return;
  const float a = float_of(p.in[i]), b = float_of(p.in2[i]);
  float r = 0.0f;
  switch (p.mode) {
    case 0: r = min(a, b); break;
    case 1: r = max(a, b); break;
    case 2: r = exp2(a); break;
    case 3: r = log2(a); break;
    case 4: r = rsqrt(a); break;
    case 5: r = rcp(a); break;
    case 6: r = sqrt(a); break;
    case 7: r = fma(a, b, 1.0f); break;
    case 8: r = floor(a); break;
    case 9: r = fabs(a); break;
    case 10: r = exp(a); break;
    case 11: r = log(a); break;
  }
  p.out[i] = bits_of(r);
  p.out2[i] = u32(isnan(a)) | u32(isinf(a)) << 1;
  p.out3[i] = mul_hi(p.in[i], p.in2[i]) ^ u32(popcount(p.in[i])) ^ u32(clz(p.in2[i])) << 8;
}

/// Shuffles of one block: from lane in[thread] (out), by xor with `mode` (out2), sum and maximum of a warp as floats (out3).
KERNEL(shuffles, EmulationParams, 1024) {
  const int t = thread_index();
  p.out[t] = shuffle(u32(t * 3 + 1), int(p.in[t]));
  p.out2[t] = u32(shuffle_xor(t * 5, p.mode));
  p.out3[2 * t] = bits_of(warp_sum(float(t)));
  p.out3[2 * t + 1] = bits_of(warp_max(float((t * 7) % 32)));
}

/// `count` rounds of passing values around the block through static shared memory (mode 0), dynamic (1), or static
/// without the second barrier, which is wrong (2).
KERNEL(rotate, EmulationParams, 1024) {
  SHARED(u32, fixed, 1024);
  u32* memory = p.mode == 1 ? reinterpret_cast<u32*>(dynamic_shared()) : fixed;
  u32 v = p.in[thread_index()];
  for (int round = 0; round < p.count; ++round) {
    memory[thread_index()] = v;
    block_barrier();
    v = memory[(thread_index() + 1) % block_threads()];
    if (p.mode != 2) block_barrier();
  }
  p.out[element()] = v;
}

/// Copies 16 bytes a thread to shared memory asynchronously, three groups in flight, and adds the words of `count` groups
/// up (out). `mode` 1 waits for one group too few, 2 starts the next copy before the last one was read: both wrong.
KERNEL(copies, EmulationParams, 256) {
  u8* stages = dynamic_shared();
  const int t = thread_index(), bytes = block_threads() * 16;
  const auto start = [&](int group) {
    if (group < p.count)
      copy_async16(stages + group % 3 * bytes + t * 16, p.in + (group * block_threads() + t) * 4);
    copy_async_commit();
  };
  u32 sum = 0;
  start(0);
  start(1);
  if (p.mode == 2) start(2);
  for (int group = 0; group < p.count; ++group) {
    if (p.mode == 2) start(group + 3);
    else start(group + 2);
    if (p.mode != 0) copy_async_wait<3>();
    else copy_async_wait<2>();
    block_barrier();
    const Vec16 v = load16(stages + group % 3 * bytes + (t + 1) % block_threads() * 16);
    for (int i = 0; i < 4; ++i) sum += v.w[i];
    block_barrier();
  }
  p.out[t] = sum;
}

/// What shared memory holds before anything is written: static (out), dynamic (out2).
KERNEL(unwritten, EmulationParams, 256) {
  SHARED(u32, fixed, 256);
  p.out[element()] = fixed[thread_index()];
  p.out2[element()] = reinterpret_cast<u32*>(dynamic_shared())[thread_index()];
  block_barrier();
  fixed[thread_index()] = 1;
  reinterpret_cast<u32*>(dynamic_shared())[thread_index()] = 1;
}

/// Where a thread is (out), and a count of all threads (out2[0]); out3 the order in which they came.
KERNEL(places, EmulationParams, 64) {
  const int block = (block_z() * grid_y() + block_y()) * grid_x() + block_x();
  const int i = block * block_threads() + thread_index();
  p.out[i] = u32(lane_index() | warp_index() << 8 | block_x() << 16 | block_y() << 20 | block_z() << 24);
  p.out3[i] = atomic_add(p.out2, 1u);
}

/// Mistakes, by `mode`.
KERNEL(mistakes, EmulationParams, 256) {
  const int t = thread_index();
  u8* shared = dynamic_shared();
  switch (p.mode) {
    case 0:  // one thread leaves before the barrier
      if (t == 5) return;
      break;
    case 1:  // one lane waits for its warp instead
      if (t == 5) warp_sum(1.0f);
      break;
    case 2:  // lanes of a warp meet at different operations
      if (t == 3)
        warp_barrier();
      else
        p.out[t] = bits_of(warp_sum(1.0f));
      break;
    case 3:  // just behind dynamic shared memory
      if (t == 0) shared[p.count] = 1;
      break;
    case 4:  // far behind it
      if (t == 0) shared[p.count + 2000] = 1;
      break;
    case 5:
      p.out[t] = load16(reinterpret_cast<const u8*>(p.in) + 4 * t).w[0];
      break;
    case 6:  // behind global memory
      if (t == 7) p.out[t] = p.in[p.count];
      break;
    case 7:
      if (t == 7) *reinterpret_cast<volatile u32*>(u64(16)) = 1;
      break;
  }
  block_barrier();
}

/// One matrix instruction: registers of A and B from in (8 words a lane), of D from in2 (8 words a lane), D to out.
/// `mode` 0 BF16, 1 F16, 2 FP8.
KERNEL(matrix, EmulationParams, 256) {
  const int lane = element();
  const u32* in = p.in + lane * 8;
#if defined(ISOTOPE_SM)
  constexpr int kD = 4;
  const u32 a[4] = {in[0], in[1], in[2], in[3]}, b[2] = {in[4], in[5]};
#else
  constexpr int kD = 8;
  const u32 a[4] = {in[0], in[1], in[2], in[3]}, b[4] = {in[4], in[5], in[6], in[7]};
#endif
  float d[kD];
  for (int i = 0; i < kD; ++i) d[i] = float_of(p.in2[lane * 8 + i]);
#if defined(ISOTOPE_SM)
  if (p.mode == 0) mma_m16n8k16_bf16(d, a, b);
  if (p.mode == 1) mma_m16n8k16_f16(d, a, b);
#else
  if (p.mode == 0) wmma_bf16(d, a, b);
  if (p.mode == 1) wmma_f16(d, a, b);
  if (p.mode == 2) {
    const u32 a8[2] = {in[0], in[1]}, b8[2] = {in[4], in[5]};
    wmma_fp8(d, a8, b8);
  }
#endif
  for (int i = 0; i < kD; ++i) p.out[lane * 8 + i] = bits_of(d[i]);
}

}  // namespace isotope::gpu
