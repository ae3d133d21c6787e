// The words that kernel text is written in, the same on NVIDIA (sm_80 and later), AMD gfx12 and the emulated GPU of
// the tests. What differs sits in intrinsics_*.cuh (one instruction each) and arch_*.cuh (matrix fragments).
//
// Kernels include this file first and nothing else of C or C++: it must compile under NVRTC, hipRTC and clang without
// a toolkit. Exactly one of these is defined by whoever compiles:
//   ISOTOPE_SM=80|89|90…   NVIDIA; ISOTOPE_SM_A=1 beside it if arch-specific instructions (wgmma) may be used
//   ISOTOPE_GFX12=1        AMD RDNA4, wave32
// and ISOTOPE_EMULATED=1 beside either of them when lanes are fibers on the host (tests/gpu).
#pragma once

namespace isotope::gpu {

using i8 = signed char;
using u8 = unsigned char;
using u16 = unsigned short;
using i32 = int;
using u32 = unsigned int;
using i64 = long long;
using u64 = unsigned long long;

/// What a lane moves at once.
struct alignas(16) Vec16 {
  u32 w[4];
};
struct alignas(8) Vec8 {
  u32 w[2];
};

constexpr int kWarp = 32;  // a warp, or a wave of 32 lanes

}  // namespace isotope::gpu

#if defined(ISOTOPE_EMULATED)
#include "tests/gpu/intrinsics_emulated.cuh"
#elif defined(ISOTOPE_GFX12)
#include "ops/gpu/intrinsics_gfx12.cuh"
#else
#include "ops/gpu/intrinsics_cuda.cuh"
#endif

namespace isotope::gpu {

// Every intrinsics file provides, all ISOTOPE_DEVICE (inline device functions):
//
//   KERNEL(name, Params, threads)  opens `extern "C"` kernel `name(const Params p)` of at most `threads` threads; a body
//                                  in braces follows. KERNEL_BLOCKS(name, Params, threads, blocks) also asks for
//                                  registers that let `blocks` blocks share a multiprocessor.
//   SHARED(type, name, count)      a static shared array in a kernel or device function
//   DEVICE_ZEROS(type, name, count)   an array in device memory at namespace scope, zero when the code is loaded
//   dynamic_shared()               u8*, 16-byte aligned (1024 on sm_90): Launch::shared_bytes
//   thread_index(), block_x(), block_y(), block_z(), grid_x(), grid_y(), block_threads()
//   block_barrier()                all threads of the block; orders shared and global memory among them
//   shared_barrier()               the same, but orders shared memory only: loads of global memory stay in flight
//   warp_barrier()                 the lanes of a warp
//   shuffle(v, lane), shuffle_xor(v, mask)   of u32, i32 or float, all lanes taking part
//   wait_for_predecessor(), release_successor()   overlapped launches; nothing where the arch has none
//   load_stream(p)  Vec16 that is read once (weights): does not stay in the nearest cache
//   load16(p) load8(p) load4(p)    cached, aligned;  store16, store8 likewise
//   store_global16(p, v), store_global8(p, v)   surely one instruction; never to shared memory
//   prefetch_l2(p)                 a hint;  prefetch_l2_range(p, bytes)  multiples of 16, by one thread
//   scheduling_fence()             the compiler does not move instructions across it, where that costs registers (gfx12)
//   keep_here(float&)              likewise: the value is computed here, not sunk to its use
//   kAsyncCopies, copy_async16(shared, global), copy_async4, copy_async_commit(), copy_async_wait<pending groups>()   of this thread;
//                                  where kAsyncCopies is false the copy is done at once
//   exp2(x) log2(x) rsqrt(x) rcp(x) sqrt(x)   hardware approximations, a few ulp
//   fma(a,b,c) min max fabs floor  IEEE; min/max return the other operand if one is NaN
//   isnan(x), isinf(x), bits_of(float) u32, float_of(u32)
//   bf16x2_of(lo, hi)   u32, round to nearest even;   float pairs back: bf16_lo(u32), bf16_hi(u32)
//   low_halves(a, b), high_halves(a, b)   u32: a's in the lower half, b's in the upper
//   f16x2_of(lo, hi), f16_lo, f16_hi
//   fp8x2_of(lo, hi)    u16, E4M3, nearest even, saturating, NaN stays;  fp8x2_to_f32(u16, &lo, &hi)
//   fp8x2_to_f16x2(u16) exact        (on gfx12 through f32)
//   atomic_add(u32*, u32) -> old;  fence_device()
//   afresh(v)   v; what depends on it is computed here and not kept in registers from elsewhere
//   mul_hi(u32, u32), popcount(u32), clz(u32)

ISOTOPE_DEVICE int lane_index() { return thread_index() & (kWarp - 1); }
ISOTOPE_DEVICE int warp_index() { return thread_index() >> 5; }

ISOTOPE_DEVICE float warp_sum(float v) {
#pragma unroll
  for (int m = kWarp / 2; m > 0; m >>= 1) v += shuffle_xor(v, m);
  return v;
}
ISOTOPE_DEVICE float warp_max(float v) {
#pragma unroll
  for (int m = kWarp / 2; m > 0; m >>= 1) v = max(v, shuffle_xor(v, m));
  return v;
}

ISOTOPE_DEVICE float bf16_to_float(u16 v) { return float_of(u32(v) << 16); }
ISOTOPE_DEVICE u16 float_to_bf16(float v) { return u16(bf16x2_of(v, 0.0f)); }
ISOTOPE_DEVICE float exp(float v) { return exp2(v * 1.4426950408889634f); }
ISOTOPE_DEVICE float log(float v) { return log2(v) * 0.6931471805599453f; }

}  // namespace isotope::gpu

#if defined(ISOTOPE_GFX12)
#include "ops/gpu/arch_gfx12.cuh"
#else
#include "ops/gpu/arch_sm.cuh"
#endif
