// Every word of portable.cuh and the matrix instructions of both vendors, for kernels whose lanes are fibers on the
// host. Rounding, NaN and lane layouts are the hardware's; the order of additions inside a matrix instruction is not
// (k ascending in FP32, one rounding an addition).
//
// The whole program on the emulated GPU:
//   cmake --build build/release --target emulated_gpu
//   source tools/emulated_gpu.sh cuda        (or: hip)
//   build/release/src/ops/ops_gpu_test
// One kernel alone, with ordinary host memory (the library emulated_runtime; see emulation_test.cc for more):
//   #include "tests/gpu/emulated_code.h"
//   #include "tests/gpu/fibers.h"
//   using namespace isotope::emulated;
//   const Compiled made = compile_file("src/ops/NAME/NAME.cu", {"-DISOTOPE_SM=80", "-DROWS=8"});
//   if (!made.ok) { puts(made.log.c_str()); return 1; }
//   const LoadedCode code(made.code);
//   std::string error = run(code.find("NAME"), {.grid = {4, 1, 1}, .threads = 256, .shared_bytes = 0}, &params);
// `error` is empty, or tells a deadlock, a wild address or a misaligned access with kernel, block and thread.
//
// Environment: ISOTOPE_EMULATED_ORDER=forward|reverse|random[:SEED] is the order in which the lanes that may run do run,
// and the order of blocks: a missing barrier shows in one of them. Shared memory is full of 0xff bytes (NaN) before every
// block. ISOTOPE_EMULATED_THREADS is how many blocks run at once (2). ISOTOPE_EMULATED_KEEP=1 keeps what is compiled.
// A lane that spins until another block has done something spins for ever.
#pragma once

#include "tests/gpu/emulated_block.h"

#define ISOTOPE_DEVICE __attribute__((unused, always_inline)) static inline
#define KERNEL(name, Params, max_threads)                                                      \
  extern "C" {                                                                                 \
  extern __attribute__((visibility("default"))) const unsigned name##_params_bytes;            \
  const unsigned name##_params_bytes = sizeof(Params);                                         \
  extern __attribute__((visibility("default"))) const unsigned name##_max_threads;             \
  const unsigned name##_max_threads = (max_threads);                                           \
  }                                                                                            \
  static_assert(__is_trivially_copyable(Params), "a kernel takes plain data");                 \
  static void name##_body(const Params& p);                                                    \
  extern "C" __attribute__((visibility("default"))) void name(const void* params) {            \
    name##_body(*static_cast<const Params*>(params));                                          \
  }                                                                                            \
  static void name##_body([[maybe_unused]] const Params& p)
#define KERNEL_BLOCKS(name, Params, threads, blocks) KERNEL(name, Params, threads)
// The lanes of a block share an OS thread, so a thread's own memory is the block's.
#define SHARED(type, name, count) alignas(16) static thread_local type name[count]

#define DEVICE_ZEROS(type, name, count) static type name[count]

// Makes sure that there is such memory, so that it can be found and filled before a block runs.
static thread_local unsigned isotope_shared_anchor[4];
extern "C" __attribute__((visibility("default"))) void* isotope_touch_shared();
void* isotope_touch_shared() { return isotope_shared_anchor; }

