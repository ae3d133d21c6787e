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
constexpr std::int64_t kGroupRows = 2 * kRowsPerTile;
constexpr std::int64_t kBlockStride = 2 * kTileFeatures;
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
inline void compiler_barrier() { __asm__ volatile("" ::: "memory"); }

struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

/// Tiles for groups of `rows` (1 to 32) rows.
void configure(std::int64_t rows) {
  const std::int64_t upper = smaller(rows, kRowsPerTile), lower = rows - upper;
  TileConfig config;
  const auto set = [&config](int tile, std::int64_t count) {
    config.rows[tile] = std::uint8_t(count);
    config.row_bytes[tile] = count ? 64 : 0;
  };
  for (const int tile : {TMM_UPPER_0, TMM_UPPER_1, TMM_UPPER_X}) set(tile, upper);
  for (const int tile : {TMM_LOWER_0, TMM_LOWER_1, TMM_LOWER_X}) set(tile, lower);
  set(TMM_WEIGHTS_0, kRowsPerTile);
  set(TMM_WEIGHTS_1, kRowsPerTile);
  compiler_barrier();
  __asm__ volatile("ldtilecfg %0" ::"m"(config));
}

/// Up to 32 rows and 2 tiles over one step along k.
struct Group {
  const std::byte* weights = nullptr;  ///< BF16 pairs of the first tile
  std::int64_t tile_stride = 0;        ///< bytes to the second
  const std::uint16_t* x = nullptr;
  std::int64_t x_stride = 0;  ///< elements
  std::int64_t values = 0;    ///< of k
  float* sums = nullptr;
  std::int64_t sum_stride = 0;  ///< FP32 values from row to row
};

/// sums += x · W^T, or sums = … if kFresh. kLower: more than 16 rows; kPair: two tiles.
template <bool kLower, bool kPair, bool kFresh>
void multiply_group(const Group& group) {
  const std::int64_t sum_bytes = group.sum_stride * 4;
  float* const upper = group.sums;
  float* const lower = upper + kRowsPerTile * group.sum_stride;
  if constexpr (kFresh) {
    _tile_zero(TMM_UPPER_0);
    if constexpr (kPair) _tile_zero(TMM_UPPER_1);
    if constexpr (kLower) _tile_zero(TMM_LOWER_0);
    if constexpr (kLower && kPair) _tile_zero(TMM_LOWER_1);
  } else {
    _tile_loadd(TMM_UPPER_0, upper, sum_bytes);
    if constexpr (kPair) _tile_loadd(TMM_UPPER_1, upper + kTileFeatures, sum_bytes);
    if constexpr (kLower) _tile_loadd(TMM_LOWER_0, lower, sum_bytes);
    if constexpr (kLower && kPair) _tile_loadd(TMM_LOWER_1, lower + kTileFeatures, sum_bytes);
  }
  const std::uint16_t* const lower_x = group.x + kRowsPerTile * group.x_stride;
  const std::byte* weights = group.weights;
  for (std::int64_t i = 0; i < group.values; i += kAmxK, weights += kBlockBytes) {
    _tile_loadd(TMM_WEIGHTS_0, weights, 64);
    _tile_loadd(TMM_UPPER_X, group.x + i, group.x_stride * 2);
    _tile_dpbf16ps(TMM_UPPER_0, TMM_UPPER_X, TMM_WEIGHTS_0);
    if constexpr (kPair) _tile_loadd(TMM_WEIGHTS_1, weights + group.tile_stride, 64);
    if constexpr (kPair) _tile_dpbf16ps(TMM_UPPER_1, TMM_UPPER_X, TMM_WEIGHTS_1);
    if constexpr (kLower) _tile_loadd(TMM_LOWER_X, lower_x + i, group.x_stride * 2);
    if constexpr (kLower) _tile_dpbf16ps(TMM_LOWER_0, TMM_LOWER_X, TMM_WEIGHTS_0);
    if constexpr (kLower && kPair) _tile_dpbf16ps(TMM_LOWER_1, TMM_LOWER_X, TMM_WEIGHTS_1);
  }
  _tile_stored(TMM_UPPER_0, upper, sum_bytes);
  if constexpr (kPair) _tile_stored(TMM_UPPER_1, upper + kTileFeatures, sum_bytes);
  if constexpr (kLower) _tile_stored(TMM_LOWER_0, lower, sum_bytes);
  if constexpr (kLower && kPair) _tile_stored(TMM_LOWER_1, lower + kTileFeatures, sum_bytes);
}

template <bool kFresh>
void multiply_group(const Group& group, std::int64_t rows, bool pair) {
  const bool lower = rows > kRowsPerTile;
  if (lower && pair) return multiply_group<true, true, kFresh>(group);
  if (lower) return multiply_group<true, false, kFresh>(group);
  if (pair) return multiply_group<false, true, kFresh>(group);
  multiply_group<false, false, kFresh>(group);
}

struct AmxScratch {
  alignas(64) float sums[kMaxAmxRows * kSumStride];
  alignas(
      64) float block[kGroupRows * kBlockStride];  ///< of one group, before its scale is applied
  alignas(64) std::byte weights[kMaxTiles * kLongStep * kTileFeatures * 2];
};

