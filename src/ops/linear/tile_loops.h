// The loops around the multiply-adds, written once for all vector instruction sets.
//
// Each NAME_<isa>.cc defines a Family in its anonymous namespace and instantiates these templates
// with it; the anonymous namespace here keeps every instantiation private to that file, so that the
// linker cannot take code of a wide instruction set for a narrow one. For the same reason nothing
// here calls into the standard library.
//
// A Family provides
//   Sum              16 FP32 lanes, one an output feature; zero, load, store, broadcast, multiply,
//   add,
//                    multiply_add(a, b, c) = a·b + c rounded once, store_bf16
//   X                element of x as the multiply-adds take it (bf16 bits or FP32)
//   kWidensX         x is bf16 and X is FP32: widen_x<DType>(from, values, to)
//   kScratch         dtype that narrower weights are widened to in L1 when many rows share them:
//                    widen_tile<DType>(from, values of k, bytes to prefetch ahead, to)
//   kFusedRows       up to so many rows, narrower weights are widened in registers instead
//   tiles(R, fused)  tiles whose sums fit in registers beside everything else, with R rows
//   Weights<DType>   constants that stay in registers, and kValues (values of k in 64 bytes of a
//   tile),
//                    Wide, widen(64 bytes), Broadcast, broadcast(const X*),
//                    add_product(Sum, Wide, Broadcast): kValues products added in order of k
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/intrinsics.h"
#include "ops/linear/tile_kernel.h"

namespace isotope::ops {
namespace {

constexpr std::int64_t bytes_of(DType dtype) {
  return dtype == DType::f32 ? 4 : dtype == DType::bf16 ? 2 : 1;
}
constexpr int kMaxRowGroup = 6;    ///< rows whose sums share the registers with 4 tiles'
constexpr int kMaxFusedGroup = 8;  ///< rows that share one widening in registers

constexpr std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

/// One step along k: all rows and tiles of a call, at most kScaleBlock values, so that the weights
/// stay in L1 while groups of rows pass over them.
template <class Family>
struct Step {
  const std::byte* weights = nullptr;
  std::int64_t tile_stride = 0;  ///< bytes
  std::int64_t prefetch = 0;     ///< bytes from the weights of this step to those of the next
  const typename Family::X* x = nullptr;
  std::int64_t x_stride = 0;
  std::int64_t values = 0;        ///< of k
  float* sums = nullptr;          ///< [rows][kMaxTiles][16]
  const float* scales = nullptr;  ///< of this block in the first tile; nullptr: the sum runs on
  std::int64_t scale_stride = 0;
  bool scale_per_feature = false;
};

template <class Family>
typename Family::Sum block_scale(const Step<Family>& step, std::int64_t tile) {
  const float* scale = step.scales + tile * step.scale_stride;
  return step.scale_per_feature ? Family::load(scale) : Family::broadcast(*scale);
}

/// sums[row + r][tile + t] += x[row + r] · W[tile + t]^T over one step, in R · T registers.
template <class Family, DType kWeights, int R, int T>
void multiply_block(const Step<Family>& step, std::int64_t row, std::int64_t tile) {
  using Weights = typename Family::template Weights<kWeights>;
  const Weights format;
  constexpr bool kFused = kWeights != Family::kScratch;
  constexpr std::int64_t kStepBytes = 64;
  typename Family::Sum sum[R][T];
  float* const sums = step.sums + (row * kMaxTiles + tile) * kTileFeatures;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
      sum[r][t] =
          step.scales ? Family::zero() : Family::load(sums + (r * kMaxTiles + t) * kTileFeatures);

  const std::byte* weights = step.weights + tile * step.tile_stride;
  const std::int64_t tile_stride = step.tile_stride;
  const std::int64_t prefetch = step.prefetch;
  const typename Family::X* x = step.x + row * step.x_stride;
  const std::int64_t x_stride = step.x_stride;
  for (std::int64_t i = 0; i < step.values; i += Weights::kValues, weights += kStepBytes) {
    if constexpr (kFused) {
      // Hardware prefetchers start anew with each tile and cannot follow several at once across
      // blocks. Into L2 only: these lines are 8 KiB ahead.
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t)
        _mm_prefetch(reinterpret_cast<const char*>(weights + t * tile_stride + prefetch),
                     _MM_HINT_T1);
    }
    if constexpr (R > T) {
      typename Weights::Wide wide[T];
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) wide[t] = format.widen(weights + t * tile_stride);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const auto value = format.broadcast(x + r * x_stride + i);
#pragma GCC unroll 8
        for (int t = 0; t < T; ++t) sum[r][t] = format.add_product(sum[r][t], wide[t], value);
      }
    } else {
      typename Weights::Broadcast value[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) value[r] = format.broadcast(x + r * x_stride + i);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const auto wide = format.widen(weights + t * tile_stride);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) sum[r][t] = format.add_product(sum[r][t], wide, value[r]);
      }
    }
  }

