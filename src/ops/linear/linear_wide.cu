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
#include "ops/linear/linear_decode.cuh"

namespace isotope::gpu {

constexpr int kTiles = ISOTOPE_LINEAR_TILES;
constexpr int kColumns = kTiles * kMmaRows;
constexpr int kTileVectors = kInputVectors * 2 * kWarp;  ///< inputs for one tile of k, of one tile of columns
constexpr int kStageVectors = kTiles * kTileVectors;
constexpr int kStageBytes = kStageVectors * 16 + (kInputBlockScales ? kColumns * 4 : 0);
constexpr int kCopies = kStageVectors / kProductThreads;
static_assert(kProductThreads % kTileVectors == 0 && kStageVectors % kProductThreads == 0);
constexpr int kStages = kAsyncCopies ? 3 : 2;
constexpr bool kGroupInShared = kTiles * kAccumulators > 32;
constexpr int kWarps = kProductThreads / kWarp;
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

using Sums = float[kTiles][kAccumulators];

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

/// Sums of the group so far, of this thread: behind the stages where registers cannot hold them.
/// Volatile, so that few of them are in registers at a time.
ISOTOPE_DEVICE volatile float* group_slot(int c, int i) {
  volatile float* sums = reinterpret_cast<volatile float*>(dynamic_shared() + kStages * kStageBytes);
  return sums + (c * kAccumulators + i) * kProductThreads + thread_index();
}

/// A part of k is done: its sums go to those of the group.
ISOTOPE_DEVICE void end_part(bool is_first, Sums& total, Sums& group) {
#pragma unroll
  for (int c = 0; c < kTiles; ++c) {
    if constexpr (kGroupInShared) {
#pragma unroll
      for (int i = 0; i < kAccumulators; ++i) group[c][i] = *group_slot(c, i);
    }
#pragma unroll
    for (int i = 0; i < kAccumulators; ++i) {
      group[c][i] = is_first ? total[c][i] : group[c][i] + total[c][i];
      total[c][i] = 0.0f;
    }
    if constexpr (kGroupInShared) {
#pragma unroll
      for (int i = 0; i < kAccumulators; ++i) *group_slot(c, i) = group[c][i];
    }
  }
}

/// A block's way along k.
struct Walk {
  int strip, end, per_part;
  int stage, left, parts;  ///< stage in use, tiles left of the part, parts that are done
  Held held;
  Sums total;
};

/// Tiles [at, at + kDepth) of k. kAlways: all of them and as many after them are there.
template <bool kAlways>
ISOTOPE_DEVICE void walk_tiles(const LinearDecodeParams& p, int at, Walk& walk, WeightTile (&ring)[kDepth], Sums& group) {
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
    multiply_tile(stages + walk.stage * kStageBytes, ring[d], walk.total);
    if constexpr (!kAsyncCopies)
      if (kAlways || ahead < walk.end) store_inputs(stages + target * kStageBytes, walk.held);
    if (kAlways || tile + kDepth < walk.end)
      load_tile(p, tile_offset(p, walk.strip, tile + kDepth), walk.strip, tile + kDepth, ring[d]);
    walk.stage = walk.stage + 1 == kStages ? 0 : walk.stage + 1;
    if (--walk.left == 0) {
      end_part(walk.parts++ == 0, walk.total, group);
      walk.left = walk.per_part;
    }
  }
}

/// The sums of this warp over tiles [begin, end) of k, which are parts of `per_part` tiles.
ISOTOPE_DEVICE void sum_group(const LinearDecodeParams& p, int strip, int begin, int end, int per_part, Sums& group) {
  u8* const stages = dynamic_shared();
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
  Walk walk;
  walk.strip = strip;
  walk.end = end;
  walk.per_part = walk.left = per_part;
  walk.stage = walk.parts = 0;
#pragma unroll
  for (int c = 0; c < kTiles; ++c)
#pragma unroll
    for (int i = 0; i < kAccumulators; ++i) walk.total[c][i] = 0.0f;
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
    for (; at + 2 * kDepth <= end; at += kDepth) walk_tiles<true>(p, at, walk, ring, group);
  for (; at < end; at += kDepth) walk_tiles<false>(p, at, walk, ring, group);
  // A part cut short or empty counts like any other: the few-row form adds its zeros too.
  if (walk.left < per_part) end_part(walk.parts++ == 0, walk.total, group);
  if (walk.parts < kParts / p.groups) end_part(walk.parts == 0, walk.total, group);
  if constexpr (kGroupInShared) {
#pragma unroll
    for (int c = 0; c < kTiles; ++c)
#pragma unroll
      for (int i = 0; i < kAccumulators; ++i) group[c][i] = *group_slot(c, i);
  }
}

