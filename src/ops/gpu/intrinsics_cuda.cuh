// One instruction each, NVIDIA: see portable.cuh for what every intrinsics file provides.
#pragma once

#define ISOTOPE_DEVICE static __device__ __forceinline__
#define KERNEL(name, Params, threads) \
  extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Params p)
#define KERNEL_BLOCKS(name, Params, threads, blocks) \
  extern "C" __global__ void __launch_bounds__(threads, blocks) name(const __grid_constant__ Params p)
// `blocks` neighbouring blocks (a divisor of the grid) run together and reach each other's shared memory; sm_90.
#define KERNEL_CLUSTER(name, Params, threads, blocks)                                             \
  extern "C" __global__ void __cluster_dims__(blocks, 1, 1) __launch_bounds__(threads, 1) name( \
      const __grid_constant__ Params p)
#define SHARED(type, name, count) __shared__ alignas(16) type name[count]
#define DEVICE_ZEROS(type, name, count) static __device__ type name[count]

namespace isotope::gpu {

ISOTOPE_DEVICE u8* dynamic_shared() {
  extern __shared__ __align__(1024) u8 isotope_dynamic_shared[];
  return isotope_dynamic_shared;
}
ISOTOPE_DEVICE int thread_index() { return int(threadIdx.x); }
ISOTOPE_DEVICE int block_threads() { return int(blockDim.x); }
ISOTOPE_DEVICE int block_x() { return int(blockIdx.x); }
ISOTOPE_DEVICE int block_y() { return int(blockIdx.y); }
ISOTOPE_DEVICE int block_z() { return int(blockIdx.z); }
ISOTOPE_DEVICE int grid_x() { return int(gridDim.x); }
ISOTOPE_DEVICE int grid_y() { return int(gridDim.y); }
ISOTOPE_DEVICE void block_barrier() { __syncthreads(); }
ISOTOPE_DEVICE void shared_barrier() { __syncthreads(); }
ISOTOPE_DEVICE void warp_barrier() { __syncwarp(); }

template <typename T>
ISOTOPE_DEVICE T shuffle(T v, int lane) {
  return __shfl_sync(0xffffffffu, v, lane);
}
template <typename T>
ISOTOPE_DEVICE T shuffle_xor(T v, int mask) {
  return __shfl_xor_sync(0xffffffffu, v, mask);
}

ISOTOPE_DEVICE void wait_for_predecessor() {
#if ISOTOPE_SM >= 90
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
ISOTOPE_DEVICE void release_successor() {
#if ISOTOPE_SM >= 90
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

ISOTOPE_DEVICE Vec16 load_stream(const void* p) {
  Vec16 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]), "=r"(v.w[3])
               : "l"(p));
  return v;
}
ISOTOPE_DEVICE Vec16 load16(const void* p) { return *static_cast<const Vec16*>(p); }
ISOTOPE_DEVICE Vec8 load8(const void* p) { return *static_cast<const Vec8*>(p); }
ISOTOPE_DEVICE u32 load4(const void* p) { return *static_cast<const u32*>(p); }
ISOTOPE_DEVICE void store16(void* p, Vec16 v) { *static_cast<uint4*>(p) = make_uint4(v.w[0], v.w[1], v.w[2], v.w[3]); }
ISOTOPE_DEVICE void store8(void* p, Vec8 v) { *static_cast<uint2*>(p) = make_uint2(v.w[0], v.w[1]); }
// The compiler often takes the stores above apart, word by word.
ISOTOPE_DEVICE void store_global16(void* p, Vec16 v) {
  asm volatile("st.global.v4.u32 [%0], {%1,%2,%3,%4};" ::"l"(p), "r"(v.w[0]), "r"(v.w[1]), "r"(v.w[2]), "r"(v.w[3])
               : "memory");
}
ISOTOPE_DEVICE void store_global8(void* p, Vec8 v) {
  asm volatile("st.global.v2.u32 [%0], {%1,%2};" ::"l"(p), "r"(v.w[0]), "r"(v.w[1]) : "memory");
}
ISOTOPE_DEVICE void prefetch_l2(const void* p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(p)); }

