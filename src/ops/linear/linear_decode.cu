// Few rows: a warp multiplies a strip of 16 weight rows by one of the kParts parts of k, a block a whole strip, then
// strips block_x + i·grid_x. Weights go from memory to registers to the matrix unit, each byte once.
//
//   weights gpu_tile128 [strips·16][k_tiles·128 bytes]; inputs by linear_inputs (or from source.x, fused); y [rows, n]
//   launch: grid (any number ≤ strips, ceil(rows / columns)), 256 threads; fused: ≤ kMmaRows rows, dynamic shared memory
//   for rows·padded_k·2 + 16 bytes, then rows (NVIDIA) or rows·k_tiles (gfx12) floats.
//
//   ISOTOPE_LINEAR_TILES   tiles of kMmaRows columns, at most 16 columns in all
//   ISOTOPE_LINEAR_FUSED   1: the prologue prepares the inputs
//   ISOTOPE_LINEAR_BLOCKS  blocks that share a multiprocessor
#include "ops/gpu/portable.cuh"
#include "ops/linear/linear_decode.cuh"

namespace isotope::gpu {

constexpr int kTiles = ISOTOPE_LINEAR_TILES;
constexpr bool kFused = ISOTOPE_LINEAR_FUSED;
constexpr int kColumns = kTiles * kMmaRows;
/// gfx12 counts loads in order: waiting for inputs would wait for the weights asked for before them as well. So inputs
/// that come from global memory are asked for together with the weights that they meet.
constexpr bool kInputsInRing = !kAsyncCopies && !kFused;
/// Slots that are filled before the inputs are there. The fused form needs the registers of the others to prepare the
/// inputs; meanwhile their weights wait in the L2 cache.
constexpr int kEarly = kFused && kAsyncCopies ? 1 : kDepth;
constexpr int kPartial = kTiles * kAccumulators * kWarp;  ///< sums of a warp
static_assert(kColumns <= 16 && (!kFused || kTiles == 1));

/// Where the inputs of this lane are.
struct Inputs {
  const u8* lane;       ///< of step 0, block 0, tile 0
  int block_bytes;      ///< from one block to the next
  const float* scales;  ///< NVIDIA FP8: of column 0; gfx12 FP8: of this lane's column, by tile of k
};

/// Bytes of the inputs of `rows` rows, and from one tile of columns to the next.
ISOTOPE_DEVICE i64 input_bytes(const LinearDecodeParams& p, int rows) {
  return i64(p.k_tiles) * (2 * kInputVectors * kLanesPerRow * 16) * rows;
}

/// Fused: the rows that exist, then a vector of zeros that stands for the others, then the scales.
ISOTOPE_DEVICE Inputs find_inputs(const LinearDecodeParams& p) {
  Inputs in;
  const int rows = kFused ? p.source.rows : kMmaRows;
  const bool present = input_row() < rows;
  const u8* base = kFused ? dynamic_shared()
                          : static_cast<const u8*>(p.inputs) + block_y() * kTiles * input_bytes(p, kMmaRows);
  in.block_bytes = present ? rows * kLanesPerRow * 16 : 0;
  in.lane = base + (present ? (input_row() * kLanesPerRow + lane_of_row()) * 16 : input_bytes(p, rows));
  in.scales = kFused ? reinterpret_cast<const float*>(base + input_bytes(p, rows) + 16)
                     : p.input_scales + i64(block_y()) * kColumns * (kInputBlockScales ? p.k_tiles : 1);
  if (kInputBlockScales) in.scales += i64(present ? input_row() : 0) * p.k_tiles;
  return in;
}

ISOTOPE_DEVICE void load_inputs(const LinearDecodeParams& p, const Inputs& in, int step, int column_tile,
                                Vec16 (&x)[kInputVectors]) {
  const u8* from = in.lane + step * kInputVectors * in.block_bytes;
  if constexpr (kTiles > 1) from += column_tile * input_bytes(p, kMmaRows);
#pragma unroll
  for (int i = 0; i < kInputVectors; ++i) x[i] = load16(from + i * in.block_bytes);
}

/// What a warp has asked for: weights and, with kInputsInRing, the inputs that they meet.
struct Slot {
  WeightTile w;
  Vec16 x[kInputsInRing ? 2 : 1][kInputVectors];
  float input_scale;
};

ISOTOPE_DEVICE void load_slot_inputs(const LinearDecodeParams& p, const Inputs& in, int tile, Slot& slot) {
  static_assert(!kInputsInRing || kTiles == 1);
  if constexpr (kInputsInRing) {
    load_inputs(p, in, tile * 2, 0, slot.x[0]);
    load_inputs(p, in, tile * 2 + 1, 0, slot.x[1]);
    if constexpr (kInputBlockScales) slot.input_scale = in.scales[tile];
  }
}

/// The products of a weight tile with all columns, added to `total`.
ISOTOPE_DEVICE void multiply_slot(const LinearDecodeParams& p, const Inputs& in, const Slot& slot, int tile,
                                  float (&total)[kTiles][kAccumulators]) {
  float acc[kTiles][kAccumulators] = {};
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    const WeightFragment fragment = widen(slot.w.v[2 * step], slot.w.v[2 * step + 1]);
#pragma unroll
    for (int c = 0; c < kTiles; ++c) {
      float(&sums)[kAccumulators] = kScaledTiles ? acc[c] : total[c];
      if constexpr (kInputsInRing) {
        multiply(sums, fragment, slot.x[step]);
      } else {
        Vec16 x[kInputVectors];
        load_inputs(p, in, tile * 2 + step, c, x);
        multiply(sums, fragment, x);
      }
    }
  }
#pragma unroll
  for (int c = 0; c < kTiles; ++c) {
    static_assert(!kInputBlockScales || kTiles == 1);
    if constexpr (kScaledTiles) {
      float scale = 1.0f;
      if constexpr (kInputBlockScales) scale = kInputsInRing ? slot.input_scale : in.scales[tile];
      add_scaled(total[c], acc[c], slot.w, scale);
    }
#pragma unroll
    for (int i = 0; i < kAccumulators; ++i) keep_here(total[c][i]);
  }
}

