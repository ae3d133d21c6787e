// Many rows (17 to 128): a block multiplies 128 weight rows, one strip of 16 a warp, by one group of the parts of k.
// Inputs pass through shared memory, weights go from memory to registers. With several groups, the last block of a row
// tile to finish adds up what all have left in `partials`, in the order of the groups: which block that is changes nothing.
//
//   weights gpu_tile128 [row tiles·128][k_tiles·128 bytes]; inputs by linear_inputs, which also clears `counters`
//   launch: grid (row tiles · groups, ceil(rows / columns)), 256 threads, dynamic shared memory for kStages stages
//   and, with kGroupInShared, 128 · columns floats.
//
//   ISOTOPE_LINEAR_TILES   tiles of kMmaRows columns
#include "ops/gpu/portable.cuh"
#include "ops/linear/linear_wide.cuh"

namespace isotope::gpu {

constexpr int kTileVectors = kInputVectors * 2 * kWarp;  ///< inputs for one tile of k, of one tile of columns
constexpr int kStageVectors = kTiles * kTileVectors;
constexpr int kStageBytes = kStageVectors * 16 + (kInputBlockScales ? kColumns * 4 : 0);
constexpr int kCopies = kStageVectors / kProductThreads;
static_assert(kProductThreads % kTileVectors == 0 && kStageVectors % kProductThreads == 0);
constexpr int kStages = kAsyncCopies ? 3 : 2;
constexpr int kPrefetch = 16;  ///< tiles of k that are asked for before the inputs are there

/// Inputs on their way to a stage, where copies are not asynchronous.
struct Held {
  Vec16 v[kCopies];
  float scale;
};

/// Begins to fetch the inputs for a tile of k: into `stage`, or where copies are not asynchronous into registers.
ISOTOPE_DEVICE void fetch_inputs(const LinearDecodeParams& p, int tile, u8* stage, Held& held) {
  if constexpr (kInputBlockScales) {
    const int column = min(thread_index(), kColumns - 1);
    held.scale = p.input_scales[(i64(block_y()) * kColumns + column) * p.k_tiles + tile];
  }
  const int column_tile = block_y() * kTiles + thread_index() / kTileVectors;
  const u8* from = static_cast<const u8*>(p.inputs) +
                   ((i64(column_tile) * p.k_tiles + tile) * kTileVectors + thread_index() % kTileVectors) * 16;
#pragma unroll
  for (int i = 0; i < kCopies; ++i) {
    if constexpr (kAsyncCopies)
      copy_async16(stage + (thread_index() + i * kProductThreads) * 16, from);
    else
      held.v[i] = load16(from);
    from += p.k_tiles * (kProductThreads * 16);
  }
}
ISOTOPE_DEVICE void store_inputs(u8* stage, const Held& held) {
  if constexpr (kInputBlockScales)
    if (thread_index() < kColumns) reinterpret_cast<float*>(stage + kStageVectors * 16)[thread_index()] = held.scale;
#pragma unroll
  for (int i = 0; i < kCopies; ++i) store16(stage + (thread_index() + i * kProductThreads) * 16, held.v[i]);
}

ISOTOPE_DEVICE void load_step(const u8* lane, int index, Vec16 (&x)[kInputVectors]) {
#pragma unroll
  for (int i = 0; i < kInputVectors; ++i) x[i] = load16(lane + (index * kInputVectors + i) * (kWarp * 16));
}

ISOTOPE_DEVICE void multiply_tile(const u8* stage, const WeightTile& w, Sums& total) {
  const WeightFragment fragments[2] = {widen(w.v[0], w.v[1]), widen(w.v[2], w.v[3])};
  const u8* lane = stage + (input_row() * kLanesPerRow + lane_of_row()) * 16;
  const float* scales = reinterpret_cast<const float*>(stage + kStageVectors * 16) + input_row();
  Vec16 x[2][kInputVectors];  // the inputs of a step are fetched while the step before is multiplied
  load_step(lane, 0, x[0]);
#pragma unroll
  for (int c = 0; c < kTiles; ++c) {
    float acc[kAccumulators] = {};
    float scale = 1.0f;
    if constexpr (kInputBlockScales) scale = scales[c * kMmaRows];
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      if (c + 1 < kTiles || step == 0) load_step(lane, 2 * c + step + 1, x[1 - step]);
      scheduling_fence();
      multiply(kScaledTiles ? acc : total[c], fragments[step], x[step]);
    }
    if constexpr (kScaledTiles) add_scaled(total[c], acc, w, scale);
#pragma unroll
    for (int i = 0; i < kAccumulators; ++i) keep_here(total[c][i]);
  }
}

/// A block's way along k.
struct Walk {
  int strip, end, stage;
  Held held;
  GroupSums sums;
};