#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    const auto scale = step.scales ? block_scale(step, tile + t) : Family::zero();
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      float* const total = sums + (r * kMaxTiles + t) * kTileFeatures;
      if (step.scales) sum[r][t] = Family::multiply_add(sum[r][t], scale, Family::load(total));
      Family::store(total, sum[r][t]);
    }
  }
}

/// All tiles of R rows, T at a time, then the rest with fewer.
template <class Family, DType kWeights, int R, int T>
void multiply_rows(const Step<Family>& step, std::int64_t row, std::int64_t tile,
                   std::int64_t end) {
  for (; tile + T <= end; tile += T) multiply_block<Family, kWeights, R, T>(step, row, tile);
  if constexpr (T > 1) {
    if (tile < end) multiply_rows<Family, kWeights, R, T - 1>(step, row, tile, end);
  }
}

/// Rows in groups of at most `limit`, as equal as possible.
template <class Family, DType kWeights, int kLimit>
void multiply_step(const Step<Family>& step, std::int64_t rows, std::int64_t tiles) {
  constexpr bool kFused = kWeights != Family::kScratch;
  for (std::int64_t row = 0; row < rows;) {
    const std::int64_t groups = (rows - row + kLimit - 1) / kLimit;
    const std::int64_t count = (rows - row + groups - 1) / groups;
#define ISOTOPE_ROWS(R)      \
  if constexpr (R <= kLimit) \
    if (count == R)          \
  multiply_rows<Family, kWeights, R, Family::tiles(R, kFused)>(step, row, 0, tiles)
    ISOTOPE_ROWS(1);
    ISOTOPE_ROWS(2);
    ISOTOPE_ROWS(3);
    ISOTOPE_ROWS(4);
    ISOTOPE_ROWS(5);
    ISOTOPE_ROWS(6);
    ISOTOPE_ROWS(7);
    ISOTOPE_ROWS(8);
#undef ISOTOPE_ROWS
    row += count;
  }
}

template <class Family>
void write_tile(const TileMatmul& matmul, typename Family::Sum sum, std::int64_t row,
                std::int64_t tile) {
  const std::int64_t feature = tile * kTileFeatures;
  const std::int64_t count = smaller(kTileFeatures, matmul.n - feature);
  if (matmul.scale_form == TileScales::row)
    sum = Family::multiply(sum, Family::load(matmul.scales + feature));
  if (matmul.y_dtype == DType::bf16) {
    auto* y = static_cast<std::uint16_t*>(matmul.y) + row * matmul.y_stride + feature;
    if (count == kTileFeatures) return Family::store_bf16(y, sum);
    std::uint16_t values[kTileFeatures];
    Family::store_bf16(values, sum);
    for (std::int64_t j = 0; j < count; ++j) y[j] = values[j];
    return;
  }
  float* y = static_cast<float*>(matmul.y) + row * matmul.y_stride + feature;
  if (count == kTileFeatures) {
    if (matmul.accumulate) sum = Family::add(Family::load(y), sum);
    return Family::store(y, sum);
  }
  float values[kTileFeatures];
  Family::store(values, sum);
  for (std::int64_t j = 0; j < count; ++j) y[j] = matmul.accumulate ? y[j] + values[j] : values[j];
}

template <class Family>
void clear_sums(const TileRange& range, float* sums) {
  for (std::int64_t r = 0; r < range.rows; ++r)
    for (std::int64_t t = 0; t < range.tiles; ++t)
      Family::store(sums + (r * kMaxTiles + t) * kTileFeatures, Family::zero());
}