/// `bytes`: a multiple of 16.
ISOTOPE_DEVICE void prefetch_l2_range(const void* p, u32 bytes) {
#if ISOTOPE_SM >= 90
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(p), "r"(bytes));
#else
  for (u32 i = 0; i < bytes; i += 128) prefetch_l2(static_cast<const u8*>(p) + i);
#endif
}

ISOTOPE_DEVICE void scheduling_fence() {}
ISOTOPE_DEVICE void keep_here(float&) {}

constexpr bool kAsyncCopies = true;
ISOTOPE_DEVICE void copy_async16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(u32(__cvta_generic_to_shared(shared))), "l"(global)
               : "memory");
}
ISOTOPE_DEVICE void copy_async4(void* shared, const void* global) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(u32(__cvta_generic_to_shared(shared))), "l"(global)
               : "memory");
}
ISOTOPE_DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int pending>
ISOTOPE_DEVICE void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

ISOTOPE_DEVICE int afresh(int v) {
  asm volatile("" : "+r"(v));
  return v;
}
ISOTOPE_DEVICE u32 bits_of(float v) { return __float_as_uint(v); }
ISOTOPE_DEVICE float float_of(u32 v) { return __uint_as_float(v); }
ISOTOPE_DEVICE float exp2(float v) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(v));
  return r;
}
ISOTOPE_DEVICE float log2(float v) {
  float r;
  asm("lg2.approx.f32 %0, %1;" : "=f"(r) : "f"(v));
  return r;
}
ISOTOPE_DEVICE float rsqrt(float v) { return ::rsqrtf(v); }
ISOTOPE_DEVICE float sqrt(float v) { return __fsqrt_rn(v); }
ISOTOPE_DEVICE float rcp(float v) {
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(v));
  return r;
}
ISOTOPE_DEVICE float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
ISOTOPE_DEVICE float min(float a, float b) { return ::fminf(a, b); }
ISOTOPE_DEVICE float max(float a, float b) { return ::fmaxf(a, b); }
ISOTOPE_DEVICE int min(int a, int b) { return a < b ? a : b; }
ISOTOPE_DEVICE int max(int a, int b) { return a > b ? a : b; }
ISOTOPE_DEVICE float fabs(float v) { return ::fabsf(v); }
ISOTOPE_DEVICE float floor(float v) { return ::floorf(v); }
ISOTOPE_DEVICE bool isnan(float v) { return v != v; }
ISOTOPE_DEVICE bool isinf(float v) { return (bits_of(v) & 0x7fffffffu) == 0x7f800000u; }

ISOTOPE_DEVICE u32 low_halves(u32 a, u32 b) { return __byte_perm(a, b, 0x5410); }
ISOTOPE_DEVICE u32 high_halves(u32 a, u32 b) { return __byte_perm(a, b, 0x7632); }
ISOTOPE_DEVICE u32 bf16x2_of(float lo, float hi) {
  u32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
}
ISOTOPE_DEVICE float bf16_lo(u32 v) { return float_of(v << 16); }
ISOTOPE_DEVICE float bf16_hi(u32 v) { return float_of(v & 0xffff0000u); }
ISOTOPE_DEVICE u32 f16x2_of(float lo, float hi) {
  u32 r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
  return r;
}
ISOTOPE_DEVICE float f16_lo(u32 v) {
  float r;
  asm("{.reg .f16 a, b; mov.b32 {a, b}, %1; cvt.f32.f16 %0, a;}" : "=f"(r) : "r"(v));
  return r;
}
ISOTOPE_DEVICE float f16_hi(u32 v) {
  float r;
  asm("{.reg .f16 a, b; mov.b32 {a, b}, %1; cvt.f32.f16 %0, b;}" : "=f"(r) : "r"(v));
  return r;
}

