// What only sm_90a has: bulk copies that complete on barriers in shared memory, products of a warp group (four warps)
// with both operands in shared memory, and registers moved between warp groups.
#pragma once

#define ISOTOPE_MEMBER __device__ __forceinline__

namespace isotope::gpu {

ISOTOPE_DEVICE u32 shared_address(const void* p) { return u32(__cvta_generic_to_shared(p)); }

// Barriers: 8 bytes of shared memory each. A phase ends when all arrivals and all expected bytes have come.
ISOTOPE_DEVICE void barrier_init(u32 barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
/// Makes initialised barriers known to copies and to the cluster; a block (or cluster) barrier must follow.
ISOTOPE_DEVICE void barrier_init_done() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
ISOTOPE_DEVICE void barrier_arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
/// Arrives at the barrier of the same address in another block of the cluster (or this one).
ISOTOPE_DEVICE void barrier_arrive_at(u32 barrier, int block) {
  asm volatile(
      "{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];\n}" ::"r"(barrier),
      "r"(block)
      : "memory");
}
ISOTOPE_DEVICE void barrier_arrive_expect(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
/// Waits until the phase of this parity (0 first) has ended.
ISOTOPE_DEVICE void barrier_wait(u32 barrier, u32 parity) {
  u32 done = 0;
  while (!done)
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
}
/// The same for a barrier at which other blocks of the cluster arrive.
ISOTOPE_DEVICE void barrier_wait_cluster(u32 barrier, u32 parity) {
  u32 done = 0;
  while (!done)
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
}

ISOTOPE_DEVICE int cluster_rank() {
  u32 rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return int(rank);
}
/// All threads of all blocks of the cluster.
ISOTOPE_DEVICE void cluster_barrier() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/// What ordinary stores have written becomes visible to bulk copies and warp-group products.
ISOTOPE_DEVICE void fence_async() { asm volatile("fence.proxy.async;" ::: "memory"); }

/// `bytes` (a multiple of 16) from global to shared memory, counted by `barrier`.
ISOTOPE_DEVICE void bulk_copy(u32 to, const void* from, u32 bytes, u32 barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(from), "r"(bytes), "r"(barrier)
               : "memory");
}
/// The same into every block of the cluster that `blocks` has a bit of, each counted by its own barrier.
ISOTOPE_DEVICE void bulk_copy_to(u32 to, const void* from, u32 bytes, u32 barrier, u16 blocks) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], %4;"
      ::"r"(to),
      "l"(from), "r"(bytes), "r"(barrier), "h"(blocks)
      : "memory");
}

template <int kRegisters>
ISOTOPE_DEVICE void more_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
ISOTOPE_DEVICE void fewer_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

/// Describes an operand whose rows' 16-byte pieces lie in cores of 8 rows × 16 bytes, next to each other along k (128
/// bytes apart, the leading offset) and panels of 1024 bytes along rows (the stride offset): a tile of gpu_tile128.
/// Offsets count 16 bytes, so the next 32 bytes of k are at + 16.
ISOTOPE_DEVICE u64 wgmma_operand(u32 address) {
  return u64(address >> 4 & 0x3fffu) | u64(128 / 16) << 16 | u64(1024 / 16) << 32;
}
constexpr u64 kWgmmaStepK = 256 / 16;  ///< in a descriptor: 32 bytes of k

/// Before the first product of a group, and after registers of sums were touched.
ISOTOPE_DEVICE void wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
ISOTOPE_DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Until at most kGroups committed groups are not finished.
template <int kGroups>
ISOTOPE_DEVICE void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroups) : "memory");
}
/// Keeps the compiler from moving uses of sums across this point.
template <int kCount>
ISOTOPE_DEVICE void wgmma_hold(float (&d)[kCount][4]) {
#pragma unroll
  for (int j = 0; j < kCount; ++j)
#pragma unroll
    for (int i = 0; i < 4; ++i) asm volatile("" : "+f"(d[j][i])::"memory");
}

// d[group of 8 columns][…] += A[64, 32 bytes of k] · B[columns, 32 bytes of k]^T, or = if not `accumulate`. Warp w of the
// four has rows 16·w…; lane 4·g + t rows g (d[j][0], d[j][1]) and g + 8, columns 8·j + 2·t, + 1. FP8 sums are exact to
// about 14 bits within an instruction, so they must be promoted every few.
#define ISOTOPE_SUMS1(j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define ISOTOPE_SUMS4(j) ISOTOPE_SUMS1(j), ISOTOPE_SUMS1(j + 1), ISOTOPE_SUMS1(j + 2), ISOTOPE_SUMS1(j + 3)
ISOTOPE_DEVICE void wgmma_fp8(float (&d)[8][4], u64 a, u64 b, int accumulate) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k32.f32.e4m3.e4m3 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "%32, %33, p, 1, 1;\n}"
      : ISOTOPE_SUMS4(0), ISOTOPE_SUMS4(4)
      : "l"(a), "l"(b), "r"(accumulate));
}

ISOTOPE_DEVICE void wgmma_bf16(float (&d)[8][4], u64 a, u64 b, int accumulate) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "%32, %33, p, 1, 1, 0, 0;\n}"
      : ISOTOPE_SUMS4(0), ISOTOPE_SUMS4(4)
      : "l"(a), "l"(b), "r"(accumulate));
}

ISOTOPE_DEVICE void wgmma_fp8(float (&d)[16][4], u64 a, u64 b, int accumulate) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, p, 1, 1;\n}"
      : ISOTOPE_SUMS4(0), ISOTOPE_SUMS4(4), ISOTOPE_SUMS4(8), ISOTOPE_SUMS4(12)
      : "l"(a), "l"(b), "r"(accumulate));
}

ISOTOPE_DEVICE void wgmma_bf16(float (&d)[16][4], u64 a, u64 b, int accumulate) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, p, 1, 1, 0, 0;\n}"
      : ISOTOPE_SUMS4(0), ISOTOPE_SUMS4(4), ISOTOPE_SUMS4(8), ISOTOPE_SUMS4(12)
      : "l"(a), "l"(b), "r"(accumulate));
}

#undef ISOTOPE_SUMS4
#undef ISOTOPE_SUMS1

}  // namespace isotope::gpu