/// Tiles [at, at + kDepth) of k. kAlways: all of them and as many after them are there.
template <bool kAlways>
ISOTOPE_DEVICE void walk_tiles(const LinearDecodeParams& p, int at, Walk& walk, WeightTile (&ring)[kDepth]) {
  u8* const stages = dynamic_shared();
#pragma unroll
  for (int d = 0; d < kDepth; ++d) {
    const int tile = at + d;
    if (!kAlways && tile >= walk.end) break;
    if constexpr (kAsyncCopies) copy_async_wait<kStages - 2>();
    shared_barrier();
    const int ahead = tile + kStages - 1, target = walk.stage == 0 ? kStages - 1 : walk.stage - 1;
    if (kAlways || ahead < walk.end) fetch_inputs(p, ahead, stages + target * kStageBytes, walk.held);
    if constexpr (kAsyncCopies) copy_async_commit();
    multiply_tile(stages + walk.stage * kStageBytes, ring[d], walk.sums.part);
    if constexpr (!kAsyncCopies)
      if (kAlways || ahead < walk.end) store_inputs(stages + target * kStageBytes, walk.held);
    if (kAlways || tile + kDepth < walk.end)
      load_tile(p, tile_offset(p, walk.strip, tile + kDepth), walk.strip, tile + kDepth, ring[d]);
    walk.stage = walk.stage + 1 == kStages ? 0 : walk.stage + 1;
    end_tile(walk.sums);
  }
}

/// The sums of this warp over a group.
ISOTOPE_DEVICE void sum_group(const LinearDecodeParams& p, const GroupRange& range, Walk& walk) {
  u8* const stages = dynamic_shared();
  const int strip = walk.strip, begin = range.begin, end = range.end;
  WeightTile ring[kDepth];
#pragma unroll
  for (int d = 0; d < kDepth; ++d) {
    // On gfx12 loads that may be left out cannot be counted.
    const int tile = kAsyncCopies ? begin + d : min(begin + d, p.k_tiles - 1);
    if (!kAsyncCopies || tile < end) load_tile(p, tile_offset(p, strip, tile), strip, tile, ring[d]);
  }
  prefetch_tiles(p, strip, begin + kDepth, min(begin + kPrefetch, end));
  // Up to here only weights were read.
  wait_for_predecessor();
  walk.end = end;
  walk.stage = 0;
  begin_group(walk.sums, range.per_part);
  if constexpr (kAsyncCopies) {
#pragma unroll
    for (int s = 0; s < kStages - 1; ++s) {
      if (begin + s < end) fetch_inputs(p, begin + s, stages + s * kStageBytes, walk.held);
      copy_async_commit();
    }
  } else {
    fetch_inputs(p, min(begin, p.k_tiles - 1), stages, walk.held);
    store_inputs(stages, walk.held);
  }
  int at = begin;
  if constexpr (!kAsyncCopies)
    for (; at + 2 * kDepth <= end; at += kDepth) walk_tiles<true>(p, at, walk, ring);
  for (; at < end; at += kDepth) walk_tiles<false>(p, at, walk, ring);
  end_group(walk.sums, kParts / p.groups);
  fetch_group(walk.sums);
}

/// Leaves this block's sums in memory. Whether it was the last of its piece of y: then `group` is the sum of all.
/// Which block that is changes nothing.
ISOTOPE_DEVICE bool sum_groups(const LinearDecodeParams& p, int piece, int index, Sums& group) {
  SHARED(u32, arrived, 1);
  constexpr int kBlockSums = kProductWarps * kTiles * kAccumulators * kWarp;
  const int offset = (warp_index() * kTiles * kWarp + lane_index()) * kAccumulators;
  float* mine = p.partials + (i64(piece) * p.groups + index) * kBlockSums + offset;
#pragma unroll
  for (int c = 0; c < kTiles; ++c)
#pragma unroll
    for (int i = 0; i < kAccumulators; i += 4)
      store16(mine + c * kWarp * kAccumulators + i, {{bits_of(group[c][i]), bits_of(group[c][i + 1]),
                                                      bits_of(group[c][i + 2]), bits_of(group[c][i + 3])}});
  fence_device();
  block_barrier();
  if (thread_index() == 0) arrived[0] = atomic_add(p.counters + piece, 1u);
  block_barrier();
  if (arrived[0] != u32(p.groups - 1)) return false;
  fence_device();
  for (int g = 0; g < p.groups; ++g) {
    const float* from = p.partials + (i64(piece) * p.groups + g) * kBlockSums + offset;
#pragma unroll
    for (int c = 0; c < kTiles; ++c)
#pragma unroll
      for (int i = 0; i < kAccumulators; i += 4) {
        const Vec16 v = load16(from + c * kWarp * kAccumulators + i);
#pragma unroll
        for (int e = 0; e < 4; ++e)
          group[c][i + e] = g == 0 ? float_of(v.w[e]) : group[c][i + e] + float_of(v.w[e]);
      }
  }
  return true;
}

// STREAMS weights, narrow loads <= 3/4: scales of weights and inputs
KERNEL_BLOCKS(linear_wide, LinearDecodeParams, kProductThreads, ISOTOPE_LINEAR_BLOCKS) {
  release_successor();
  const int row_tile = block_x() / p.groups, index = block_x() % p.groups;
  Walk walk;
  walk.strip = row_tile * kProductWarps + warp_index();
  walk.sums.home = reinterpret_cast<volatile float*>(dynamic_shared() + kStages * kStageBytes);
  clear(walk.sums.group);
  sum_group(p, group_range(p, index), walk);
  const int piece = block_y() * (grid_x() / p.groups) + row_tile;
  if (p.groups == 1 || sum_groups(p, piece, index, walk.sums.group)) finish_strip(p, walk.strip, walk.sums.group);
}

}  // namespace isotope::gpu
