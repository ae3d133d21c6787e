// Few rows: a warp multiplies a strip of 16 weight rows by one of the kParts parts of k, a block a whole strip, then
// strips block_x + i·grid_x. Weights go from memory to registers to the matrix unit, each byte once.
//
//   weights gpu_tile128 [strips·16][k_tiles·128 bytes]; inputs by linear_inputs (or from source.x, fused); y [rows, n]
//   launch: grid (any number ≤ strips, ceil(rows / columns)), 256 threads; fused: ≤ kMmaRows rows, dynamic shared memory
//   for rows·padded_k·2 bytes, then rows (NVIDIA) or rows·k_tiles (gfx12) floats.
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
constexpr int kPartial = kTiles * kAccumulators * kWarp;  ///< sums of a warp
static_assert(kColumns <= 16 && (!kFused || kTiles == 1));

/// Where the inputs of this lane are.
struct Inputs {
  const u8* lane;        ///< of step 0, block 0, tile 0
  const float* scales;   ///< gfx12 FP8: of this lane's column, by tile of k
  i64 tile_bytes;        ///< from one tile of columns to the next
  int block_bytes;       ///< from one block to the next
  bool present;
};

ISOTOPE_DEVICE Inputs find_inputs(const LinearDecodeParams& p) {
  Inputs in;
  const int rows = kFused ? p.source.rows : kMmaRows;
  in.present = input_row() < rows;
  in.block_bytes = rows * kLanesPerRow * 16;
  in.tile_bytes = i64(p.k_tiles) * 2 * kInputVectors * (kWarp * 16);
  const u8* base = kFused ? dynamic_shared() : static_cast<const u8*>(p.inputs) + block_y() * kTiles * in.tile_bytes;
  in.lane = base + (input_row() * kLanesPerRow + lane_of_row()) * 16;
  in.scales = kFused ? reinterpret_cast<const float*>(base + i64(rows) * p.k_tiles * kTileValues * 2)
                     : p.input_scales + (kInputBlockScales ? i64(block_y()) * kColumns * p.k_tiles : 0);
  if (kInputBlockScales) in.scales += i64(in.present ? input_row() : 0) * p.k_tiles;
  return in;
}

ISOTOPE_DEVICE void load_inputs(const Inputs& in, int step, int column_tile, Vec16 (&x)[kInputVectors]) {
#pragma unroll
  for (int i = 0; i < kInputVectors; ++i) {
    x[i] = Vec16{{0u, 0u, 0u, 0u}};
    if (!kFused || in.present)
      x[i] = load16(in.lane + column_tile * in.tile_bytes + i64(step * kInputVectors + i) * in.block_bytes);
  }
}

/// The products of a weight tile with all columns, added to `total`.
ISOTOPE_DEVICE void multiply_tile(const Inputs& in, const WeightTile& w, int tile,
                                  float (&total)[kTiles][kAccumulators]) {
  float acc[kTiles][kAccumulators] = {};
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    const WeightFragment fragment = widen(w.v[2 * step], w.v[2 * step + 1]);
#pragma unroll
    for (int c = 0; c < kTiles; ++c) {
      Vec16 x[kInputVectors];
      load_inputs(in, tile * 2 + step, c, x);
      multiply(kScaledTiles ? acc[c] : total[c], fragment, x);
    }
  }
  if constexpr (kScaledTiles) {
#pragma unroll
    for (int c = 0; c < kTiles; ++c) {
      static_assert(!kInputBlockScales || kTiles == 1);
      add_scaled(total[c], acc[c], w, kInputBlockScales ? in.scales[tile] : 1.0f);
    }
  }
}

/// What a thread stores of a strip, and what it needs for it that can be fetched beforehand.
struct Output {
  bool active;
  int m, column, row;  ///< row of the product, column of the block, row of the strip
  float input_scale, scale, scale_up, old;
};

