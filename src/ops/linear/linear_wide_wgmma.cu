// Many rows on sm_90a: two groups of four warps widen weights in registers and multiply (wgmma): instructions as wide as there
// are columns read the inputs from shared memory, which would otherwise go to the registers of each warp. One thread
// copies weights and inputs of the next tiles of k to a ring of stages, across row tiles. Where k is cut into groups of
// parts, a cluster of blocks has them all, adds up their sums and goes on to its next row tile. Sums and their order are those
// of linear_wide.cu, bit for bit.
//
//   weights gpu_tile128 [n / 128][k_tiles · 16 KiB]; inputs by linear_inputs in operand order
//   launch: grid (at most row tiles · kBlocks, passes), 384 threads, dynamic shared memory for ISOTOPE_LINEAR_STAGES stages
//   with scales and two barriers each, two barriers more and, with kSumsInShared, 128 · columns floats.
//
//   ISOTOPE_LINEAR_TILES   tiles of kMmaRows columns: 1, 2, 4, 8, 16
//   ISOTOPE_LINEAR_GROUPS  of the parts of k: 1, 2, 4, 8
//   ISOTOPE_LINEAR_ROWS    of a row tile: 128, of which each group of warps has half, or 64, all of them in both groups of warps,
//                          which then have different groups of k (there are at least two)
//   ISOTOPE_LINEAR_CLUSTER blocks of a cluster
#include "ops/gpu/portable.cuh"
#include "ops/gpu/intrinsics_sm90a.cuh"
#include "ops/linear/linear_wide.cuh"