/// What a thread stores of a strip: row (of gates, with swiglu) thread % rows of the strip, column thread / rows.
struct Output {
  int m, feature;  ///< feature p.n: nothing
  float scale, scale_up, old;
};

/// Of the number of rows of a strip that are stored.
ISOTOPE_DEVICE int output_shift(const LinearDecodeParams& p) { return p.epilogue == 2 ? 3 : 4; }

/// Begins to fetch what the output of a strip will need.
ISOTOPE_DEVICE Output open_output(const LinearDecodeParams& p, int strip) {
  const int shift = output_shift(p), row = thread_index() & ((1 << shift) - 1), column = thread_index() >> shift;
  Output o = {block_y() * kColumns + column, (strip << shift) + row, 1.0f, 1.0f, 0.0f};
  if (column >= kColumns || o.m >= p.source.rows || o.feature >= p.n) {
    o.feature = p.n;
    return o;
  }
  o.scale = row_scale(p, strip * 16 + row);
  if (p.epilogue == 2) o.scale_up = row_scale(p, strip * 16 + 8 + row);
  if (p.epilogue == 1) o.old = static_cast<const float*>(p.y)[i64(o.m) * p.y_stride + o.feature];
  return o;
}

/// The sum over all parts of k of one element: within groups, then over groups.
ISOTOPE_DEVICE float sum_parts(const LinearDecodeParams& p, const float* partials, int row, int column) {
  const float* from = partials + column / kMmaRows * (kAccumulators * kWarp) + acc_index(row, column % kMmaRows);
  float part[kParts];
#pragma unroll
  for (int i = 0; i < kParts; ++i) part[i] = from[i * kPartial];
  const int last = kParts / p.groups - 1;  // of a group; groups is a power of two
  float sum = 0.0f, group = 0.0f;
#pragma unroll
  for (int i = 0; i < kParts; ++i) {
    group = (i & last) == 0 ? part[i] : group + part[i];
    if ((i & last) == last) sum = i == last ? group : sum + group;
  }
  return sum;
}