template <class Family>
void write_sums(const TileMatmul& matmul, const TileRange& range, const float* sums) {
  for (std::int64_t r = 0; r < range.rows; ++r)
    for (std::int64_t t = 0; t < range.tiles; ++t)
      write_tile<Family>(matmul, Family::load(sums + (r * kMaxTiles + t) * kTileFeatures),
                         range.row + r, range.tile + t);
}

/// Scratch of one call, on the stack of its thread.
template <class Family>
struct Scratch {
  alignas(64) float sums[kMaxRows * kMaxTiles * kTileFeatures];
  alignas(
      64) std::byte weights[kMaxTiles * kScaleBlock * kTileFeatures * bytes_of(Family::kScratch)];
  alignas(64) typename Family::X x[Family::kWidensX ? kMaxRows * kScaleBlock : 1];
};

/// The step that begins at value `begin` of k, on the weights as packed. x is set by the caller.
template <class Family>
Step<Family> step_at(const TileMatmul& matmul, const TileRange& range, std::int64_t begin) {
  Step<Family> step;
  step.values = smaller(kScaleBlock, matmul.padded_k - begin);
  const std::int64_t value_bytes = kTileFeatures * bytes_of(matmul.weight_dtype);
  step.weights = matmul.weights + range.tile * matmul.tile_bytes + begin * value_bytes;
  step.tile_stride = matmul.tile_bytes;
  if (begin + kScaleBlock < matmul.padded_k)
    step.prefetch = kScaleBlock * value_bytes;
  else if (range.goes_on)
    step.prefetch = range.tiles * matmul.tile_bytes - begin * value_bytes;
  const bool per_feature = matmul.scale_form == TileScales::block_feature;
  if (per_feature || matmul.scale_form == TileScales::block) {
    const std::int64_t blocks = (matmul.padded_k + kScaleBlock - 1) / kScaleBlock;
    const std::int64_t width = per_feature ? kTileFeatures : 1;
    step.scale_per_feature = per_feature;
    step.scale_stride = blocks * width;
    step.scales = matmul.scales + range.tile * step.scale_stride + begin / kScaleBlock * width;
  }
  return step;
}

/// x of a step, as the family multiplies it.
template <class Family, DType kWeights>
void take_x(const TileMatmul& matmul, const TileRange& range, std::int64_t begin,
            Scratch<Family>& scratch, Step<Family>& step) {
  using X = typename Family::X;
  if constexpr (Family::kWidensX && kWeights != DType::f32) {
    const auto* x =
        static_cast<const std::uint16_t*>(matmul.x) + range.row * matmul.x_stride + begin;
    for (std::int64_t r = 0; r < range.rows; ++r)
      Family::template widen_x<kWeights>(x + r * matmul.x_stride, step.values,
                                         scratch.x + r * kScaleBlock);
    step.x = scratch.x;
    step.x_stride = kScaleBlock;
  } else {
    step.x = static_cast<const X*>(matmul.x) + range.row * matmul.x_stride + begin;
    step.x_stride = matmul.x_stride;
  }
}

template <class Family, DType kWeights>
void multiply_range(const TileMatmul& matmul, const TileRange& range) {
  Scratch<Family> scratch;
  clear_sums<Family>(range, scratch.sums);
  for (std::int64_t begin = 0; begin < matmul.padded_k; begin += kScaleBlock) {
    Step<Family> step = step_at<Family>(matmul, range, begin);
    step.sums = scratch.sums;
    take_x<Family, kWeights>(matmul, range, begin, scratch, step);
    if constexpr (kWeights != Family::kScratch) {
      if (range.rows <= Family::kFusedRows) {
        multiply_step<Family, kWeights, kMaxFusedGroup>(step, range.rows, range.tiles);
        continue;
      }
      constexpr std::int64_t kStride = kScaleBlock * kTileFeatures * bytes_of(Family::kScratch);
      for (std::int64_t t = 0; t < range.tiles; ++t)
        Family::template widen_tile<kWeights>(step.weights + t * step.tile_stride, step.values,
                                              step.prefetch, scratch.weights + t * kStride);
      step.weights = scratch.weights;
      step.tile_stride = kStride;
    }
    multiply_step<Family, Family::kScratch, kMaxRowGroup>(step, range.rows, range.tiles);
  }
  write_sums<Family>(matmul, range, scratch.sums);
}

}  // namespace
}  // namespace isotope::ops
