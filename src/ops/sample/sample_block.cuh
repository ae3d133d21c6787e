// Reductions and scans of sampling, in fixed order.
#pragma once

#include "ops/sample/sample_math.cuh"
#include "ops/sample/sample_params.h"

namespace isotope::gpu {

constexpr int kWarps = kChooseThreads / kWarp;  // of sample_choose

ISOTOPE_DEVICE u64 shuffle64(u64 v, int lane) {
  return u64(shuffle(u32(v >> 32), lane)) << 32 | shuffle(u32(v), lane);
}
ISOTOPE_DEVICE int find_first_set(u32 v) { return 31 - clz(v & (0u - v)); }

struct Largest {
  ISOTOPE_DEVICE u64 of(u64 a, u64 b) { return a > b ? a : b; }
};
struct Sum {
  ISOTOPE_DEVICE u64 of(u64 a, u64 b) { return a + b; }
};
struct DoubleSum {  // of the bits of doubles
  ISOTOPE_DEVICE u64 of(u64 a, u64 b) { return bits_of_double(double_of(a) + double_of(b)); }
};

template <typename Op>
ISOTOPE_DEVICE u64 warp_reduce(u64 v) {
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask >>= 1) v = Op::of(v, shuffle64(v, lane_index() ^ mask));
  return v;
}

/// The total of all lanes up to and including this one.
template <typename Op>
ISOTOPE_DEVICE u64 warp_scan(u64 v) {
#pragma unroll
  for (int step = 1; step < kWarp; step <<= 1) {
    const u64 other = shuffle64(v, max(lane_index() - step, 0));
    if (lane_index() >= step) v = Op::of(other, v);
  }
  return v;
}

/// For all threads of sample_choose. `words` is shared, kWarps long, and free again after the next barrier.
template <typename Op>
ISOTOPE_DEVICE u64 block_reduce(u64 v, u64* words) {
  v = warp_reduce<Op>(v);
  block_barrier();
  if (lane_index() == 0) words[warp_index()] = v;
  block_barrier();
  u64 all = words[0];
  for (int w = 1; w < kWarps; ++w) all = Op::of(all, words[w]);
  return all;
}

/// The sum of the threads before this one, and of all.
ISOTOPE_DEVICE u64 block_scan(u64 v, u64* words, u64* total) {
  const u64 inclusive = warp_scan<Sum>(v);
  block_barrier();
  if (lane_index() == kWarp - 1) words[warp_index()] = inclusive;
  block_barrier();
  u64 before = 0, all = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp_index()) before += words[w];
    all += words[w];
  }
  *total = all;
  return before + inclusive - v;
}

// ---- a row of logits

struct RowView {
  const float* values;
  int size;
  bool aligned;  ///< to 16 bytes
};

ISOTOPE_DEVICE RowView row_view(const float* values, int size) {
  return {values, size, (reinterpret_cast<u64>(values) & 15) == 0};
}
ISOTOPE_DEVICE int slices_of(int size) { return (size + kSampleSlice - 1) / kSampleSlice; }

/// Where in its slice a lane's `step`-th group of four neighbours begins. Four tokens of a group share random bits.
constexpr int kSteps = kSampleSlice / (4 * kWarp);
ISOTOPE_DEVICE int first_token(int slice, int step) {
  return slice * kSampleSlice + (step * kWarp + lane_index()) * 4;
}

/// A lane's logits of a slice, on their way all at once and taken one group after another, by the same code, which is small
/// then. Beyond the end of the row they are NaN. Unaligned rows, and the last slice, are read when they are taken.
struct SliceLoads {
  Vec16 four[kSteps];
  bool whole;
};
ISOTOPE_DEVICE SliceLoads load_slice(const RowView& row, int slice) {
  SliceLoads loads;
  loads.whole = row.aligned && (slice + 1) * kSampleSlice <= row.size;
#pragma unroll
  for (int step = 0; step < kSteps; ++step)
    loads.four[step] = loads.whole ? load16(row.values + first_token(slice, step)) : Vec16{};
  return loads;
}
ISOTOPE_DEVICE Vec16 load_few(const RowView& row, int first) {
  Vec16 v;
#pragma unroll
  for (int j = 0; j < 4; ++j) v.w[j] = first + j < row.size ? bits_of(row.values[first + j]) : 0x7fffffffu;
  return v;
}
ISOTOPE_DEVICE Vec16 take_four(const RowView& row, SliceLoads& loads, int first) {
  const Vec16 now = loads.whole ? loads.four[0] : load_few(row, first);
#pragma unroll
  for (int i = 0; i + 1 < kSteps; ++i) loads.four[i] = loads.four[i + 1];
  return now;
}

