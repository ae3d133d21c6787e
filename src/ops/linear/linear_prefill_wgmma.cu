// The prefill product on sm_90a: a block is one group of warps that copies and one or two that multiply (wgmma), over
// tiles that it takes one after the other.
//
// Input rows are the products' M (64 a group of warps) and features their N: a lane then has gate and up of a feature,
// neighbouring features of a row, and one row scale for many sums. Both operands' tiles are stored as wgmma reads them
// without swizzle, so that a tile is one bulk copy.
//
// PREFILL_FP8, PREFILL_TERMS, PREFILL_SCALES   as in linear_prefill.cu
// PREFILL_ROWS      64 or 128: rows of a tile, 64 for each multiplying group
// PREFILL_FEATURES  64, 128 or 256: features of a tile
// PREFILL_CLUSTER   1, or 2: two blocks with neighbouring rows share the weights that each copies half of
#include "ops/gpu/portable.cuh"
#include "ops/gpu/intrinsics_sm90a.cuh"
#include "ops/linear/linear_prefill_store.cuh"

namespace isotope::gpu {
namespace {

constexpr bool kFp8 = PREFILL_FP8;
constexpr int kTerms = PREFILL_TERMS;
constexpr int kScales = PREFILL_SCALES;
constexpr int kRows = PREFILL_ROWS;
constexpr int kFeatures = PREFILL_FEATURES;
constexpr int kCluster = PREFILL_CLUSTER;

constexpr int kGroups = kRows / 64;  ///< groups of warps that multiply
constexpr int kPart = kFeatures < 128 ? kFeatures : 128;  ///< features of one instruction
constexpr int kParts = kFeatures / kPart;
constexpr int kGroupRows = 2048;  ///< rows of the input that should stay in the L2 cache

// Shared memory: stages of operands, stages of scales, barriers. The host counts the same.
constexpr int kTermBytes = kRows * 128;
constexpr int kWeightBytes = kFeatures * 128;
constexpr int kStageBytes = kTermBytes * kTerms + kWeightBytes;
constexpr int kWeightScales = kScales == prefill_scales_block     ? kFeatures / 8
                              : kScales == prefill_scales_feature ? kFeatures
                                                                  : 0;
constexpr int kScaleBytes = kFp8 ? (kRows + kWeightScales) * 4 : 0;
constexpr int kStages = PREFILL_STAGES;

struct Shared {
  u8* base;
  ISOTOPE_MEMBER u8* stage(int slot) const { return base + slot * kStageBytes; }
  ISOTOPE_MEMBER float* row_scales(int slot) const {
    return reinterpret_cast<float*>(base + kStages * kStageBytes + slot * kScaleBytes);
  }
  ISOTOPE_MEMBER float* weight_scales(int slot) const { return row_scales(slot) + kRows; }
  ISOTOPE_MEMBER u32 full(int slot) const {
    return shared_address(base + kStages * (kStageBytes + kScaleBytes) + slot * 16);
  }
  ISOTOPE_MEMBER u32 empty(int slot) const { return full(slot) + 8; }
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

/// The tiles of this block: f(tile) for each. Blocks of a cluster take neighbouring rows of the same column; rows that
/// are not there are computed and not stored.
template <typename F>
ISOTOPE_DEVICE void for_tiles(const PrefillParams& p, F f) {
  const int rank = kCluster > 1 ? cluster_rank() : 0;
  const int row_tiles = ((p.rows + kRows - 1) / kRows + kCluster - 1) / kCluster;
  const int columns = (p.w_tiles * 128 + kFeatures - 1) / kFeatures;
  for (int i = block_x() / kCluster; i < row_tiles * columns; i += grid_x() / kCluster) {
    PrefillTile tile = prefill_tile(i, row_tiles, columns, kGroupRows / kRows / kCluster);
    tile.row = tile.row * kCluster + rank;
    f(tile);
  }
}

ISOTOPE_DEVICE void wait_empty(const Shared& shared, const Ring& ring) {
  if constexpr (kCluster > 1)
    barrier_wait_cluster(shared.empty(ring.slot), ring.parity ^ 1);
  else
    barrier_wait(shared.empty(ring.slot), ring.parity ^ 1);
}

/// This block's share of a stage's weights, to all blocks of the cluster.
ISOTOPE_DEVICE void copy_weights(const PrefillParams& p, const Shared& shared, int slot, const PrefillTile& tile, int kb) {
  constexpr int kShare = kFeatures / kCluster, kPiece = kShare < 128 ? kShare : 128;
  const int rank = kCluster > 1 ? cluster_rank() : 0;
#pragma unroll
  for (int i = 0; i < kShare; i += kPiece) {
    const int inside = rank * kShare + i;
    const int feature = tile.column * kFeatures + inside;
    const int w_tile = min(feature / 128, p.w_tiles - 1);  // behind the last: any, its sums are dropped
    const u8* const from = static_cast<const u8*>(p.w) + (i64(w_tile) * p.k_blocks + kb) * 16384 + feature % 128 * 128;
    const u32 to = shared_address(shared.stage(slot)) + kTermBytes * kTerms + inside * 128;
    if constexpr (kCluster > 1)
      bulk_copy_to(to, from, kPiece * 128, shared.full(slot), u16((1 << kCluster) - 1));
    else
      bulk_copy(to, from, kPiece * 128, shared.full(slot));
  }
}

/// Of the input.
ISOTOPE_DEVICE int first_row(const PrefillParams& p, const PrefillTile& tile) {
  return min(tile.row * kRows, (p.rows - 1) / kRows * kRows);
}

ISOTOPE_DEVICE void copy_inputs(const PrefillParams& p, const Shared& shared, int slot, const PrefillTile& tile, int kb) {
  const int row = first_row(p, tile);
  const u8* const from = static_cast<const u8*>(p.a) + (i64(row / 128) * p.k_blocks + kb) * 16384 + row % 128 * 128;
#pragma unroll
  for (int t = 0; t < kTerms; ++t)
    bulk_copy(shared_address(shared.stage(slot)) + t * kTermBytes, from + t * p.a_term_bytes, kTermBytes,
              shared.full(slot));
}

/// One thread: fills the ring. The first weights are fetched while the launch before this one still runs.
ISOTOPE_DEVICE void copy_tiles(const PrefillParams& p, const Shared& shared) {
  int ahead = 0;
  Ring ring;
  bool first = true;
  for_tiles(p, [&](const PrefillTile& tile) {
    if (first) {
      for (; ahead < kStages && ahead < p.k_blocks; ++ahead) {
        barrier_arrive_expect(shared.full(ahead), kStageBytes);
        copy_weights(p, shared, ahead, tile, ahead);
      }
      wait_for_predecessor();
      fence_async();
    }
    for (int kb = 0; kb < p.k_blocks; ++kb, ring.next()) {
      if (!first || kb >= ahead) {
        wait_empty(shared, ring);
        barrier_arrive_expect(shared.full(ring.slot), kStageBytes);
        copy_weights(p, shared, ring.slot, tile, kb);
      }
      copy_inputs(p, shared, ring.slot, tile, kb);
    }
    first = false;
  });
}

/// One warp: the scales of each stage. Those of the weights lie scattered; those of the rows do not, but copies in bulk that meet
/// copies of another block at a barrier are more than compute-sanitizer's racecheck can follow.
ISOTOPE_DEVICE void copy_scales(const PrefillParams& p, const Shared& shared) {
  constexpr int kEach = (kWeightScales + kWarp - 1) / kWarp;
  const int last = p.w_tiles * (kScales == prefill_scales_block ? 16 : 128) - 1;
  Ring ring;
  wait_for_predecessor();
  for_tiles(p, [&](const PrefillTile& tile) {
    const float* rows = p.a_scales + first_row(p, tile) + lane_index();
    const float* from[kEach + 1];
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      from[i] = p.w_scales + i64(min(tile.column * kWeightScales + i * kWarp + lane_index(), last)) * p.k_blocks;
    for (int kb = 0; kb < p.k_blocks; ++kb, ring.next()) {
      float scale[kEach + 1], row_scale[kRows / kWarp];
#pragma unroll
      for (int i = 0; i < kRows / kWarp; ++i) row_scale[i] = rows[i64(kb) * p.a_scale_stride + i * kWarp];
#pragma unroll
      for (int i = 0; i < kEach; ++i) scale[i] = from[i][kb];
      wait_empty(shared, ring);
#pragma unroll
      for (int i = 0; i < kRows / kWarp; ++i) shared.row_scales(ring.slot)[i * kWarp + lane_index()] = row_scale[i];
#pragma unroll
      for (int i = 0; i < kEach; ++i)
        if (i * kWarp + lane_index() < kWeightScales) shared.weight_scales(ring.slot)[i * kWarp + lane_index()] = scale[i];
      barrier_arrive(shared.full(ring.slot));
    }
  });
}

/// A warp is done with a stage, in every block whose copies fill it. Who read scales, which a warp of this block writes, arrives
/// itself: compute-sanitizer's racecheck does not see that a lane arrives for its warp.
ISOTOPE_DEVICE void release(const Shared& shared, int slot) {
  warp_barrier();
  if (kFp8 || lane_index() == 0) barrier_arrive(shared.empty(slot));
  if constexpr (kCluster > 1)
    if (lane_index() < kCluster && lane_index() != cluster_rank()) barrier_arrive_at(shared.empty(slot), lane_index());
}
constexpr int kReleases = kGroups * 4 * ((kFp8 ? kWarp : 1) + kCluster - 1);

using Sums = float[kPart / 8][4];

/// Queues sum (+)= the stage's 128 bytes of k of part `part`.
ISOTOPE_DEVICE void multiply(Sums& sum, u64 a, u64 w, int part, bool accumulate) {
  w += u64(part * kPart * 128 / 16);
#pragma unroll
  for (int t = 0; t < kTerms; ++t)
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      const u64 at = step * kWgmmaStepK;
      const int more = accumulate || t > 0 || step > 0;
      if constexpr (kFp8)
        wgmma_fp8(sum, a + t * (kTermBytes / 16) + at, w + at, more);
      else
        wgmma_bf16(sum, a + at, w + at, more);
    }
}

/// total += sum · scales.
ISOTOPE_DEVICE void promote(Sums& total, const Sums& sum, float row0, float row1, const float* weight_scales) {
#pragma unroll
  for (int j = 0; j < kPart / 8; j += 4) {
    float scale[4][2];
    if constexpr (kScales == prefill_scales_block) {
      const Vec16 s = load16(weight_scales + j);
#pragma unroll
      for (int i = 0; i < 4; ++i) scale[i][0] = scale[i][1] = float_of(s.w[i]);
    } else if constexpr (kScales == prefill_scales_feature) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const Vec8 s = load8(weight_scales + (j + i) * 8 + lane_index() % 4 * 2);
        scale[i][0] = float_of(s.w[0]);
        scale[i][1] = float_of(s.w[1]);
      }
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) scale[i][0] = scale[i][1] = 1.0f;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      total[j + i][0] = fma(sum[j + i][0], row0 * scale[i][0], total[j + i][0]);
      total[j + i][1] = fma(sum[j + i][1], row0 * scale[i][1], total[j + i][1]);
      total[j + i][2] = fma(sum[j + i][2], row1 * scale[i][0], total[j + i][2]);
      total[j + i][3] = fma(sum[j + i][3], row1 * scale[i][1], total[j + i][3]);
    }
  }
}