namespace isotope::gpu {
namespace {

constexpr int kStages = ISOTOPE_LINEAR_STAGES;
constexpr int kRows = ISOTOPE_LINEAR_ROWS;
constexpr int kGroups = ISOTOPE_LINEAR_GROUPS;
constexpr bool kSplit = kRows == 64;         ///< groups of warps have different groups of k
constexpr int kSlices = kSplit ? 2 : 1;      ///< tiles of k in a stage
constexpr int kBlocks = ISOTOPE_LINEAR_CLUSTER;
static_assert(kBlocks * kSlices == kGroups);
constexpr int kSliceBytes = kTileBytes / kSlices;
constexpr int kInputBytes = kColumns * kTileValues * 2;  ///< of a slice
constexpr int kStageScales = kScales == 0 ? 0 : kScales == 1 ? 16 : 128;
constexpr int kStageBytes = kTileBytes + kSlices * kInputBytes;
constexpr int kMmas = kTileValues / 16;  ///< along a tile of k
constexpr bool kManyRegisters = kTiles >= 8;  ///< multiplying warps need those of the copying ones
constexpr bool kSumsInShared = kGroupInShared || kGroups > 1;
constexpr int kSumBytes = kSumsInShared ? 128 * kColumns * 4 : 0;

/// Shared memory: stages, sums, scales of the stages, barriers. The host counts the same.
struct Shared {
  u8* base;
  ISOTOPE_MEMBER u8* weights(int slot) const { return base + slot * kStageBytes; }
  ISOTOPE_MEMBER u8* inputs(int slot) const { return weights(slot) + kTileBytes; }
  ISOTOPE_MEMBER float* sums() const { return reinterpret_cast<float*>(base + kStages * kStageBytes); }
  ISOTOPE_MEMBER float* scales(int slot) const {
    return reinterpret_cast<float*>(base + kStages * kStageBytes + kSumBytes) + slot * kStageScales;
  }
  ISOTOPE_MEMBER u32 full(int slot) const { return shared_address(scales(kStages)) + slot * 16; }
  ISOTOPE_MEMBER u32 empty(int slot) const { return full(slot) + 8; }
  /// Sums of all blocks of the cluster are there; they were read.
  ISOTOPE_MEMBER u32 sums_full() const { return full(kStages); }
  ISOTOPE_MEMBER u32 sums_empty() const { return empty(kStages); }
};

/// Which stage comes next, and how often the ring was gone round.
struct Ring {
  int slot = 0;
  u32 parity = 0;
  ISOTOPE_MEMBER void next() {
    if (++slot == kStages) {
      slot = 0;
      parity ^= 1;
    }
  }
};

ISOTOPE_DEVICE int block_rank() { return kBlocks > 1 ? cluster_rank() : 0; }
ISOTOPE_DEVICE int warp_group() { return warp_index() / 4; }
/// The group of k of this group of warps.
ISOTOPE_DEVICE int group_index() { return kSplit ? block_rank() * 2 + warp_group() : block_rank(); }

/// The stages of all row tiles of this block, one after the other. Slices may be of different lengths.
struct Cursor {
  GroupRange range[kSlices];
  int row_tile, row_tiles, step, steps;
  ISOTOPE_MEMBER explicit Cursor(const LinearDecodeParams& p) : row_tile(block_x() / kBlocks), step(0), steps(0) {
#pragma unroll
    for (int i = 0; i < kSlices; ++i) {
      range[i] = group_range(p, block_rank() * kSlices + i);
      steps = max(steps, range[i].end - range[i].begin);
    }
    row_tiles = steps > 0 ? p.strips * 16 / kRows : 0;
  }
  ISOTOPE_MEMBER bool done() const { return row_tile >= row_tiles; }
  ISOTOPE_MEMBER void next() {
    if (++step < steps) return;
    step = 0;
    row_tile += grid_x() / kBlocks;
  }
  ISOTOPE_MEMBER int tile(int slice) const { return range[slice].begin + step; }
  ISOTOPE_MEMBER bool has(int slice) const { return tile(slice) < range[slice].end; }
};

ISOTOPE_DEVICE void copy_weights(const LinearDecodeParams& p, const Shared& shared, int slot, const Cursor& at) {
  u32 bytes = 0;
#pragma unroll
  for (int i = 0; i < kSlices; ++i) bytes += at.has(i) ? kSliceBytes + kInputBytes : 0;
  barrier_arrive_expect(shared.full(slot), bytes);
#pragma unroll
  for (int i = 0; i < kSlices; ++i)
    if (at.has(i)) {
      const i64 tile = i64(at.row_tile / kSlices) * p.k_tiles + at.tile(i);
      bulk_copy(shared_address(shared.weights(slot)) + i * kSliceBytes,
                static_cast<const u8*>(p.weights) + tile * kTileBytes + at.row_tile % kSlices * kSliceBytes, kSliceBytes,
                shared.full(slot));
    }
}
ISOTOPE_DEVICE void copy_inputs(const LinearDecodeParams& p, const Shared& shared, int slot, const Cursor& at) {
#pragma unroll
  for (int i = 0; i < kSlices; ++i)
    if (at.has(i))
      bulk_copy(shared_address(shared.inputs(slot)) + i * kInputBytes,
                static_cast<const u8*>(p.inputs) + (i64(at.tile(i)) * grid_y() + block_y()) * kInputBytes, kInputBytes,
                shared.full(slot));
}

/// One thread: fills the ring. The first weights are fetched while the launch before this one still runs.
ISOTOPE_DEVICE void copy_tiles(const LinearDecodeParams& p, const Shared& shared) {
  int ahead = 0;
  for (Cursor at(p); !at.done() && ahead < kStages; at.next()) copy_weights(p, shared, ahead++, at);
  wait_for_predecessor();
  fence_async();
  Ring ring;
  for (Cursor at(p); !at.done(); at.next(), ring.next()) {
    if (--ahead < 0) {
      barrier_wait(shared.empty(ring.slot), ring.parity ^ 1);
      copy_weights(p, shared, ring.slot, at);
    }
    copy_inputs(p, shared, ring.slot, at);
  }
}

/// One warp: the scales of each stage, which lie scattered.
ISOTOPE_DEVICE void copy_scales(const LinearDecodeParams& p, const Shared& shared) {
  constexpr int kEach = (kStageScales + kWarp - 1) / kWarp;
  constexpr int kSliceScales = kStageScales > 0 ? kStageScales / kSlices : 1;
  Ring ring;
  for (Cursor at(p); !at.done(); at.next(), ring.next()) {
    float scale[kEach + 1];
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int j = min(i * kWarp + lane_index(), kStageScales - 1), slice = kSplit ? j / kSliceScales : 0;
      const int tile = min(slice == 0 ? at.tile(0) : at.tile(kSlices - 1), p.k_tiles - 1);
      scale[i] = p.scales[(i64(at.row_tile) * kSliceScales + j % kSliceScales) * p.k_tiles + tile];
    }
    barrier_wait(shared.empty(ring.slot), ring.parity ^ 1);
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      if (i * kWarp + lane_index() < kStageScales) shared.scales(ring.slot)[i * kWarp + lane_index()] = scale[i];
    barrier_arrive(shared.full(ring.slot));
  }
}

/// A warp's weights of a tile of k, widened.
struct Weights {
  WeightFragment step[2];
};

ISOTOPE_DEVICE void load_weights(const Shared& shared, const Ring& ring, Weights& w) {
  barrier_wait(shared.full(ring.slot), ring.parity);
  const u8* from = shared.weights(ring.slot) + warp_index() * 2048 + lane_index() % 4 * 128 + lane_index() / 4 * 16;
#pragma unroll
  for (int s = 0; s < 2; ++s) w.step[s] = widen(load16(from + s * 512), load16(from + s * 512 + kSecondVector));
}

/// Until the products that read these registers are done, nothing else may be in them.
ISOTOPE_DEVICE void hold(Weights& w) {
#pragma unroll
  for (int m = 0; m < kMmas; ++m)
#pragma unroll
    for (int i = 0; i < 4; ++i) asm volatile("" : "+r"(w.step[m / (kMmas / 2)].a[m % (kMmas / 2)][i])::"memory");
}

/// Queues sums (+)= weights · inputs of a tile of k.
ISOTOPE_DEVICE void queue_products(Sums& sums, Weights& w, u32 inputs, bool accumulate) {
  const u64 operand = wgmma_operand(inputs, 128, kTileValues * 16);
  wgmma_hold(sums);
  hold(w);
  wgmma_begin();
#pragma unroll
  for (int m = 0; m < kMmas; ++m) {
    const u32(&a)[4] = w.step[m / (kMmas / 2)].a[m % (kMmas / 2)];
    if constexpr (kFp8)
      wgmma_weights_f16(sums, a, operand + m * (256 / 16), accumulate || m > 0);
    else
      wgmma_weights_bf16(sums, a, operand + m * (256 / 16), accumulate || m > 0);
  }
  wgmma_commit();
  wgmma_hold(sums);
}
ISOTOPE_DEVICE void wait_products(Sums& sums, Weights& w) {
  wgmma_wait<0>();
  wgmma_hold(sums);
  hold(w);
}

/// A warp is done with a stage. Who read scales, which a warp writes, arrives itself: racecheck does not see that a lane arrives for
/// its warp.
ISOTOPE_DEVICE void release(const Shared& shared, int slot) {
  warp_barrier();
  if (kScales == 2 || lane_index() == 0) barrier_arrive(shared.empty(slot));
}

/// Scales of the rows of accumulators 0 and 1, 2 and 3.
ISOTOPE_DEVICE void stage_scales(const Shared& shared, int slot, float& low, float& high) {
  if constexpr (kScales == 2) {
    const float* scales = shared.scales(slot) + warp_index() * 16 + lane_index() / 4;
    low = scales[0];
    high = scales[8];
  } else {
    low = high = 0.0f;
    if (lane_index() == 0) {
      low = shared.scales(slot)[warp_index() * 2];
      high = shared.scales(slot)[warp_index() * 2 + 1];
    }
    low = shuffle(low, 0);
    high = shuffle(high, 0);
  }
}

/// sums += the ring's tile of k, whose weights are in `now`; if there are more, those of the next come to `next` meanwhile.
ISOTOPE_DEVICE void add_tile(const Shared& shared, Ring& ring, bool more, Weights& now, Weights& next, Sums& sums) {
  const int slot = ring.slot;
  const u32 inputs = shared_address(shared.inputs(slot)) + (kSplit ? warp_group() * kInputBytes : 0);
  if constexpr (kScaledTiles) {
    Sums acc;
    queue_products(acc, now, inputs, false);
    float low, high;
    stage_scales(shared, slot, low, high);
    ring.next();
    if (more) load_weights(shared, ring, next);
    wait_products(acc, now);
    release(shared, slot);
#pragma unroll
    for (int c = 0; c < kTiles; ++c)
#pragma unroll
      for (int i = 0; i < kAccumulators; ++i) sums[c][i] = fma(acc[c][i], i < 2 ? low : high, sums[c][i]);
  } else {
    queue_products(sums, now, inputs, true);
    ring.next();
    if (more) load_weights(shared, ring, next);
    wait_products(sums, now);
    release(shared, slot);
  }
}

/// The sums of this group of warps over its `tiles` tiles of k, of stages for `steps`.
ISOTOPE_DEVICE void add_tiles(const Shared& shared, Ring& ring, int tiles, int steps, GroupSums& sums) {
  Weights even, odd;
  if (tiles > 0) load_weights(shared, ring, even);
  for (int i = 0; i < tiles; i += 2) {
    add_tile(shared, ring, i + 1 < tiles, even, odd, sums.part);
    end_tile(sums);
    if (i + 1 == tiles) break;
    add_tile(shared, ring, i + 2 < tiles, odd, even, sums.part);
    end_tile(sums);
  }
  for (int i = tiles; i < steps; ++i, ring.next()) {
    barrier_wait(shared.full(ring.slot), ring.parity);
    release(shared, ring.slot);
  }
}

/// All multiplying threads of all blocks of the cluster have come to meet_begin before any leaves meet_end with the same barrier.
/// One thread waits for the others' blocks and a barrier of this block passes it on: what compute-sanitizer's racecheck can follow.
ISOTOPE_DEVICE void meet_begin(u32 barrier) {
  named_barrier<1, kProductThreads>();
  if constexpr (kBlocks > 1)
    if (thread_index() < kBlocks) barrier_arrive_at(barrier, thread_index());
}
ISOTOPE_DEVICE void meet_end(u32 barrier, u32 parity) {
  if constexpr (kBlocks > 1) {
    if (thread_index() == 0) barrier_wait_cluster(barrier, parity);
    named_barrier<1, kProductThreads>();
  }
}

/// The sums of the groups meet, in their order. A unit is a gate and an up of each lane, accumulators i and i + 2 of a tile
/// of columns; who had group i adds up and finishes every kGroups-th from i on.
ISOTOPE_DEVICE void finish_groups(const LinearDecodeParams& p, const Shared& shared, int strip, u32 parity) {
  constexpr int kUnits = kTiles * 2, kEach = (kUnits + kGroups - 1) / kGroups;
  meet_begin(shared.sums_full());
  meet_end(shared.sums_full(), parity);
  const int rank = group_index(), thread = kSplit ? thread_index() % 128 : thread_index();
  float sums[kEach][kGroups][2];
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    const u32 from = address_in(shared_address(shared.sums()), g / kSlices) + (g % kSlices * 128 + thread) * 4;
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int unit = min(rank + j * kGroups, kUnits - 1), first = unit / 2 * kAccumulators + unit % 2;
      sums[j][g][0] = load_from(from + first * (kProductThreads * 4));
      sums[j][g][1] = load_from(from + (first + 2) * (kProductThreads * 4));
    }
  }
