// Many rows (17 to 128): a block multiplies 128 weight rows, one strip of 16 a warp, by one group of the parts of k.
// Inputs pass through shared memory, weights go from memory to registers. With several groups, the last block of a row
// tile to finish adds up what all have left in `partials`, in the order of the groups: which block that is changes nothing.
//
//   weights gpu_tile128 [row tiles·128][k_tiles·128 bytes]; inputs by linear_inputs, which also clears `counters`
//   launch: grid (row tiles · groups), 256 threads, dynamic shared memory for the stages: shared_bytes below.
//
//   ISOTOPE_LINEAR_TILES   tiles of kMmaRows columns
#include "ops/gpu/portable.cuh"
#include "ops/linear/linear_decode.cuh"

namespace isotope::gpu {

constexpr int kTiles = ISOTOPE_LINEAR_TILES;
constexpr int kStageVectors = kTiles * kInputVectors * 2 * kWarp;  ///< of the inputs for one tile of k
constexpr int kCopies = (kStageVectors + kProductThreads - 1) / kProductThreads;
constexpr int kStages = kAsyncCopies ? 3 : 2;
constexpr int kWarps = kProductThreads / kWarp;
constexpr int kPrefetch = 16;  ///< tiles of k that are asked for before the inputs are there

/// Vector `v` of the inputs for tile `tile` of k.
ISOTOPE_DEVICE const u8* input_vector(const LinearDecodeParams& p, int tile, int v) {
  constexpr int kPerTile = kInputVectors * 2 * kWarp;  // of one column tile
  return static_cast<const u8*>(p.inputs) + ((i64(v / kPerTile) * p.k_tiles + tile) * kPerTile + v % kPerTile) * 16;
}

/// Begins to fetch the inputs for a tile of k: into `stage`, or where copies are not asynchronous into registers.
ISOTOPE_DEVICE void fetch_inputs(const LinearDecodeParams& p, int tile, u8* stage, Vec16 (&held)[kCopies]) {
#pragma unroll
  for (int i = 0; i < kCopies; ++i) {
    const int v = thread_index() + i * kProductThreads;
    if (kStageVectors % kProductThreads != 0 && v >= kStageVectors) continue;
    const u8* from = input_vector(p, tile, v);
    if constexpr (kAsyncCopies)
      copy_async16(stage + v * 16, from);
    else
      held[i] = load16(from);
  }
}
ISOTOPE_DEVICE void store_inputs(u8* stage, const Vec16 (&held)[kCopies]) {
#pragma unroll
  for (int i = 0; i < kCopies; ++i) {
    const int v = thread_index() + i * kProductThreads;
    if (kStageVectors % kProductThreads != 0 && v >= kStageVectors) continue;
    store16(stage + v * 16, held[i]);
  }
}

using Sums = float[kTiles][kAccumulators];

ISOTOPE_DEVICE void multiply_tile(const LinearDecodeParams& p, const u8* stage, const WeightTile& w, int tile,
                                  Sums& total) {
  const WeightFragment first = widen(w.v[0], w.v[1]), second = widen(w.v[2], w.v[3]);
  const u8* lane = stage + (input_row() * kLanesPerRow + lane_of_row()) * 16;
#pragma unroll
  for (int c = 0; c < kTiles; ++c) {
    Vec16 x[kInputVectors], y[kInputVectors];
#pragma unroll
    for (int i = 0; i < kInputVectors; ++i) {
      x[i] = load16(lane + ((2 * c) * kInputVectors + i) * (kWarp * 16));
      y[i] = load16(lane + ((2 * c + 1) * kInputVectors + i) * (kWarp * 16));
    }
    if constexpr (kScaledTiles) {
      float acc[kAccumulators] = {};
      multiply(acc, first, x);
      multiply(acc, second, y);
      float scale = 1.0f;
      if constexpr (kInputBlockScales) scale = p.input_scales[i64(c * kMmaRows + input_row()) * p.k_tiles + tile];
      add_scaled(total[c], acc, w, scale);
    } else {
      multiply(total[c], first, x);
      multiply(total[c], second, y);
    }
  }
}

/// A part of k is done: its sums go to those of the group.
ISOTOPE_DEVICE void end_part(bool is_first, Sums& total, Sums& group) {
#pragma unroll
  for (int c = 0; c < kTiles; ++c)
#pragma unroll
    for (int i = 0; i < kAccumulators; ++i) {
      group[c][i] = is_first ? total[c][i] : group[c][i] + total[c][i];
      total[c][i] = 0.0f;
    }
}

/// The sums of this warp over tiles [begin, end) of k, which are parts of `per_part` tiles.
ISOTOPE_DEVICE void sum_group(const LinearDecodeParams& p, int strip, int begin, int end, int per_part, Sums& group) {
  u8* const stages = dynamic_shared();
  constexpr int kStageBytes = kStageVectors * 16;
  const WeightStream stream = open_stream(p, strip, 0);
  WeightTile ring[kDepth];
#pragma unroll
  for (int d = 0; d < kDepth; ++d)
    if (begin + d < end) load_tile(p, stream, begin + d, ring[d]);
  prefetch_tiles(p, strip, begin + kDepth, min(begin + kPrefetch, end));
  // Up to here only weights were read.
  wait_for_predecessor();
  Vec16 held[kCopies];
  if constexpr (kAsyncCopies) {
#pragma unroll
    for (int s = 0; s < kStages - 1; ++s) {
      if (begin + s < end) fetch_inputs(p, begin + s, stages + s * kStageBytes, held);
      copy_async_commit();
    }
  } else if (begin < end) {
    fetch_inputs(p, begin, stages, held);
    store_inputs(stages, held);
  }
  Sums total = {};
  int stage = 0, left = per_part, parts = 0;
  for (int i = begin; i < end; i += kDepth) {
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      const int tile = i + d;
      if (tile >= end) break;
      if constexpr (kAsyncCopies) copy_async_wait<kStages - 2>();
      block_barrier();
      const int ahead = tile + kStages - 1, target = stage == 0 ? kStages - 1 : stage - 1;
      if (ahead < end) fetch_inputs(p, ahead, stages + target * kStageBytes, held);
      if constexpr (kAsyncCopies) copy_async_commit();
      multiply_tile(p, stages + stage * kStageBytes, ring[d], tile, total);
      if (tile + kDepth < end) load_tile(p, stream, tile + kDepth, ring[d]);
      if constexpr (!kAsyncCopies)
        if (ahead < end) store_inputs(stages + target * kStageBytes, held);
      stage = stage + 1 == kStages ? 0 : stage + 1;
      if (--left == 0) {
        end_part(parts++ == 0, total, group);
        left = per_part;
      }
    }
  }
  // A part cut short or empty counts like any other: the few-row form adds its zeros too.
  if (left < per_part) end_part(parts++ == 0, total, group);
  if (parts < kParts / p.groups) end_part(parts == 0, total, group);
}