/// One tile's sums, FP8: every 128 values of k are summed on their own and added with their scales. While one group of
/// warps adds, the other multiplies.
ISOTOPE_DEVICE void sum_fp8(const PrefillParams& p, const Shared& shared, Ring& ring, int group, float (&total)[kParts][kPart / 8][4]) {
  const int row = group * 64 + warp_index() % 4 * 16 + lane_index() / 4;
#pragma unroll
  for (int part = 0; part < kParts; ++part)
#pragma unroll
    for (int j = 0; j < kPart / 8; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) total[part][j][i] = 0.0f;
  for (int kb = 0; kb < p.k_blocks; ++kb, ring.next()) {
    barrier_wait(shared.full(ring.slot), ring.parity);
    const u32 stage = shared_address(shared.stage(ring.slot));
    const u64 a = wgmma_operand(stage + group * 8192), w = wgmma_operand(stage + kTermBytes * kTerms);
    const float row0 = shared.row_scales(ring.slot)[row], row1 = shared.row_scales(ring.slot)[row + 8];
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      Sums sum;
      wgmma_hold(sum);
      wgmma_begin();
      multiply(sum, a, w, part, false);
      wgmma_commit();
      wgmma_hold(sum);
      wgmma_wait<0>();
      promote(total[part], sum, row0, row1, shared.weight_scales(ring.slot) + part * (kWeightScales / kParts));
    }
    release(shared, ring.slot);
  }
}