#pragma unroll
  for (int j = 0; j < kEach; ++j)
#pragma unroll
    for (int g = 1; g < kGroups; ++g) {
      sums[j][0][0] += sums[j][g][0];
      sums[j][0][1] += sums[j][g][1];
    }
  meet_begin(shared.sums_empty());
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const int unit = rank + j * kGroups;
    if (unit >= kUnits) break;
    if (p.epilogue == 2) {
      finish_gated(p, strip, unit / 2, unit % 2, sums[j][0][0], sums[j][0][1]);
    } else {
      finish_sum(p, strip, unit / 2, unit % 2, sums[j][0][0]);
      finish_sum(p, strip, unit / 2, unit % 2 + 2, sums[j][0][1]);
    }
  }
}

ISOTOPE_DEVICE void multiply_row_tiles(const LinearDecodeParams& p, const Shared& shared) {
  wait_for_predecessor();
  const GroupRange range = group_range(p, group_index());
  const Cursor all(p);
  Ring ring;
  u32 parity = 0;
  GroupSums sums;
  sums.home = shared.sums();
  for (int row_tile = block_x() / kBlocks; row_tile < p.strips * 16 / kRows; row_tile += grid_x() / kBlocks) {
    const int strip = row_tile * (kRows / 16) + (kSplit ? warp_index() % 4 : warp_index());
    // From here on the last part of the sums before may be overwritten.
    if constexpr (kGroupInShared && kGroups > 1) meet_end(shared.sums_empty(), parity ^ 1);
    begin_group(sums, range.per_part);
    add_tiles(shared, ring, range.end - range.begin, all.steps, sums);
    end_group(sums, kParts / kGroups);
    if constexpr (kGroups == 1) {
      fetch_group(sums);
      finish_strip(p, strip, sums.group);
    } else {
      if constexpr (!kGroupInShared) {
        meet_end(shared.sums_empty(), parity ^ 1);
        keep_group(sums);
      }
      finish_groups(p, shared, strip, parity);
      parity ^= 1;
    }
  }
}