ISOTOPE_DEVICE void finish_strip(const LinearDecodeParams& p, const Inputs& in, const float* partials, const Output& o) {
  if (o.feature >= p.n) return;
  const int shift = output_shift(p), row = thread_index() & ((1 << shift) - 1), column = thread_index() >> shift;
  const float input_scale = kInputRowScales ? in.scales[column] : 1.0f;
  const float sum = sum_parts(p, partials, row, column) * input_scale;
  if (p.epilogue == 2) {
    const float up = sum_parts(p, partials, row + 8, column) * input_scale;
    store_output(p, o.m, o.feature, gated(sum, o.scale, up, o.scale_up));
  } else {
    store_output(p, o.m, o.feature, p.epilogue == 1 ? fma(sum, o.scale, o.old) : sum * o.scale);
  }
}

/// All rows into shared memory, as find_inputs looks for them.
ISOTOPE_DEVICE void prepare_inputs(const LinearDecodeParams& p, float* scratch) {
  const int rows = p.source.rows;
  u8* zeros = dynamic_shared() + input_bytes(p, rows);
  if (thread_index() == 0) store16(zeros, {{0u, 0u, 0u, 0u}});
  InputTarget target;
  target.tile = dynamic_shared();
  target.tile_rows = rows;
  for (int m = 0; m < rows; ++m) {
    target.row = m;
    target.scales = reinterpret_cast<float*>(zeros + 16) + (kInputBlockScales ? m * p.k_tiles : m);
    prepare_row(p.source, m, target, scratch);
  }
  block_barrier();
}

/// The tiles of k of this warp, strip after strip: where it loads from, or what it multiplies.
struct Cursor {
  int strip, tile;
};
ISOTOPE_DEVICE void advance(Cursor& cursor, int per_part) {
  const bool goes_on = cursor.tile + 1 < per_part;
  cursor.tile = goes_on ? cursor.tile + 1 : 0;
  cursor.strip = goes_on ? cursor.strip : cursor.strip + grid_x();
}

/// A warp's way through its strips.
struct Walk {
  int first, count, per_part;  ///< tiles of k of this warp; per_part is the same for all warps
  Cursor load, use;
  int turn;                    ///< which half of the partial sums
  float total[kTiles][kAccumulators];
  Output output;
};

/// Asks for the weights at the load cursor. Behind the end of k the last tile
/// is read again if loads may not be left out.
template <bool kAlways>
ISOTOPE_DEVICE void load_slot(const LinearDecodeParams& p, const Walk& walk, Slot& slot) {
  if (!kAlways && walk.load.tile >= walk.count) return;
  const int tile = kAlways ? min(walk.first + walk.load.tile, p.k_tiles - 1) : walk.first + walk.load.tile;
  load_tile(p, tile_offset(p, walk.load.strip, tile), walk.load.strip, tile, slot.w);
}

/// Asks for the weights of slots [kBegin, kEnd) of the ring, the first ones of the walk.
template <int kBegin, int kEnd>
ISOTOPE_DEVICE void fill_ring(const LinearDecodeParams& p, int total, Walk& walk, Slot (&ring)[kDepth]) {
#pragma unroll
  for (int d = kBegin; d < kEnd; ++d) {
    if (kAsyncCopies && d >= total) break;
    load_slot<!kAsyncCopies>(p, walk, ring[d]);
    if (d + 1 < total) advance(walk.load, walk.per_part);
  }
}