/// visit(key, id) of a lane's tokens of a slice, in ascending order of ids.
template <typename Visit>
ISOTOPE_DEVICE void visit_slice(const RowView& row, int slice, const Visit& visit) {
  SliceLoads loads = load_slice(row, slice);
#pragma unroll 1
  for (int step = 0; step < kSteps; ++step) {
    const int first = first_token(slice, step);
    const Vec16 now = take_four(row, loads, first);
#pragma unroll
    for (int j = 0; j < 4; ++j) visit(key_of(now.w[j]), first + j);
  }
}

/// Which tokens may be chosen: those above `key`, and of those equal to it ids up to `last`.
struct Cut {
  u32 key;
  int last;
};
constexpr Cut kKeepAll = {kNone + 1, 0x7fffffff};
ISOTOPE_DEVICE bool keeps(Cut cut, u32 key, int id) { return key > cut.key || (key == cut.key && id <= cut.last); }

// ---- the draw

struct Draw {
  float best, temperature, inverse;
  u64 seed, counter;
};
/// The best so far, the same in all lanes; id -1: none.
struct Winner {
  u64 score;  // score_key
  int id;
};
ISOTOPE_DEVICE bool beats(u64 score, int id, const Winner& other) {
  return score > other.score || (score == other.score && id < other.id);
}

ISOTOPE_DEVICE Winner better_of_warp(Winner mine) {
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask >>= 1) {
    const u64 score = shuffle64(mine.score, lane_index() ^ mask);
    const int id = shuffle(mine.id, lane_index() ^ mask);
    if (id >= 0 && (mine.id < 0 || beats(score, id, mine))) mine = {score, id};
  }
  return mine;
}

/// Lets the tokens of a slice compete. Scores within rounding of the largest in FP32 are taken in double.
ISOTOPE_DEVICE Winner draw_in_slice(const RowView& row, int slice, Cut cut, const Draw& draw, Winner so_far) {
  SliceLoads loads = load_slice(row, slice);
  bool any = false;
  float scores[4 * kSteps];
#pragma unroll
  for (int i = 0; i < 4 * kSteps; ++i) scores[i] = -infinity();
  float largest = -infinity();
#pragma unroll 1
  for (int step = 0; step < kSteps; ++step) {
    const int first = first_token(slice, step);
    const Vec16 now = take_four(row, loads, first);
    bool kept[4], some = false;
#pragma unroll
    for (int j = 0; j < 4; ++j) some |= kept[j] = keeps(cut, key_of(now.w[j]), first + j);
    any |= some;
    u32 bits[4] = {0, 0, 0, 0};
    if (some) token_bits(draw.seed, draw.counter, u32(first) / 4, bits);
    // The scores of a step move in behind those of the steps before.
#pragma unroll
    for (int i = 0; i + 4 < 4 * kSteps; ++i) scores[i] = scores[i + 4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float score = (float_of(now.w[j]) - draw.best) * draw.inverse + gumbel32(bits[j]);
      scores[4 * kSteps - 4 + j] = kept[j] ? score : -infinity();
      largest = max(largest, scores[4 * kSteps - 4 + j]);
    }
  }
  if (so_far.id >= 0) {
    const u64 score = so_far.score >> 63 ? so_far.score ^ 0x8000000000000000ull : ~so_far.score;
    largest = max(largest, float(double_of(score)));
  }
  const float to_beat = warp_max(largest);
  const float least = to_beat - 3e-4f * (1.0f + fabs(to_beat));
  u32 mask = 0;
#pragma unroll
  for (int i = 0; i < 4 * kSteps; ++i) mask |= scores[i] < least ? 0u : 1u << i;  // NaN, of infinities, stays
  Winner mine = so_far;
  for (mask = any ? mask : 0; mask; mask &= mask - 1) {
    const int i = find_first_set(mask), id = first_token(slice, i / 4) + i % 4;
    if (id >= row.size || !keeps(cut, key_of(bits_of(row.values[id])), id)) continue;
    const u32 bits = bits_of_token(draw.seed, draw.counter, id);
    const u64 score = score_key(draw_score(row.values[id], draw.best, draw.temperature, bits));
    if (mine.id < 0 || beats(score, id, mine)) mine = {score, id};
  }
  return better_of_warp(mine);
}

}  // namespace isotope::gpu
