// One instruction each, AMD RDNA4 (gfx12) in wave32: see portable.cuh for what every intrinsics file provides.
#pragma once

#define ISOTOPE_DEVICE static inline __attribute__((device, always_inline))
#define KERNEL(name, Params, threads)                                        \
  extern "C" __attribute__((global, amdgpu_flat_work_group_size(threads, threads))) void name(const Params p)
// Waves on each of a work-group processor's four SIMDs.
#define KERNEL_BLOCKS(name, Params, threads, blocks)                                                   \
  extern "C" __attribute__((global, amdgpu_flat_work_group_size(threads, threads),                     \
                            amdgpu_waves_per_eu(((threads) * (blocks) + 127) / 128))) void name(const Params p)
#define SHARED(type, name, count) static __attribute__((shared, aligned(16))) type name[count]
#define DEVICE_ZEROS(type, name, count) static __attribute__((device)) type name[count]

namespace isotope::gpu {

extern __attribute__((shared)) Vec16 isotope_dynamic_shared[];

ISOTOPE_DEVICE u8* dynamic_shared() { return reinterpret_cast<u8*>(isotope_dynamic_shared); }
ISOTOPE_DEVICE int thread_index() { return int(__builtin_amdgcn_workitem_id_x()); }
ISOTOPE_DEVICE int block_threads() { return int(__builtin_amdgcn_workgroup_size_x()); }
ISOTOPE_DEVICE int block_x() { return int(__builtin_amdgcn_workgroup_id_x()); }
ISOTOPE_DEVICE int block_y() { return int(__builtin_amdgcn_workgroup_id_y()); }
ISOTOPE_DEVICE int block_z() { return int(__builtin_amdgcn_workgroup_id_z()); }
ISOTOPE_DEVICE int grid_x() { return int(__builtin_amdgcn_grid_size_x() / __builtin_amdgcn_workgroup_size_x()); }
ISOTOPE_DEVICE int grid_y() { return int(__builtin_amdgcn_grid_size_y()); }
ISOTOPE_DEVICE void block_barrier() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}
/// In assembly, because the compiler's barrier waits for loads of global memory too.
ISOTOPE_DEVICE void shared_barrier() {
  asm volatile("s_wait_dscnt 0x0\n\ts_barrier_signal -1\n\ts_barrier_wait -1" ::: "memory");
}
ISOTOPE_DEVICE void warp_barrier() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
  __builtin_amdgcn_wave_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}

ISOTOPE_DEVICE u32 shuffle(u32 v, int lane) { return u32(__builtin_amdgcn_ds_bpermute(lane << 2, int(v))); }
ISOTOPE_DEVICE i32 shuffle(i32 v, int lane) { return __builtin_amdgcn_ds_bpermute(lane << 2, v); }
ISOTOPE_DEVICE float shuffle(float v, int lane) {
  return __builtin_bit_cast(float, __builtin_amdgcn_ds_bpermute(lane << 2, __builtin_bit_cast(int, v)));
}
template <typename T>
ISOTOPE_DEVICE T shuffle_xor(T v, int mask) {
  return shuffle(v, int(__builtin_amdgcn_mbcnt_lo(~0u, 0u)) ^ mask);
}

ISOTOPE_DEVICE void wait_for_predecessor() {}
ISOTOPE_DEVICE void release_successor() {}

typedef u32 u32x4 __attribute__((ext_vector_type(4)));
typedef u32 u32x2 __attribute__((ext_vector_type(2)));
typedef __attribute__((address_space(1))) const u32x4 GlobalVec16;

ISOTOPE_DEVICE Vec16 load_stream(const void* p) {
  const u32x4 v = __builtin_nontemporal_load((GlobalVec16*)(p));
  return __builtin_bit_cast(Vec16, v);
}
ISOTOPE_DEVICE Vec16 load16(const void* p) { return __builtin_bit_cast(Vec16, *static_cast<const u32x4*>(p)); }
ISOTOPE_DEVICE Vec8 load8(const void* p) { return __builtin_bit_cast(Vec8, *static_cast<const u32x2*>(p)); }
ISOTOPE_DEVICE u32 load4(const void* p) { return *static_cast<const u32*>(p); }
ISOTOPE_DEVICE void store16(void* p, Vec16 v) { *static_cast<u32x4*>(p) = __builtin_bit_cast(u32x4, v); }
ISOTOPE_DEVICE void store8(void* p, Vec8 v) { *static_cast<u32x2*>(p) = __builtin_bit_cast(u32x2, v); }
typedef __attribute__((address_space(1))) u32x4 GlobalStore16;
typedef __attribute__((address_space(1))) u32x2 GlobalStore8;
ISOTOPE_DEVICE void store_global16(void* p, Vec16 v) { *(GlobalStore16*)(p) = __builtin_bit_cast(u32x4, v); }
ISOTOPE_DEVICE void store_global8(void* p, Vec8 v) { *(GlobalStore8*)(p) = __builtin_bit_cast(u32x2, v); }
ISOTOPE_DEVICE void prefetch_l2(const void*) {}