/// Leaves this block's sums in memory. Whether it was the last of its piece of y: then `group` is the sum of all.
ISOTOPE_DEVICE bool sum_groups(const LinearDecodeParams& p, int piece, int index, Sums& group) {
  SHARED(u32, arrived, 1);
  constexpr int kBlockSums = kWarps * kTiles * kAccumulators * kWarp;
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

ISOTOPE_DEVICE float input_scale(const LinearDecodeParams& p, int m) {
  return kInputRowScales && m < p.source.rows ? p.input_scales[m] : 1.0f;
}

ISOTOPE_DEVICE void finish_rows(const LinearDecodeParams& p, int strip, const Sums& sums) {
#pragma unroll
  for (int i = 0; i < kAccumulators; ++i) {
    const int row = strip * 16 + acc_row(i);
    if (row >= p.n) continue;
    const float scale = row_scale(p, row);
#pragma unroll
    for (int c = 0; c < kTiles; ++c) {
      const int m = block_y() * kColumns + c * kMmaRows + acc_column(i);
      if (m >= p.source.rows) continue;
      const float sum = sums[c][i] * input_scale(p, m);
      float v = sum * scale;
      if (p.epilogue == 1) v = fma(sum, scale, static_cast<const float*>(p.y)[i64(m) * p.y_stride + row]);
      store_output(p, m, row, v);
    }
  }
}

/// Rows r and r + 8 of a strip are gate and up of one feature.
ISOTOPE_DEVICE void finish_swiglu(const LinearDecodeParams& p, int strip, const Sums& sums) {
#if defined(ISOTOPE_GFX12)
  constexpr int kPairs = kAccumulators;
#else
  constexpr int kPairs = kAccumulators / 2;
#endif
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int row = acc_row(i) % 8, feature = strip * 8 + row;
    const float gate_scale = row_scale(p, strip * 16 + row), up_scale = row_scale(p, strip * 16 + 8 + row);
#pragma unroll
    for (int c = 0; c < kTiles; ++c) {
      const int m = block_y() * kColumns + c * kMmaRows + acc_column(i);
#if defined(ISOTOPE_GFX12)
      const float up = shuffle_xor(sums[c][i], 16);
      const bool mine = lane_index() < 16;
#else
      const float up = sums[c][i + kPairs];
      const bool mine = true;
#endif
      if (!mine || feature >= p.n || m >= p.source.rows) continue;
      const float scale = input_scale(p, m);
      store_output(p, m, feature, gated(sums[c][i] * scale, gate_scale, up * scale, up_scale));
    }
  }
}

// STREAMS weights, narrow loads <= 3/4: scales of weights and inputs
KERNEL_BLOCKS(linear_wide, LinearDecodeParams, kProductThreads, ISOTOPE_LINEAR_BLOCKS) {
  release_successor();
  const int row_tile = block_x() / p.groups, index = block_x() % p.groups;
  const int strip = row_tile * kWarps + warp_index();
  const int per_part = (p.k_tiles + kParts - 1) / kParts, per_group = per_part * (kParts / p.groups);
  const int begin = min(index * per_group, p.k_tiles), end = min(begin + per_group, p.k_tiles);
  Sums group = {};
  sum_group(p, strip, begin, end, per_part, group);
  const int piece = block_y() * (grid_x() / p.groups) + row_tile;
  if (p.groups > 1 && !sum_groups(p, piece, index, group)) return;
  if (p.epilogue == 2)
    finish_swiglu(p, strip, group);
  else
    finish_rows(p, strip, group);
}

}  // namespace isotope::gpu
