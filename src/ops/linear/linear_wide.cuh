// What the forms for many rows share: sums over the parts of k, over the groups of parts, and what is done with them.
// Warp w of the kProductWarps that multiply has packed rows 16·w to 16·w + 15 of the block's 128.
//
//   ISOTOPE_LINEAR_TILES   tiles of kMmaRows columns
#pragma once

#include "ops/linear/linear_decode.cuh"

namespace isotope::gpu {

constexpr int kTiles = ISOTOPE_LINEAR_TILES;
constexpr int kColumns = kTiles * kMmaRows;
constexpr int kProductWarps = kProductThreads / kWarp;
constexpr bool kGroupInShared = kTiles * kAccumulators > 32;

using Sums = float[kTiles][kAccumulators];

ISOTOPE_DEVICE void clear(Sums& sums) {
#pragma unroll
  for (int c = 0; c < kTiles; ++c)
#pragma unroll
    for (int i = 0; i < kAccumulators; ++i) sums[c][i] = 0.0f;
}

/// Sums of a group of parts of k. A part cut short or empty counts like any other: the few-row form adds its zeros too.
struct GroupSums {
  Sums part, group;
  int per_part, left, parts;  ///< tiles of a part, those left of this one, parts that are done
  /// With kGroupInShared the home of `group`, where registers cannot hold it: kColumns · 128 floats.
  /// Volatile, so that few of them are in registers at a time.
  volatile float* home;
};

ISOTOPE_DEVICE volatile float* group_slot(const GroupSums& s, int c, int i) {
  return s.home + (c * kAccumulators + i) * kProductThreads + thread_index();
}
/// From its home to registers, if it was not there, and from registers to its home.
ISOTOPE_DEVICE void fetch_group(GroupSums& s) {
  if constexpr (kGroupInShared) {
#pragma unroll
    for (int c = 0; c < kTiles; ++c)
#pragma unroll
      for (int i = 0; i < kAccumulators; ++i) s.group[c][i] = *group_slot(s, c, i);
  }
}

ISOTOPE_DEVICE void keep_group(const GroupSums& s) {
#pragma unroll
  for (int c = 0; c < kTiles; ++c)
#pragma unroll
    for (int i = 0; i < kAccumulators; ++i) *group_slot(s, c, i) = s.group[c][i];
}

ISOTOPE_DEVICE void begin_group(GroupSums& s, int per_part) {
  s.per_part = s.left = per_part;
  s.parts = 0;
  clear(s.part);
}

/// A part of k is done: its sums go to those of the group.
ISOTOPE_DEVICE void end_part(GroupSums& s) {
  const bool is_first = s.parts++ == 0;
  s.left = s.per_part;
#pragma unroll
  for (int c = 0; c < kTiles; ++c) {
    if constexpr (kGroupInShared) {
#pragma unroll
      for (int i = 0; i < kAccumulators; ++i) s.group[c][i] = *group_slot(s, c, i);
    }
#pragma unroll
    for (int i = 0; i < kAccumulators; ++i) {
      s.group[c][i] = is_first ? s.part[c][i] : s.group[c][i] + s.part[c][i];
      s.part[c][i] = 0.0f;
    }
    if constexpr (kGroupInShared) {
#pragma unroll
      for (int i = 0; i < kAccumulators; ++i) *group_slot(s, c, i) = s.group[c][i];
    }
  }
}
ISOTOPE_DEVICE void end_tile(GroupSums& s) {
  if (--s.left == 0) end_part(s);
}
ISOTOPE_DEVICE void end_group(GroupSums& s, int parts) {
  if (s.left < s.per_part) end_part(s);
  if (s.parts < parts) end_part(s);
}

/// Tiles of k, in parts and groups of parts.
struct GroupRange {
  int begin, end, per_part;
};
ISOTOPE_DEVICE GroupRange group_range(const LinearDecodeParams& p, int index) {
  const int per_part = (p.k_tiles + kParts - 1) / kParts, per_group = per_part * (kParts / p.groups);
  const int begin = min(index * per_group, p.k_tiles);
  return {begin, min(begin + per_group, p.k_tiles), per_part};
}

ISOTOPE_DEVICE float input_scale(const LinearDecodeParams& p, int m) {
  return kInputRowScales && m < p.source.rows ? p.input_scales[m] : 1.0f;
}

ISOTOPE_DEVICE int column_of(int c, int i) { return block_y() * kColumns + c * kMmaRows + acc_column(i); }

/// Accumulator i of column tile c of a strip is summed up.
ISOTOPE_DEVICE void finish_sum(const LinearDecodeParams& p, int strip, int c, int i, float sum) {
  const int row = strip * 16 + acc_row(i), m = column_of(c, i);
  if (row >= p.n || m >= p.source.rows) return;
  sum *= input_scale(p, m);
  const float scale = row_scale(p, row);
  float v = sum * scale;
  if (p.epilogue == 1) v = fma(sum, scale, static_cast<const float*>(p.y)[i64(m) * p.y_stride + row]);
  store_output(p, m, row, v);
}

/// The same with swiglu: rows r and r + 8 of a strip are gate (accumulator i) and up of one feature.
ISOTOPE_DEVICE void finish_gated(const LinearDecodeParams& p, int strip, int c, int i, float gate, float up) {
  const int row = acc_row(i) % 8, feature = strip * 8 + row, m = column_of(c, i);
  if (feature >= p.n || m >= p.source.rows) return;
  const float scale = input_scale(p, m);
  store_output(p, m, feature,
               gated(gate * scale, row_scale(p, strip * 16 + row), up * scale, row_scale(p, strip * 16 + 8 + row)));
}
#if defined(ISOTOPE_GFX12)
constexpr int kGates = kAccumulators;  ///< of a lane: up is in the lane 16 further
#else
constexpr int kGates = kAccumulators / 2;
#endif

ISOTOPE_DEVICE void finish_strip(const LinearDecodeParams& p, int strip, const Sums& sums) {
#pragma unroll
  for (int c = 0; c < kTiles; ++c) {
    if (p.epilogue != 2) {
#pragma unroll
      for (int i = 0; i < kAccumulators; ++i) finish_sum(p, strip, c, i, sums[c][i]);
    } else {
#pragma unroll
      for (int i = 0; i < kGates; ++i) {
#if defined(ISOTOPE_GFX12)
        const float up = shuffle_xor(sums[c][i], 16);
        if (lane_index() < 16) finish_gated(p, strip, c, i, sums[c][i], up);
#else
        finish_gated(p, strip, c, i, sums[c][i], sums[c][i + kGates]);
#endif
      }
    }
  }
}

}  // namespace isotope::gpu