ISOTOPE_DEVICE void prefetch_l2_range(const void*, u32) {}
/// Instructions do not move across this.
ISOTOPE_DEVICE void scheduling_fence() { __builtin_amdgcn_sched_barrier(0); }
/// The value is computed here, not where it is used.
ISOTOPE_DEVICE void keep_here(float& v) { asm volatile("" : "+v"(v)); }

constexpr bool kAsyncCopies = false;
ISOTOPE_DEVICE void copy_async16(void* shared, const void* global) { store16(shared, load16(global)); }
ISOTOPE_DEVICE void copy_async4(void* shared, const void* global) { *static_cast<u32*>(shared) = load4(global); }
ISOTOPE_DEVICE void copy_async_commit() {}
template <int pending>
ISOTOPE_DEVICE void copy_async_wait() {}

ISOTOPE_DEVICE int afresh(int v) {
  asm volatile("" : "+v"(v));
  return v;
}
ISOTOPE_DEVICE u32 bits_of(float v) { return __builtin_bit_cast(u32, v); }
ISOTOPE_DEVICE float float_of(u32 v) { return __builtin_bit_cast(float, v); }
ISOTOPE_DEVICE float exp2(float v) { return __builtin_amdgcn_exp2f(v); }
ISOTOPE_DEVICE float log2(float v) { return __builtin_amdgcn_logf(v); }
ISOTOPE_DEVICE float rsqrt(float v) { return __builtin_amdgcn_rsqf(v); }
ISOTOPE_DEVICE float sqrt(float v) { return __builtin_amdgcn_sqrtf(v); }
ISOTOPE_DEVICE float rcp(float v) { return __builtin_amdgcn_rcpf(v); }
ISOTOPE_DEVICE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
ISOTOPE_DEVICE float min(float a, float b) { return __builtin_fminf(a, b); }
ISOTOPE_DEVICE float max(float a, float b) { return __builtin_fmaxf(a, b); }
ISOTOPE_DEVICE int min(int a, int b) { return a < b ? a : b; }
ISOTOPE_DEVICE int max(int a, int b) { return a > b ? a : b; }
ISOTOPE_DEVICE float fabs(float v) { return __builtin_fabsf(v); }
ISOTOPE_DEVICE float floor(float v) { return __builtin_floorf(v); }
ISOTOPE_DEVICE bool isnan(float v) { return v != v; }
ISOTOPE_DEVICE bool isinf(float v) { return (bits_of(v) & 0x7fffffffu) == 0x7f800000u; }

ISOTOPE_DEVICE u32 low_halves(u32 a, u32 b) { return __builtin_amdgcn_perm(b, a, 0x05040100u); }
ISOTOPE_DEVICE u32 high_halves(u32 a, u32 b) { return __builtin_amdgcn_perm(b, a, 0x07060302u); }

/// RDNA4 has no conversion of single floats to BF16; integers round to nearest even as well.
ISOTOPE_DEVICE u32 bf16_bits(float v) {
  const u32 b = bits_of(v);
  const u32 rounded = (b + 0x7fffu + (b >> 16 & 1u)) >> 16;
  return isnan(v) ? (b >> 16 | 0x40u) : rounded;
}
ISOTOPE_DEVICE u32 bf16x2_of(float lo, float hi) { return bf16_bits(lo) | bf16_bits(hi) << 16; }
ISOTOPE_DEVICE float bf16_lo(u32 v) { return float_of(v << 16); }
ISOTOPE_DEVICE float bf16_hi(u32 v) { return float_of(v & 0xffff0000u); }
typedef _Float16 f16x2 __attribute__((ext_vector_type(2)));
ISOTOPE_DEVICE u32 f16x2_of(float lo, float hi) {
  return __builtin_bit_cast(u32, f16x2{_Float16(lo), _Float16(hi)});
}
ISOTOPE_DEVICE float f16_lo(u32 v) { return float(__builtin_bit_cast(f16x2, v).x); }
ISOTOPE_DEVICE float f16_hi(u32 v) { return float(__builtin_bit_cast(f16x2, v).y); }