/// All warps' sums of a strip together, and the next strip begun.
ISOTOPE_DEVICE void end_strip(const LinearDecodeParams& p, const Inputs& in, float* partials, Walk& walk) {
  partials += walk.turn * kParts * kPartial;
  float* mine = partials + warp_index() * kPartial + lane_index();
#pragma unroll
  for (int c = 0; c < kTiles; ++c)
#pragma unroll
    for (int i = 0; i < kAccumulators; ++i) {
      mine[(c * kAccumulators + i) * kWarp] = walk.total[c][i];
      walk.total[c][i] = 0.0f;
    }
  // One barrier a strip: partials of the strip after next are written only when all have passed the next barrier.
  shared_barrier();
  finish_strip(p, in, partials, walk.output);
  walk.turn ^= 1;
}

/// Tiles [at, at + kDepth) of the `total` tiles of this walk. kAlways: all of them and as many after them are there.
template <bool kAlways>
ISOTOPE_DEVICE void walk_slots(const LinearDecodeParams& p, const Inputs& in, float* partials, int at, int total,
                               Walk& walk, Slot (&ring)[kDepth]) {
#pragma unroll
  for (int d = 0; d < kDepth; ++d) {
    if (!kAlways && at + d >= total) break;
    if (walk.use.tile == 0) walk.output = open_output(p, walk.use.strip);
    const int tile = walk.first + walk.use.tile;
    if (walk.use.tile < walk.count) multiply_slot(p, in, ring[d], tile, walk.total);
    if (kAlways || at + d + kDepth < total) {
      load_slot<!kAsyncCopies>(p, walk, ring[d]);
      load_slot_inputs(p, in, min(walk.first + walk.load.tile, p.k_tiles - 1), ring[d]);
      advance(walk.load, walk.per_part);
    }
    const bool strip_ends = walk.use.tile + 1 == walk.per_part;
    advance(walk.use, walk.per_part);
    if (strip_ends) end_strip(p, in, partials, walk);
  }
}

// STREAMS weights, narrow loads <= 3/4: scales and, once a strip, what its outputs need
KERNEL_BLOCKS(linear_decode, LinearDecodeParams, kProductThreads, ISOTOPE_LINEAR_BLOCKS) {
  SHARED(float, partials, 2 * kParts * kPartial);
  SHARED(float, scratch, kInputWarps);
  release_successor();
  Walk walk;
  walk.per_part = (p.k_tiles + kParts - 1) / kParts;
  walk.first = warp_index() * walk.per_part;
  walk.count = max(0, min(walk.per_part, p.k_tiles - walk.first));
  walk.load = walk.use = {block_x(), 0};
  walk.turn = 0;
  const int total = (p.strips - block_x() + grid_x() - 1) / grid_x() * walk.per_part;

  Slot ring[kDepth];
  fill_ring<0, kEarly>(p, total, walk, ring);
  if (block_y() == 0)
    prefetch_tiles(p, walk.use.strip, walk.first + min(kEarly, walk.count), walk.first + walk.count);
  if (kFused && p.source.norm)
    for (int i = thread_index() * 32; i < p.source.k; i += kProductThreads * 32) prefetch_l2(p.source.norm + i);

  // Up to here only weights were read.
  wait_for_predecessor();
  if constexpr (kFused) prepare_inputs(p, scratch);
  fill_ring<kEarly, kDepth>(p, total, walk, ring);
  const Inputs in = find_inputs(p);
  Cursor inputs = walk.use;
#pragma unroll
  for (int d = 0; d < kDepth; ++d) {
    load_slot_inputs(p, in, min(walk.first + inputs.tile, p.k_tiles - 1), ring[d]);
    advance(inputs, walk.per_part);
  }
#pragma unroll
  for (int c = 0; c < kTiles; ++c)
#pragma unroll
    for (int i = 0; i < kAccumulators; ++i) walk.total[c][i] = 0.0f;

  int at = 0;
  // Loads that may be left out cannot be counted on gfx12, so most of the way none may.
  if constexpr (!kAsyncCopies)
    for (; at + 2 * kDepth <= total; at += kDepth) walk_slots<true>(p, in, partials, at, total, walk, ring);
  for (; at < total; at += kDepth) walk_slots<false>(p, in, partials, at, total, walk, ring);
}

}  // namespace isotope::gpu