namespace isotope::gpu {

#define ISOTOPE_BLOCK ::isotope::emulated::this_block()

ISOTOPE_DEVICE u8* dynamic_shared() { return ISOTOPE_BLOCK->dynamic_shared; }
ISOTOPE_DEVICE int thread_index() { return ::isotope::emulated::this_thread(); }
ISOTOPE_DEVICE int block_threads() { return int(ISOTOPE_BLOCK->threads); }
ISOTOPE_DEVICE int block_x() { return int(ISOTOPE_BLOCK->index[0]); }
ISOTOPE_DEVICE int block_y() { return int(ISOTOPE_BLOCK->index[1]); }
ISOTOPE_DEVICE int block_z() { return int(ISOTOPE_BLOCK->index[2]); }
ISOTOPE_DEVICE int grid_x() { return int(ISOTOPE_BLOCK->grid[0]); }
ISOTOPE_DEVICE int grid_y() { return int(ISOTOPE_BLOCK->grid[1]); }
ISOTOPE_DEVICE void block_barrier() { ISOTOPE_BLOCK->barrier(); }
ISOTOPE_DEVICE void shared_barrier() { ISOTOPE_BLOCK->barrier(); }

ISOTOPE_DEVICE u32 bits_of(float v) { return __builtin_bit_cast(u32, v); }
ISOTOPE_DEVICE float float_of(u32 v) { return __builtin_bit_cast(float, v); }

// Meetings of a warp: each lane leaves its registers, the last to arrive computes for all.
using EmulatedLane = ::isotope::emulated::Lane;
ISOTOPE_DEVICE EmulatedLane& emulated_lane() {
  return ISOTOPE_BLOCK->lanes[::isotope::emulated::this_thread()];
}
static inline void meet_barrier(EmulatedLane*, int) {}
static inline void meet_shuffle(EmulatedLane* lanes, int count) {
  for (int i = 0; i < count; ++i) {
    const int from = int(lanes[i].in[1] & u32(kWarp - 1));
    lanes[i].out[0] = from < count ? lanes[from].in[0] : lanes[i].in[0];
  }
}
ISOTOPE_DEVICE void warp_barrier() { ISOTOPE_BLOCK->meet(meet_barrier, "warp_barrier"); }
template <typename T>
ISOTOPE_DEVICE T shuffle(T v, int lane) {
  static_assert(sizeof(T) == 4, "a shuffle moves 32 bits");
  EmulatedLane& mine = emulated_lane();
  mine.in[0] = __builtin_bit_cast(u32, v);
  mine.in[1] = u32(lane);
  ISOTOPE_BLOCK->meet(meet_shuffle, "shuffle");
  return __builtin_bit_cast(T, mine.out[0]);
}
template <typename T>
ISOTOPE_DEVICE T shuffle_xor(T v, int mask) {
  return shuffle(v, (thread_index() & (kWarp - 1)) ^ mask);
}

ISOTOPE_DEVICE void wait_for_predecessor() {}
ISOTOPE_DEVICE void release_successor() {}

template <typename T>
ISOTOPE_DEVICE T load_aligned(const void* p) {
  if (reinterpret_cast<u64>(p) % sizeof(T) != 0) ISOTOPE_BLOCK->fail("misaligned load");
  return *static_cast<const T*>(p);
}
template <typename T>
ISOTOPE_DEVICE void store_aligned(void* p, T v) {
  if (reinterpret_cast<u64>(p) % sizeof(T) != 0) ISOTOPE_BLOCK->fail("misaligned store");
  *static_cast<T*>(p) = v;
}
ISOTOPE_DEVICE Vec16 load_stream(const void* p) { return load_aligned<Vec16>(p); }
ISOTOPE_DEVICE Vec16 load16(const void* p) { return load_aligned<Vec16>(p); }
ISOTOPE_DEVICE Vec8 load8(const void* p) { return load_aligned<Vec8>(p); }
ISOTOPE_DEVICE u32 load4(const void* p) { return load_aligned<u32>(p); }
ISOTOPE_DEVICE void store16(void* p, Vec16 v) { store_aligned(p, v); }
ISOTOPE_DEVICE void store8(void* p, Vec8 v) { store_aligned(p, v); }
ISOTOPE_DEVICE void store_global16(void* p, Vec16 v) { store_aligned(p, v); }
ISOTOPE_DEVICE void store_global8(void* p, Vec8 v) { store_aligned(p, v); }
ISOTOPE_DEVICE void prefetch_l2(const void*) {}
ISOTOPE_DEVICE void prefetch_l2_range(const void*, u32) {}
ISOTOPE_DEVICE void scheduling_fence() {}
ISOTOPE_DEVICE void keep_here(float&) {}

#if defined(ISOTOPE_GFX12)
constexpr bool kAsyncCopies = false;
ISOTOPE_DEVICE void copy_async16(void* shared, const void* global) { store16(shared, load16(global)); }
ISOTOPE_DEVICE void copy_async4(void* shared, const void* global) { store_aligned(shared, load4(global)); }
ISOTOPE_DEVICE void copy_async_commit() {}
template <int pending>
ISOTOPE_DEVICE void copy_async_wait() {}
#else
// Done at once, as late as a wait allows, or one of them at random: ISOTOPE_EMULATED_ORDER reverse, forward, random.
constexpr bool kAsyncCopies = true;
ISOTOPE_DEVICE void start_aligned_copy(void* shared, const void* global, u32 bytes) {
  if ((reinterpret_cast<u64>(shared) | reinterpret_cast<u64>(global)) % bytes != 0)
    ISOTOPE_BLOCK->fail("misaligned asynchronous copy");
  ISOTOPE_BLOCK->start_copy(shared, global, bytes);
}
ISOTOPE_DEVICE void copy_async16(void* shared, const void* global) { start_aligned_copy(shared, global, 16); }
ISOTOPE_DEVICE void copy_async4(void* shared, const void* global) { start_aligned_copy(shared, global, 4); }
ISOTOPE_DEVICE void copy_async_commit() { ISOTOPE_BLOCK->close_copies(); }
template <int pending>
ISOTOPE_DEVICE void copy_async_wait() {
  ISOTOPE_BLOCK->finish_copies(pending);
}
#endif

ISOTOPE_DEVICE int afresh(int v) { return v; }

ISOTOPE_DEVICE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
ISOTOPE_DEVICE bool isnan(float v) { return v != v; }
ISOTOPE_DEVICE bool isinf(float v) { return (bits_of(v) & 0x7fffffffu) == 0x7f800000u; }
/// The other operand if one is NaN; -0 below +0.
ISOTOPE_DEVICE float min(float a, float b) {
  if (isnan(a)) return b;
  if (isnan(b)) return a;
  return a == b ? float_of(bits_of(a) | bits_of(b)) : a < b ? a : b;
}
ISOTOPE_DEVICE float max(float a, float b) {
  if (isnan(a)) return b;
  if (isnan(b)) return a;
  return a == b ? float_of(bits_of(a) & bits_of(b)) : a > b ? a : b;
}
ISOTOPE_DEVICE int min(int a, int b) { return a < b ? a : b; }
ISOTOPE_DEVICE int max(int a, int b) { return a > b ? a : b; }
ISOTOPE_DEVICE float fabs(float v) { return __builtin_fabsf(v); }
ISOTOPE_DEVICE float floor(float v) { return __builtin_floorf(v); }
ISOTOPE_DEVICE float sqrt(float v) { return __builtin_sqrtf(v); }
ISOTOPE_DEVICE float rsqrt(float v) { return float(1.0 / __builtin_sqrt(double(v))); }
ISOTOPE_DEVICE float flush_subnormal(float v) {
  return (bits_of(v) & 0x7f800000u) == 0 ? float_of(bits_of(v) & 0x80000000u) : v;
}
ISOTOPE_DEVICE float exp2(float v) { return flush_subnormal(__builtin_exp2f(v)); }
#if defined(ISOTOPE_GFX12)
ISOTOPE_DEVICE float log2(float v) { return __builtin_log2f(flush_subnormal(v)); }
ISOTOPE_DEVICE float rcp(float v) { return 1.0f / v; }
#else
ISOTOPE_DEVICE float log2(float v) { return __builtin_log2f(v); }
ISOTOPE_DEVICE float rcp(float v) { return flush_subnormal(1.0f / flush_subnormal(v)); }
#endif

ISOTOPE_DEVICE u32 low_halves(u32 a, u32 b) { return (a & 0xffffu) | b << 16; }
ISOTOPE_DEVICE u32 high_halves(u32 a, u32 b) { return a >> 16 | (b & 0xffff0000u); }

/// NaN becomes 0x7fff on NVIDIA and keeps its upper bits on AMD.
ISOTOPE_DEVICE u32 bf16_bits(float v) {
  const u32 b = bits_of(v);
#if defined(ISOTOPE_GFX12)
  if (isnan(v)) return b >> 16 | 0x40u;
#else
  if (isnan(v)) return 0x7fffu;
#endif
  return (b + 0x7fffu + (b >> 16 & 1u)) >> 16;
}
ISOTOPE_DEVICE u32 bf16x2_of(float lo, float hi) { return bf16_bits(lo) | bf16_bits(hi) << 16; }
ISOTOPE_DEVICE float bf16_lo(u32 v) { return float_of(v << 16); }
ISOTOPE_DEVICE float bf16_hi(u32 v) { return float_of(v & 0xffff0000u); }

ISOTOPE_DEVICE u32 f16_bits(float v) {
  const u32 sign = bits_of(v) >> 16 & 0x8000u;
  const u32 a = bits_of(v) & 0x7fffffffu;
#if defined(ISOTOPE_GFX12)
  if (isnan(v)) return sign | 0x7e00u | (a >> 13 & 0x3ffu);
#else
  if (isnan(v)) return 0x7fffu;
#endif
  if (a >= 0x477ff000u) return sign | 0x7c00u;  // from 65520 on, the nearest is infinity
  // Below 2^-14 halves are multiples of 2^-24, the last place of floats from 0.5 on.
  if (a < 0x38800000u) return sign | (bits_of(float_of(a) + 0.5f) - 0x3f000000u);
  return sign | (((a + 0xfffu + (a >> 13 & 1u)) >> 13) - (112u << 10));
}
ISOTOPE_DEVICE float f16_value(u32 half) {
  const u32 sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31u, mantissa = half & 0x3ffu;
  if (exponent == 31) return float_of(sign | 0x7f800000u | mantissa << 13 | (mantissa ? 0x400000u : 0u));
  if (exponent == 0) return float_of(bits_of(float(mantissa) * 0x1p-24f) | sign);
  return float_of(sign | (exponent + 112u) << 23 | mantissa << 13);
}
ISOTOPE_DEVICE u32 f16x2_of(float lo, float hi) { return f16_bits(lo) | f16_bits(hi) << 16; }
ISOTOPE_DEVICE float f16_lo(u32 v) { return f16_value(v & 0xffffu); }
ISOTOPE_DEVICE float f16_hi(u32 v) { return f16_value(v >> 16); }

ISOTOPE_DEVICE u32 fp8_bits(float v) {
  const u32 sign = bits_of(v) >> 24 & 0x80u;
  const u32 a = bits_of(v) & 0x7fffffffu;
  if (isnan(v)) return sign | 0x7fu;
  if (a >= 0x43e00000u) return sign | 0x7eu;  // 448
  // Below 2^-6 codes are multiples of 2^-9, the last place of floats from 2^14 on.
  if (a < 0x3c800000u) return sign | (bits_of(float_of(a) + 0x1p14f) - 0x46800000u);
  return sign | (((a + 0x7ffffu + (a >> 20 & 1u)) >> 20) - (120u << 3));
}
ISOTOPE_DEVICE float fp8_value(u32 code) {
  const u32 sign = (code & 0x80u) << 24, magnitude = code & 0x7fu;
  if (magnitude == 0x7fu) return float_of(sign | 0x7fc00000u);
  if (magnitude < 8u) return float_of(bits_of(float(magnitude) * 0x1p-9f) | sign);
  return float_of(sign | ((magnitude << 20) + (120u << 23)));
}
ISOTOPE_DEVICE u16 fp8x2_of(float lo, float hi) { return u16(fp8_bits(lo) | fp8_bits(hi) << 8); }
ISOTOPE_DEVICE void fp8x2_to_f32(u16 v, float* lo, float* hi) {
  *lo = fp8_value(v & 0xffu);
  *hi = fp8_value(v >> 8);
}
ISOTOPE_DEVICE u32 fp8x2_to_f16x2(u16 v) { return f16x2_of(fp8_value(v & 0xffu), fp8_value(v >> 8)); }

ISOTOPE_DEVICE u32 atomic_add(u32* p, u32 v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
ISOTOPE_DEVICE void fence_device() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
ISOTOPE_DEVICE u32 mul_hi(u32 a, u32 b) { return u32(u64(a) * b >> 32); }
ISOTOPE_DEVICE int popcount(u32 v) { return __builtin_popcount(v); }
ISOTOPE_DEVICE int clz(u32 v) { return v ? __builtin_clz(v) : 32; }

}  // namespace isotope::gpu

#include "tests/gpu/matrix_emulated.cuh"