/// The instruction rounds to nearest even and gives NaN beyond 448, so the magnitude is limited first; fmin and fmax
/// would also turn NaN into a number, hence the test.
ISOTOPE_DEVICE float fp8_range(float v) { return isnan(v) ? v : __builtin_amdgcn_fmed3f(v, -448.0f, 448.0f); }
ISOTOPE_DEVICE u16 fp8x2_of(float lo, float hi) {
  return u16(__builtin_amdgcn_cvt_pk_fp8_f32(fp8_range(lo), fp8_range(hi), 0, false));
}
typedef float f32x2 __attribute__((ext_vector_type(2)));
ISOTOPE_DEVICE void fp8x2_to_f32(u16 v, float* lo, float* hi) {
  const f32x2 r = __builtin_amdgcn_cvt_pk_f32_fp8(int(v), false);
  *lo = r.x;
  *hi = r.y;
}
ISOTOPE_DEVICE u32 fp8x2_to_f16x2(u16 v) {
  float lo, hi;
  fp8x2_to_f32(v, &lo, &hi);
  return f16x2_of(lo, hi);
}

ISOTOPE_DEVICE u32 atomic_add(u32* p, u32 v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
ISOTOPE_DEVICE void fence_device() { __builtin_amdgcn_fence(__ATOMIC_SEQ_CST, "agent"); }
ISOTOPE_DEVICE u32 mul_hi(u32 a, u32 b) { return u32(u64(a) * b >> 32); }
ISOTOPE_DEVICE int popcount(u32 v) { return __builtin_popcount(v); }
ISOTOPE_DEVICE int clz(u32 v) { return v ? __builtin_clz(v) : 32; }

/// D[16, 16] += A[16, 16] · B[16, 16] in FP32, RDNA4's fragments: lane l holds row (A) or column (B) l % 16 and, of k,
/// the eight values from 8·(l / 16); of D column l % 16 and rows 8·(l / 16) + i.
typedef float f32x8 __attribute__((ext_vector_type(8)));
typedef short i16x8 __attribute__((ext_vector_type(8)));
typedef _Float16 f16x8 __attribute__((ext_vector_type(8)));
typedef int i32x2 __attribute__((ext_vector_type(2)));
struct alignas(16) WmmaHalves {  // eight 16-bit values
  u32 w[4];
};
ISOTOPE_DEVICE void wmma_bf16(float (&d)[8], const u32 (&a)[4], const u32 (&b)[4]) {
  const WmmaHalves x{a[0], a[1], a[2], a[3]}, y{b[0], b[1], b[2], b[3]};
  f32x8 c = {d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]};
  c = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(__builtin_bit_cast(i16x8, x), __builtin_bit_cast(i16x8, y), c);
#pragma unroll
  for (int i = 0; i < 8; ++i) d[i] = c[i];
}
ISOTOPE_DEVICE void wmma_f16(float (&d)[8], const u32 (&a)[4], const u32 (&b)[4]) {
  const WmmaHalves x{a[0], a[1], a[2], a[3]}, y{b[0], b[1], b[2], b[3]};
  f32x8 c = {d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]};
  c = __builtin_amdgcn_wmma_f32_16x16x16_f16_w32_gfx12(__builtin_bit_cast(f16x8, x), __builtin_bit_cast(f16x8, y), c);
#pragma unroll
  for (int i = 0; i < 8; ++i) d[i] = c[i];
}
/// Eight E4M3 values a lane of A and B.
ISOTOPE_DEVICE void wmma_fp8(float (&d)[8], const u32 (&a)[2], const u32 (&b)[2]) {
  f32x8 c = {d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]};
  c = __builtin_amdgcn_wmma_f32_16x16x16_fp8_fp8_w32_gfx12(i32x2{int(a[0]), int(a[1])}, i32x2{int(b[0]), int(b[1])}, c);
#pragma unroll
  for (int i = 0; i < 8; ++i) d[i] = c[i];
}

}  // namespace isotope::gpu
