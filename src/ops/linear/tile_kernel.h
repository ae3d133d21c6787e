// What the CPU kernels of every instruction set have in common: arguments as plain data.
// Included by files that are compiled for wide instruction sets, so nothing here may emit code.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace isotope::ops {

constexpr std::int64_t kTileFeatures = 16;  ///< output features of a tile
constexpr std::int64_t kScaleBlock = 128;   ///< values of k that share a block scale
constexpr std::int64_t kPaddedKMultiple = 32;
/// Tiles that one kernel call covers at most. Four independent sums hide the latency of a
/// multiply-add even with one row, and 6 rows × 4 tiles fill the registers of AVX-512.
constexpr std::int64_t kMaxTiles = 4;
/// Rows of one kernel call at most, whole groups of 6: their sums (kMaxRows × kMaxTiles × 64 bytes)
/// live in L2 beside the widened weights.
constexpr std::int64_t kMaxRows = 96;
/// The same for AMX, whole groups of 32: it multiplies so much faster that widening FP8 needs more
/// rows to pay off.
constexpr std::int64_t kMaxAmxRows = 256;

enum class TileScales : std::uint8_t {
  none,
  row,            ///< [tile][16]
  block,          ///< [tile][blocks of k]
  block_feature,  ///< [tile][blocks of k][16]
};

/// y[rows, n] = x[rows, padded_k] · W^T with W in layout cpu_tile16.
struct TileMatmul {
  const std::byte* weights = nullptr;
  std::int64_t tile_bytes = 0;
  DType weight_dtype = DType::bf16;  ///< bf16, f8_e4m3 or f32
  TileScales scale_form = TileScales::none;
  const float* scales = nullptr;
  std::int64_t n = 0, padded_k = 0;
  const void* x = nullptr;  ///< bf16; f32 for f32 weights
  std::int64_t x_stride = 0;
  void* y = nullptr;
  DType y_dtype = DType::f32;  ///< f32 or bf16
  std::int64_t y_stride = 0;
  bool accumulate = false;  ///< y += …
};

/// Tiles [tile, tile + tiles) of rows [row, row + rows): tiles ≤ kMaxTiles, rows ≤ kMaxRows or
/// kMaxAmxRows.
struct TileRange {
  std::int64_t tile = 0, tiles = 0, row = 0, rows = 0;
  bool goes_on = false;  ///< the next call takes the tiles behind these: worth fetching ahead
};

/// A kernel family. Every sum runs over k in increasing order, whatever the range around it: an
/// element of y has the same bits for all ranges, thread counts and neighbouring rows.
using TileKernel = void (*)(const TileMatmul& matmul, const TileRange& range);

void multiply_tiles_avx2(const TileMatmul& matmul, const TileRange& range);
void multiply_tiles_avx512(const TileMatmul& matmul, const TileRange& range);
/// Not for f32 weights.
void multiply_tiles_avx512_bf16(const TileMatmul& matmul, const TileRange& range);
/// Not for f32 weights. Its sums differ from the other families' in the last bits.
void multiply_tiles_amx(const TileMatmul& matmul, const TileRange& range);

}  // namespace isotope::ops
