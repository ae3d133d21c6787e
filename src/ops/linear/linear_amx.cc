// Prefill with AMX: TDPBF16PS multiplies 16 rows by 16 features over 32 values of k.
//
// Two groups of 16 rows times two weight tiles use four accumulators, so that each tile loaded is
// used twice. BF16 weights are read as packed; FP8 is widened into L1 once for all rows of the
// call. Where block scales are due, the accumulators are added into FP32 sums every 128 values of
// k.
#include <cstring>

#include "ops/linear/fp8_to_bf16.h"
#include "ops/linear/lanes_avx512.h"
#include "ops/linear/tile_loops.h"

namespace isotope::ops {
namespace {

constexpr std::int64_t kRowsPerTile = 16;
constexpr std::int64_t kAmxK = 32;                               ///< values of k of one TDPBF16PS
constexpr std::int64_t kBlockBytes = kAmxK * kTileFeatures * 2;  ///< of packed BF16: one B tile
constexpr std::int64_t kSumStride = kMaxTiles * kTileFeatures;   ///< FP32 values from row to row
/// Values of k between visits to the sums where no scale asks for 128: bounded by the L1 scratch of
/// FP8.
constexpr std::int64_t kLongStep = 512;

// Tile registers; upper and lower are rows 0 to 15 and 16 to 31 of a group. Macros, because GCC's
// intrinsics paste the number into the instruction.
#define TMM_UPPER_0 0
#define TMM_UPPER_1 1
#define TMM_LOWER_0 2
#define TMM_LOWER_1 3
#define TMM_UPPER_X 4
#define TMM_LOWER_X 5
#define TMM_WEIGHTS_0 6
#define TMM_WEIGHTS_1 7

/// Keeps the compiler from moving ordinary memory accesses across: GCC's tile loads do not say that
/// they read memory.
inline void memory_fence_for_compiler() { __asm__ volatile("" ::: "memory"); }

struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

/// `upper` and `lower` rows (1 to 16, lower may be 0) of x and of the accumulators.
void configure(std::int64_t upper, std::int64_t lower) {
  TileConfig config;
  const auto set = [&config](int tile, std::int64_t rows) {
    config.rows[tile] = std::uint8_t(rows);
    config.row_bytes[tile] = rows ? 64 : 0;
  };
  for (const int tile : {TMM_UPPER_0, TMM_UPPER_1, TMM_UPPER_X}) set(tile, upper);
  for (const int tile : {TMM_LOWER_0, TMM_LOWER_1, TMM_LOWER_X}) set(tile, lower);
  set(TMM_WEIGHTS_0, kRowsPerTile);
  set(TMM_WEIGHTS_1, kRowsPerTile);
  memory_fence_for_compiler();
  __asm__ volatile("ldtilecfg %0" ::"m"(config));
}

struct AmxStep {
  const std::byte* weights = nullptr;  ///< BF16 pairs of the first of two tiles
  std::int64_t tile_stride = 0;        ///< bytes
  const std::uint16_t* x = nullptr;
  std::int64_t x_stride = 0;  ///< elements
  std::int64_t values = 0;    ///< of k
  float* sums = nullptr;      ///< read and written, rows kSumStride apart
};

/// Up to 32 rows × 2 tiles (kLower: more than 16 rows; kPair: two tiles).
template <bool kLower, bool kPair>
void multiply_group(const AmxStep& step) {
  constexpr std::int64_t kSumBytes = kSumStride * 4;
  float* const lower_sums = step.sums + kRowsPerTile * kSumStride;
  _tile_loadd(TMM_UPPER_0, step.sums, kSumBytes);
  if constexpr (kPair) _tile_loadd(TMM_UPPER_1, step.sums + kTileFeatures, kSumBytes);
  if constexpr (kLower) _tile_loadd(TMM_LOWER_0, lower_sums, kSumBytes);
  if constexpr (kLower && kPair) _tile_loadd(TMM_LOWER_1, lower_sums + kTileFeatures, kSumBytes);
  const std::uint16_t* const lower_x = step.x + kRowsPerTile * step.x_stride;
  const std::byte* weights = step.weights;
  for (std::int64_t i = 0; i < step.values; i += kAmxK, weights += kBlockBytes) {
    _tile_loadd(TMM_WEIGHTS_0, weights, 64);
    _tile_loadd(TMM_UPPER_X, step.x + i, step.x_stride * 2);
    _tile_dpbf16ps(TMM_UPPER_0, TMM_UPPER_X, TMM_WEIGHTS_0);
    if constexpr (kPair) _tile_loadd(TMM_WEIGHTS_1, weights + step.tile_stride, 64);
    if constexpr (kPair) _tile_dpbf16ps(TMM_UPPER_1, TMM_UPPER_X, TMM_WEIGHTS_1);
    if constexpr (kLower) _tile_loadd(TMM_LOWER_X, lower_x + i, step.x_stride * 2);
    if constexpr (kLower) _tile_dpbf16ps(TMM_LOWER_0, TMM_LOWER_X, TMM_WEIGHTS_0);
    if constexpr (kLower && kPair) _tile_dpbf16ps(TMM_LOWER_1, TMM_LOWER_X, TMM_WEIGHTS_1);
  }
  _tile_stored(TMM_UPPER_0, step.sums, kSumBytes);
  if constexpr (kPair) _tile_stored(TMM_UPPER_1, step.sums + kTileFeatures, kSumBytes);
  if constexpr (kLower) _tile_stored(TMM_LOWER_0, lower_sums, kSumBytes);
  if constexpr (kLower && kPair) _tile_stored(TMM_LOWER_1, lower_sums + kTileFeatures, kSumBytes);
}

void multiply_group(const AmxStep& step, std::int64_t rows, bool pair) {
  const bool lower = rows > kRowsPerTile;
  if (lower && pair) return multiply_group<true, true>(step);
  if (lower) return multiply_group<true, false>(step);
  if (pair) return multiply_group<false, true>(step);
  multiply_group<false, false>(step);
}

struct AmxScratch {
  alignas(64) float sums[kMaxRows * kSumStride];
  alignas(64) float block_sums[kMaxRows * kSumStride];
  alignas(64) std::byte weights[kMaxTiles * kLongStep * kTileFeatures * 2];
};

/// sums += block_sums · scale of the block, and block_sums = 0.
void add_scaled_block(const TileMatmul& matmul, const TileRange& range, std::int64_t block,
                      AmxScratch& scratch) {
  const std::int64_t blocks = (matmul.padded_k + kScaleBlock - 1) / kScaleBlock;
  const bool per_feature = matmul.scale_form == TileScales::block_feature;
  for (std::int64_t t = 0; t < range.tiles; ++t) {
    const std::int64_t index = (range.tile + t) * blocks + block;
    const __m512 scale = per_feature ? _mm512_loadu_ps(matmul.scales + index * kTileFeatures)
                                     : _mm512_set1_ps(matmul.scales[index]);
    for (std::int64_t r = 0; r < range.rows; ++r) {
      float* const sum = scratch.sums + r * kSumStride + t * kTileFeatures;
      float* const part = scratch.block_sums + r * kSumStride + t * kTileFeatures;
      _mm512_store_ps(sum, _mm512_fmadd_ps(_mm512_load_ps(part), scale, _mm512_load_ps(sum)));
      _mm512_store_ps(part, _mm512_setzero_ps());
    }
  }
}

/// One step along k for all rows and tiles of the call.
void multiply_step(AmxStep step, const TileRange& range) {
  float* const sums = step.sums;
  const std::uint16_t* const x = step.x;
  const std::byte* const weights = step.weights;
  constexpr std::int64_t kGroup = 2 * kRowsPerTile;
  for (std::int64_t row = 0; row < range.rows; row += kGroup) {
    const std::int64_t rows = smaller(kGroup, range.rows - row);
    // The configuration of whole groups stays; only the first group and a last, partial one load
    // theirs.
    if (row == 0 || rows < kGroup)
      configure(smaller(rows, kRowsPerTile), rows > kRowsPerTile ? rows - kRowsPerTile : 0);
    step.x = x + row * step.x_stride;
    for (std::int64_t tile = 0; tile < range.tiles; tile += 2) {
      step.weights = weights + tile * step.tile_stride;
      step.sums = sums + row * kSumStride + tile * kTileFeatures;
      multiply_group(step, rows, tile + 1 < range.tiles);
    }
  }
}

void multiply_range_amx(const TileMatmul& matmul, const TileRange& range) {
  AmxScratch scratch;
  clear_sums<FloatLanes>(range, scratch.sums);
  clear_sums<FloatLanes>(range, scratch.block_sums);
  const bool narrow = matmul.weight_dtype == DType::f8_e4m3;
  const bool block_scales =
      matmul.scale_form == TileScales::block || matmul.scale_form == TileScales::block_feature;
  const std::int64_t length = block_scales ? kScaleBlock : kLongStep;
  for (std::int64_t begin = 0; begin < matmul.padded_k; begin += length) {
    AmxStep step;
    step.values = smaller(length, matmul.padded_k - begin);
    step.x = static_cast<const std::uint16_t*>(matmul.x) + range.row * matmul.x_stride + begin;
    step.x_stride = matmul.x_stride;
    step.sums = block_scales ? scratch.block_sums : scratch.sums;
    step.weights = matmul.weights + range.tile * matmul.tile_bytes +
                   begin * kTileFeatures * bytes_of(matmul.weight_dtype);
    step.tile_stride = matmul.tile_bytes;
    if (narrow) {
      constexpr std::int64_t kStride = kLongStep * kTileFeatures * 2;
      for (std::int64_t t = 0; t < range.tiles; ++t)
        widen_fp8_tile(step.weights + t * step.tile_stride, step.values,
                       scratch.weights + t * kStride);
      step.weights = scratch.weights;
      step.tile_stride = kStride;
    }
    memory_fence_for_compiler();
    multiply_step(step, range);
    memory_fence_for_compiler();
    if (block_scales) add_scaled_block(matmul, range, begin / kScaleBlock, scratch);
  }
  write_sums<FloatLanes>(matmul, range, scratch.sums);
  _tile_release();
}

}  // namespace

void multiply_tiles_amx(const TileMatmul& matmul, const TileRange& range) {
  multiply_range_amx(matmul, range);
}

}  // namespace isotope::ops