/// One tile's sums, BF16: they stay in the accumulators, and one stage is in flight while the next is queued.
ISOTOPE_DEVICE void sum_bf16(const PrefillParams& p, const Shared& shared, Ring& ring, int group, float (&total)[kParts][kPart / 8][4]) {
  int before = -1;
  for (int kb = 0; kb < p.k_blocks; ++kb, ring.next()) {
    barrier_wait(shared.full(ring.slot), ring.parity);
    const u32 stage = shared_address(shared.stage(ring.slot));
    const u64 a = wgmma_operand(stage + group * 8192), w = wgmma_operand(stage + kTermBytes * kTerms);
#pragma unroll
    for (int part = 0; part < kParts; ++part) wgmma_hold(total[part]);
    wgmma_begin();
#pragma unroll
    for (int part = 0; part < kParts; ++part) multiply(total[part], a, w, part, kb > 0);
    wgmma_commit();
#pragma unroll
    for (int part = 0; part < kParts; ++part) wgmma_hold(total[part]);
    wgmma_wait<1>();
    if (before >= 0) release(shared, before);
    before = ring.slot;
  }
  wgmma_wait<0>();
#pragma unroll
  for (int part = 0; part < kParts; ++part) wgmma_hold(total[part]);
  release(shared, before);
}