ISOTOPE_DEVICE void product(const LinearDecodeParams& p) {
  const Shared shared{dynamic_shared()};
  if (thread_index() == 0) {
    for (int slot = 0; slot < kStages; ++slot) {
      barrier_init(shared.full(slot), 1 + (kStageScales > 0 ? kWarp : 0));
      barrier_init(shared.empty(slot), kScales == 2 ? kProductThreads : kProductWarps);
    }
    barrier_init(shared.sums_full(), kBlocks);
    barrier_init(shared.sums_empty(), kBlocks);
    barrier_init_done();
  }
  if constexpr (kBlocks > 1)
    cluster_barrier();
  else
    block_barrier();
  release_successor();
  if (warp_index() >= kProductWarps) {
    if constexpr (kManyRegisters) fewer_registers<40>();
    if (warp_index() == kProductWarps) {
      if (lane_index() == 0) copy_tiles(p, shared);
    } else if (warp_index() == kProductWarps + 1 && kStageScales > 0) {
      copy_scales(p, shared);
    }
    warp_barrier();
  } else {
    if constexpr (kManyRegisters) more_registers<232>();
    multiply_row_tiles(p, shared);
  }
  if constexpr (kBlocks > 1) cluster_barrier();  // nobody leaves while others read from or arrive at its memory
}

}  // namespace

// STREAMS weights
#if ISOTOPE_LINEAR_CLUSTER > 1
KERNEL_CLUSTER(linear_wide_wgmma, LinearDecodeParams, kProductThreads + 128, ISOTOPE_LINEAR_CLUSTER) { product(p); }
#else
KERNEL_BLOCKS(linear_wide_wgmma, LinearDecodeParams, kProductThreads + 128, 1) { product(p); }
#endif

}  // namespace isotope::gpu