ISOTOPE_DEVICE Output open_output(const LinearDecodeParams& p, const Inputs& in) {
  const int rows = p.epilogue == 2 ? 8 : 16;
  Output o;
  o.row = thread_index() % rows;
  o.column = thread_index() / rows;
  o.m = block_y() * kColumns + o.column;
  o.active = o.column < kColumns && o.m < p.source.rows;
  o.input_scale = 1.0f;
  if (kInputRowScales && o.active) o.input_scale = kFused ? in.scales[o.m] : p.input_scales[o.m];
  o.scale = o.scale_up = 1.0f;
  o.old = 0.0f;
  return o;
}
ISOTOPE_DEVICE int feature_of(const LinearDecodeParams& p, const Output& o, int strip) {
  return p.epilogue == 2 ? strip * 8 + o.row : strip * 16 + o.row;
}
ISOTOPE_DEVICE void fetch_output(const LinearDecodeParams& p, int strip, Output& o) {
  const int feature = feature_of(p, o, strip);
  if (!o.active || feature >= p.n) return;
  o.scale = row_scale(p, strip * 16 + o.row);
  if (p.epilogue == 2) o.scale_up = row_scale(p, strip * 16 + 8 + o.row);
  if (p.epilogue == 1) o.old = static_cast<const float*>(p.y)[i64(o.m) * p.y_stride + feature];
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

ISOTOPE_DEVICE void finish_strip(const LinearDecodeParams& p, const float* partials, int strip, const Output& o) {
  const int feature = feature_of(p, o, strip);
  if (!o.active || feature >= p.n) return;
  const float sum = sum_parts(p, partials, o.row, o.column) * o.input_scale;
  if (p.epilogue == 2) {
    const float up = sum_parts(p, partials, o.row + 8, o.column) * o.input_scale;
    store_output(p, o.m, feature, gated(sum, o.scale, up, o.scale_up));
  } else {
    store_output(p, o.m, feature, p.epilogue == 1 ? fma(sum, o.scale, o.old) : sum * o.scale);
  }
}

// STREAMS weights, narrow loads <= 1/2: scales
KERNEL_BLOCKS(linear_decode, LinearDecodeParams, kProductThreads, ISOTOPE_LINEAR_BLOCKS) {
  SHARED(float, partials, 2 * kParts * kPartial);
  SHARED(float, scratch, kInputWarps);
  release_successor();
  const int per_part = (p.k_tiles + kParts - 1) / kParts;
  const int first = warp_index() * per_part;
  const int count = max(0, min(per_part, p.k_tiles - first));
  const int rounds = (per_part + kDepth - 1) / kDepth * kDepth;  // the same for all warps

  int strip = block_x();
  WeightStream stream = open_stream(p, strip, first);
  WeightTile ring[kDepth];
#pragma unroll
  for (int d = 0; d < kDepth; ++d)
    if (d < count) load_tile(p, stream, d, ring[d]);
  if (block_y() == 0) prefetch_tiles(p, strip, first + min(kDepth, count), first + count);

  // Up to here only weights were read.
  wait_for_predecessor();
  if constexpr (kFused) {
    InputTarget target;
    target.tile = dynamic_shared();
    target.tile_rows = p.source.rows;
    float* scales = reinterpret_cast<float*>(target.tile + i64(p.source.rows) * p.source.padded_k * 2);
    for (int m = 0; m < p.source.rows; ++m) {
      target.row = m;
      target.scales = scales + (kInputBlockScales ? m * p.k_tiles : m);
      prepare_row(p.source, m, target, scratch);
    }
    block_barrier();
  }
  const Inputs in = find_inputs(p);
  Output output = open_output(p, in);

  for (int turn = 0; strip < p.strips; turn ^= 1) {
    const int next_strip = strip + grid_x();
    const WeightStream next = open_stream(p, next_strip, first);
    fetch_output(p, strip, output);
    float total[kTiles][kAccumulators] = {};
    for (int i = 0; i < rounds; i += kDepth) {
      const bool last = i + kDepth >= rounds;  // then the ring goes on with the next strip
      const bool goes_on = !last || next_strip < p.strips;
      const WeightStream from = {last ? next.weights : stream.weights, last ? next.scales : stream.scales};
      const int ahead = last ? 0 : i + kDepth;
#pragma unroll
      for (int d = 0; d < kDepth; ++d) {
        if (i + d < count) multiply_tile(in, ring[d], first + i + d, total);
        if (goes_on && ahead + d < count) load_tile(p, from, ahead + d, ring[d]);
      }
    }
    float* mine = partials + (turn * kParts + warp_index()) * kPartial;
#pragma unroll
    for (int c = 0; c < kTiles; ++c)
#pragma unroll
      for (int i = 0; i < kAccumulators; ++i) mine[(c * kAccumulators + i) * kWarp + lane_index()] = total[c][i];
    // One barrier a strip: partials of the strip after next are written only when all have passed the next barrier.
    block_barrier();
    finish_strip(p, partials + turn * kParts * kPartial, strip, output);
    strip = next_strip;
    stream = next;
  }
}

}  // namespace isotope::gpu