/// Leaves this block's sums in memory. Whether it was the last of its row tile: then `group` is the sum of all.
ISOTOPE_DEVICE bool sum_groups(const LinearDecodeParams& p, int row_tile, int index, Sums& group) {
  SHARED(u32, arrived, 1);
  constexpr int kBlockSums = kWarps * kTiles * kAccumulators * kWarp;
  const int offset = (warp_index() * kTiles * kWarp + lane_index()) * kAccumulators;
  float* mine = p.partials + (i64(row_tile) * p.groups + index) * kBlockSums + offset;
#pragma unroll
  for (int c = 0; c < kTiles; ++c)
#pragma unroll
    for (int i = 0; i < kAccumulators; i += 4)
      store16(mine + c * kWarp * kAccumulators + i, {{bits_of(group[c][i]), bits_of(group[c][i + 1]),
                                                      bits_of(group[c][i + 2]), bits_of(group[c][i + 3])}});
  fence_device();
  block_barrier();
  if (thread_index() == 0) arrived[0] = atomic_add(p.counters + row_tile, 1u);
  block_barrier();
  if (arrived[0] != u32(p.groups - 1)) return false;
  fence_device();
  for (int g = 0; g < p.groups; ++g) {
    const float* from = p.partials + (i64(row_tile) * p.groups + g) * kBlockSums + offset;
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
      const int m = c * kMmaRows + acc_column(i);
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
      const int m = c * kMmaRows + acc_column(i);
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
  if (p.groups > 1 && !sum_groups(p, row_tile, index, group)) return;
  if (p.groups > 1 && thread_index() == 0) p.counters[row_tile] = 0;
  if (p.epilogue == 2)
    finish_swiglu(p, strip, group);
  else
    finish_rows(p, strip, group);
}

}  // namespace isotope::gpu