ISOTOPE_DEVICE void multiply_tiles(const PrefillParams& p, const Shared& shared, int group) {
  wait_for_predecessor();
  Ring ring;
  for_tiles(p, [&](const PrefillTile& tile) {
    float total[kParts][kPart / 8][4];
    if constexpr (kFp8)
      sum_fp8(p, shared, ring, group, total);
    else
      sum_bf16(p, shared, ring, group, total);
    const i64 row = i64(tile.row) * kRows + group * 64 + warp_index() % 4 * 16;
#pragma unroll
    for (int part = 0; part < kParts; ++part)
      write_sums(p, row, tile.column * kFeatures + part * kPart, total[part], kScales == prefill_scales_end);
  });
}

ISOTOPE_DEVICE void product(const PrefillParams& p) {
  const Shared shared{dynamic_shared()};
  if (thread_index() == 0) {
    for (int slot = 0; slot < kStages; ++slot) {
      barrier_init(shared.full(slot), 1 + (kFp8 ? kWarp : 0));
      barrier_init(shared.empty(slot), kReleases);
    }
    barrier_init_done();
  }
  if constexpr (kCluster > 1)
    cluster_barrier();
  else
    block_barrier();
  release_successor();
  const int group = warp_index() / 4;
  if (group == kGroups) {
    if constexpr (kGroups == 2) fewer_registers<40>();
    if (warp_index() % 4 == 0) {
      if (lane_index() == 0) copy_tiles(p, shared);
    } else if (warp_index() % 4 == 1 && kFp8) {
      copy_scales(p, shared);
    }
    warp_barrier();
  } else {
    if constexpr (kGroups == 2) more_registers<232>();
    multiply_tiles(p, shared, group);
  }
  if constexpr (kCluster > 1) cluster_barrier();  // nobody leaves while others copy into or arrive at its memory
}

}  // namespace

/// y[rows, n] from tiles of PREFILL_ROWS × PREFILL_FEATURES. Grid: as many blocks as run at once, or tiles if fewer (a
/// multiple of PREFILL_CLUSTER); 128 threads for each 64 rows and 128 more. Dynamic shared memory: PREFILL_STAGES stages
/// with scales, and 16 bytes of barriers each. Scratch rows behind the last may hold anything.
// STREAMS weights
#if PREFILL_CLUSTER > 1
KERNEL_CLUSTER(linear_prefill_wgmma, PrefillParams, ((PREFILL_ROWS / 64 + 1) * 128), PREFILL_CLUSTER) { product(p); }
#else
KERNEL(linear_prefill_wgmma, PrefillParams, ((PREFILL_ROWS / 64 + 1) * 128)) { product(p); }
#endif

}  // namespace isotope::gpu
