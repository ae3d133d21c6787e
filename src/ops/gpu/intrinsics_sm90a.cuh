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
/// Where the same shared memory of another block of the cluster (or this one) is, and a value there.
ISOTOPE_DEVICE u32 address_in(u32 address, int block) {
  u32 there;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(block));
  return there;
}
ISOTOPE_DEVICE float load_from(u32 there) {
  float v;
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(v) : "r"(there) : "memory");
  return v;
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

/// Describes an operand whose rows' 16-byte pieces lie in cores of 8 rows × 16 bytes, `leading` bytes apart along k and
/// `stride` bytes along rows. As they are left out: a tile of gpu_tile128. The description counts 16 bytes, so the next 32
/// bytes of k are at + 2 · leading / 16.
ISOTOPE_DEVICE u64 wgmma_operand(u32 address, u32 leading = 128, u32 stride = 1024) {
  return u64(address >> 4 & 0x3fffu) | u64(leading / 16) << 16 | u64(stride / 16) << 32;
}
constexpr u64 kWgmmaStepK = 256 / 16;  ///< in a descriptor: 32 bytes of k

/// Before the first product of a group, and after registers of sums were touched.
ISOTOPE_DEVICE void wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
ISOTOPE_DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// A barrier of kThreads threads of the block, whole warps; `kId` 1 to 15.
template <int kId, int kThreads>
ISOTOPE_DEVICE void named_barrier() {
  asm volatile("bar.sync %0, %1;" ::"n"(kId), "n"(kThreads) : "memory");
}

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

#define ISOTOPE_SUMS1(j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define ISOTOPE_SUMS2(j) ISOTOPE_SUMS1(j), ISOTOPE_SUMS1(j + 1)
#define ISOTOPE_SUMS4(j) ISOTOPE_SUMS2(j), ISOTOPE_SUMS2(j + 2)
#define ISOTOPE_SUMS8(j) ISOTOPE_SUMS4(j), ISOTOPE_SUMS4(j + 4)
#define ISOTOPE_SUMS16(j) ISOTOPE_SUMS8(j), ISOTOPE_SUMS8(j + 8)
#define ISOTOPE_NAMES1 "%0, %1, %2, %3"
#define ISOTOPE_NAMES2 ISOTOPE_NAMES1 ", %4, %5, %6, %7"
#define ISOTOPE_NAMES4 ISOTOPE_NAMES2 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define ISOTOPE_NAMES8 \
  ISOTOPE_NAMES4 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define ISOTOPE_NAMES16                                                                                               \
  ISOTOPE_NAMES8 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, " \
                 "%51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

// d[group of 8 columns][…] += A[64, 32 bytes of k] · B[columns, 32 bytes of k]^T, or = if not `accumulate`. Warp w of the
// four has rows 16·w…; lane 4·g + t rows g (d[j][0], d[j][1]) and g + 8, columns 8·j + 2·t, + 1. FP8 sums are exact to
// about 14 bits within an instruction, so they must be promoted every few.
#define ISOTOPE_WGMMA(name, tiles, shape, types, transposed, a_name, b_name, more_name)                     \
  ISOTOPE_DEVICE void name(float (&d)[tiles][4], u64 a, u64 b, int accumulate) {                            \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " more_name ", 0;\n"                                     \
                 "wgmma.mma_async.sync.aligned." shape ".f32." types " {" ISOTOPE_NAMES##tiles "}, " a_name \
                 ", " b_name ", p, 1, 1" transposed ";\n}"                                                  \
                 : ISOTOPE_SUMS##tiles(0)                                                                   \
                 : "l"(a), "l"(b), "r"(accumulate));                                                        \
  }
ISOTOPE_WGMMA(wgmma_fp8, 8, "m64n64k32", "e4m3.e4m3", "", "%32", "%33", "%34")
ISOTOPE_WGMMA(wgmma_fp8, 16, "m64n128k32", "e4m3.e4m3", "", "%64", "%65", "%66")
ISOTOPE_WGMMA(wgmma_bf16, 8, "m64n64k16", "bf16.bf16", ", 0, 0", "%32", "%33", "%34")
ISOTOPE_WGMMA(wgmma_bf16, 16, "m64n128k16", "bf16.bf16", ", 0, 0", "%64", "%65", "%66")

// The same with A, of 16 values of k, in registers: a fragment of mma.m16n8k16 for each warp.
#define ISOTOPE_WGMMA_A(name, tiles, shape, types, a_names, b_name, more_name)                                      \
  ISOTOPE_DEVICE void name(float (&d)[tiles][4], const u32 (&a)[4], u64 b, int accumulate) {                        \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " more_name ", 0;\n"                                             \
                 "wgmma.mma_async.sync.aligned." shape ".f32." types " {" ISOTOPE_NAMES##tiles "}, {" a_names "}, " \
                 b_name ", p, 1, 1, 0;\n}"                                                                          \
                 : ISOTOPE_SUMS##tiles(0)                                                                           \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));                            \
  }
#define ISOTOPE_WGMMA_A_BOTH(tiles, shape, a_names, b_name, more_name)                            \
  ISOTOPE_WGMMA_A(wgmma_weights_f16, tiles, shape, "f16.f16", a_names, b_name, more_name)   \
  ISOTOPE_WGMMA_A(wgmma_weights_bf16, tiles, shape, "bf16.bf16", a_names, b_name, more_name)
ISOTOPE_WGMMA_A_BOTH(1, "m64n8k16", "%4, %5, %6, %7", "%8", "%9")
ISOTOPE_WGMMA_A_BOTH(2, "m64n16k16", "%8, %9, %10, %11", "%12", "%13")
ISOTOPE_WGMMA_A_BOTH(4, "m64n32k16", "%16, %17, %18, %19", "%20", "%21")
ISOTOPE_WGMMA_A_BOTH(8, "m64n64k16", "%32, %33, %34, %35", "%36", "%37")
ISOTOPE_WGMMA_A_BOTH(16, "m64n128k16", "%64, %65, %66, %67", "%68", "%69")

#undef ISOTOPE_WGMMA_A_BOTH
#undef ISOTOPE_WGMMA_A
#undef ISOTOPE_WGMMA
#undef ISOTOPE_NAMES16
#undef ISOTOPE_NAMES8
#undef ISOTOPE_NAMES4
#undef ISOTOPE_NAMES2
#undef ISOTOPE_NAMES1
#undef ISOTOPE_SUMS16
#undef ISOTOPE_SUMS8
#undef ISOTOPE_SUMS4
#undef ISOTOPE_SUMS2
#undef ISOTOPE_SUMS1

}  // namespace isotope::gpu