#if ISOTOPE_SM >= 89
ISOTOPE_DEVICE u16 fp8x2_of(float lo, float hi) {
  u16 r;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(r) : "f"(hi), "f"(lo));
  return r;
}
ISOTOPE_DEVICE u32 fp8x2_to_f16x2(u16 v) {
  u32 r;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(r) : "h"(v));
  return r;
}
#else
/// Ampere has no FP8 instructions. E4M3 is F16's upper bits with another bias: shift and multiply by 2^8, exactly.
ISOTOPE_DEVICE u32 fp8x2_to_f16x2(u16 v) {
  const u32 wide = (u32(v) & 0xffu) << 8 | (u32(v) & 0xff00u) << 16;  // each byte in the upper half of a half
  const u32 bits = (wide & 0x80008000u) | ((wide & 0x7f007f00u) >> 1);
  u32 r;
  asm("mul.f16x2 %0, %1, %2;" : "=r"(r) : "r"(bits), "r"(0x5c005c00u));  // 2^8
  const u32 nan_lo = (v & 0x7fu) == 0x7fu ? 0x7fffu : 0u, nan_hi = (v & 0x7f00u) == 0x7f00u ? 0x7fff0000u : 0u;
  return r | nan_lo | nan_hi;
}
ISOTOPE_DEVICE u32 fp8_code(float v) {
  const u32 sign = bits_of(v) >> 24 & 0x80u;
  const float a = fabs(v);
  if (!(a == a)) return sign | 0x7fu;
  if (a >= 448.0f) return sign | 0x7eu;
  // Adding a power of two whose last place is E4M3's rounds to nearest even there.
  const u32 exponent = max(int(bits_of(a) >> 23), 127 - 6);
  const float anchor = float_of((exponent + 20) << 23);
  const float rounded = __fsub_rn(__fadd_rn(a, anchor), anchor);
  if (rounded < 0.015625f) return sign | u32(rounded * 512.0f);
  return sign | ((bits_of(rounded) >> 20) - ((127 - 7) << 3));
}
ISOTOPE_DEVICE u16 fp8x2_of(float lo, float hi) { return u16(fp8_code(lo) | fp8_code(hi) << 8); }
#endif
ISOTOPE_DEVICE void fp8x2_to_f32(u16 v, float* lo, float* hi) {
  const u32 halves = fp8x2_to_f16x2(v);
  *lo = f16_lo(halves);
  *hi = f16_hi(halves);
}

ISOTOPE_DEVICE u32 atomic_add(u32* p, u32 v) { return atomicAdd(p, v); }
ISOTOPE_DEVICE void fence_device() { __threadfence(); }
ISOTOPE_DEVICE u32 mul_hi(u32 a, u32 b) { return __umulhi(a, b); }
ISOTOPE_DEVICE int popcount(u32 v) { return __popc(v); }
ISOTOPE_DEVICE int clz(u32 v) { return __clz(int(v)); }

/// Four 8 × 8 matrices of 16-bit values from shared memory, row l % 8 of matrix l / 8 at lane l's address: lane l gets values
/// 2·(l % 4) and the next of row l / 4 of each; transposed, of column l / 4.
ISOTOPE_DEVICE void load_matrices(const void* row, u32 (&r)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(u32(__cvta_generic_to_shared(row)))
               : "memory");
}
ISOTOPE_DEVICE void load_matrices_transposed(const void* row, u32 (&r)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(u32(__cvta_generic_to_shared(row)))
               : "memory");
}

/// D[16, 8] += A[16, 16] · B[16, 8] in FP32; the fragments of mma.sync.m16n8k16 (PTX ISA, "Matrix Fragments for
/// mma.m16n8k16 with floating point type").
ISOTOPE_DEVICE void mma_m16n8k16_bf16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
ISOTOPE_DEVICE void mma_m16n8k16_f16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace isotope::gpu