/// One step along k for all rows and tiles of a call.
struct AmxStep {
  Group group;                    ///< of the first rows and tiles
  std::int64_t prefetch = 0;      ///< bytes from the weights of this step to those of the next
  const float* scales = nullptr;  ///< of this block in the first tile; nullptr: the sums run on
  std::int64_t scale_stride = 0;
  bool scale_per_feature = false;
};

/// As a group's product, but each block of k is summed apart and then added with its scale.
void multiply_scaled_group(Group group, std::int64_t rows, bool pair, const AmxStep& step,
                           const float* scales, float* block) {
  float* const sums = group.sums;
  group.sums = block;
  group.sum_stride = kBlockStride;
  multiply_group<true>(group, rows, pair);
  for (std::int64_t t = 0; t < (pair ? 2 : 1); ++t) {
    const float* scale = scales + t * step.scale_stride;
    const __m512 factor = step.scale_per_feature ? _mm512_loadu_ps(scale) : _mm512_set1_ps(*scale);
    for (std::int64_t r = 0; r < rows; ++r) {
      float* const sum = sums + r * kSumStride + t * kTileFeatures;
      const __m512 part = _mm512_load_ps(block + r * kBlockStride + t * kTileFeatures);
      _mm512_store_ps(sum, _mm512_fmadd_ps(part, factor, _mm512_load_ps(sum)));
    }
  }
}

void multiply_step(const AmxStep& step, const TileRange& range, float* block,
                   std::int64_t& configured_rows) {
  for (std::int64_t row = 0; row < range.rows; row += kGroupRows) {
    const std::int64_t rows = smaller(kGroupRows, range.rows - row);
    if (rows != configured_rows) {
      configure(rows);
      configured_rows = rows;
    }
    for (std::int64_t tile = 0; tile < range.tiles; tile += 2) {
      const bool pair = tile + 1 < range.tiles;
      Group group = step.group;
      group.x += row * group.x_stride;
      group.weights += tile * group.tile_stride;
      group.sums += row * kSumStride + tile * kTileFeatures;
      if (step.scales)
        multiply_scaled_group(group, rows, pair, step, step.scales + tile * step.scale_stride,
                              block);
      else
        multiply_group<false>(group, rows, pair);
    }
  }
}

AmxStep step_at(const TileMatmul& matmul, const TileRange& range, std::int64_t begin) {
  AmxStep step;
  const std::int64_t value_bytes = kTileFeatures * bytes_of(matmul.weight_dtype);
  step.group.weights = matmul.weights + range.tile * matmul.tile_bytes + begin * value_bytes;
  step.group.tile_stride = matmul.tile_bytes;
  step.group.x = static_cast<const std::uint16_t*>(matmul.x) + range.row * matmul.x_stride + begin;
  step.group.x_stride = matmul.x_stride;
  step.group.sum_stride = kSumStride;
  const bool per_feature = matmul.scale_form == TileScales::block_feature;
  if (per_feature || matmul.scale_form == TileScales::block) {
    const std::int64_t blocks = (matmul.padded_k + kScaleBlock - 1) / kScaleBlock;
    const std::int64_t width = per_feature ? kTileFeatures : 1;
    step.scale_per_feature = per_feature;
    step.scale_stride = blocks * width;
    step.scales = matmul.scales + range.tile * step.scale_stride + begin / kScaleBlock * width;
  }
  step.group.values = smaller(step.scales ? kScaleBlock : kLongStep, matmul.padded_k - begin);
  if (begin + step.group.values < matmul.padded_k)
    step.prefetch = step.group.values * value_bytes;
  else if (range.goes_on)
    step.prefetch = range.tiles * matmul.tile_bytes - begin * value_bytes;
  return step;
}

void multiply_range_amx(const TileMatmul& matmul, const TileRange& range) {
  AmxScratch scratch;
  std::int64_t configured_rows = 0;
  clear_sums<FloatLanes>(range, scratch.sums);
  for (std::int64_t begin = 0; begin < matmul.padded_k;) {
    AmxStep step = step_at(matmul, range, begin);
    step.group.sums = scratch.sums;
    if (matmul.weight_dtype == DType::f8_e4m3) {
      constexpr std::int64_t kStride = kLongStep * kTileFeatures * 2;
      for (std::int64_t t = 0; t < range.tiles; ++t)
        widen_fp8_tile(step.group.weights + t * step.group.tile_stride, step.group.values,
                       step.prefetch, scratch.weights + t * kStride);
      step.group.weights = scratch.weights;
      step.group.tile_stride = kStride;
    }
    compiler_barrier();
    multiply_step(step, range, scratch.block, configured_rows);
    begin += step.group.values;
  }
  write_sums<FloatLanes>(matmul, range, scratch.sums);
  _tile_release();
}

}  // namespace

void multiply_tiles_amx(const TileMatmul& matmul, const TileRange& range) {
  multiply_range_amx(matmul, range);
}

}  // namespace isotope::ops
