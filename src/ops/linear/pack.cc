// Packing: from a checkpoint's matrices to the layout that the kernels stream.
#include <cmath>
#include <cstring>
#include <functional>

#include "base/checked.h"
#include "base/error.h"
#include "device/cpu/cpu_device.h"
#include "ops/linear/linear_weight.h"
#include "ops/linear/pack_gpu.h"
#include "ops/linear/pack_tile.h"
#include "ops/linear/stack.h"
#include "ops/linear/tile_kernel.h"

namespace isotope::ops {
namespace {

/// Whether some tile holds features of more than one block.
bool tiles_cross_blocks(const Stack& stack) {
  for (std::size_t i = 0; i < stack.parts(); ++i) {
    if (stack.part_begin(i) % kTileFeatures != 0) return true;
    if (stack.scale_layout(i) != ScaleLayout::block_128x128) return true;
  }
  return false;
}

std::size_t tiles_bytes(std::int64_t n, std::int64_t k, DType dtype) {
  const auto tiles = std::size_t(ceil_div(n, kTileFeatures));
  const auto row = checked_mul(std::size_t(ceil_div(k, kPaddedKMultiple)),
                               std::size_t(kPaddedKMultiple) * size_of(dtype), "bytes of a weight");
  return checked_mul(tiles, checked_mul(row, std::size_t(kTileFeatures), "bytes of a weight"),
                     "bytes of a weight");
}

std::size_t scales_count(std::int64_t n, std::int64_t k, ScaleLayout layout, bool per_feature) {
  const auto tiles = std::size_t(ceil_div(n, kTileFeatures));
  if (layout == ScaleLayout::none) return 0;
  if (layout == ScaleLayout::block_128x128)
    return tiles * std::size_t(scale_blocks(k)) * (per_feature ? std::size_t(kTileFeatures) : 1);
  return tiles * std::size_t(kTileFeatures);
}

void pack_scales(const Stack& stack, LinearWeight& weight) {
  if (weight.scale_layout == ScaleLayout::none) return;
  float* out = weight.scales.as<float>();
  const std::int64_t blocks =
      weight.scale_layout == ScaleLayout::block_128x128 ? scale_blocks(weight.k) : 1;
  const bool per_feature = weight.scale_layout == ScaleLayout::per_row || weight.scales_per_feature;
  const std::int64_t features = per_feature ? kTileFeatures : 1;
  for (std::int64_t tile = 0; tile * kTileFeatures < weight.n; ++tile)
    for (std::int64_t block = 0; block < blocks; ++block)
      for (std::int64_t j = 0; j < features; ++j) {
        const std::int64_t feature = tile * kTileFeatures + j;
        *out++ = feature < weight.n ? stack.scale(feature, block) : 0.0f;
      }
}

void pack_tiles(ThreadPool& pool, const Stack& stack, LinearWeight& weight) {
  const std::int64_t tile_bytes =
      weight.padded_k * kTileFeatures * std::int64_t(size_of(weight.dtype));
  const auto pack = [&](std::int64_t tile) {
    TileRows rows{};
    const std::int64_t first = tile * kTileFeatures;
    const std::int64_t end = std::min(first + kTileFeatures, weight.n);
    for (std::int64_t feature = first; feature < end; ++feature)
      rows[std::size_t(feature - first)] = stack.row(feature);
    std::byte* out = weight.data.as<std::byte>() + tile * tile_bytes;
    if (!pack_tile(rows, weight.k, stack.dtype(), weight.dtype, out)) stack.fail_nan(first, end);
  };
  std::int64_t tile = 0;
  std::size_t released = 0;
  // Part by part, so that the source of each can be let go before the next is read. A tile that two
  // parts share comes with the later one.
  for (std::size_t part = 0; part < stack.parts(); ++part) {
    const bool last = part + 1 == stack.parts();
    const std::int64_t end =
        last ? weight.padded_n / kTileFeatures : stack.part_end(part) / kTileFeatures;
    pool.parallel_for(end - tile, [&](std::int64_t task, int) { pack(tile + task); });
    tile = std::max(tile, end);
    while (released <= part && stack.part_end(released) <= tile * kTileFeatures)
      stack.release(released++);
  }
}

/// The oracle's form: every element dequantized.
void dequantize(ThreadPool& pool, const Stack& stack, LinearWeight& weight) {
  const std::int64_t k = weight.k;
  pool.parallel_for(weight.n, [&](std::int64_t feature, int) {
    const TensorView row(stack.dtype(), {k}, stack.row(feature));
    float* out = weight.data.as<float>() + feature * k;
    for (std::int64_t i = 0; i < k; ++i) {
      const float value = load_float(row, i);
      if (std::isnan(value) && stack.dtype() == DType::f8_e4m3)
        stack.fail_nan(feature, feature + 1);
      out[i] = value * stack.scale(feature, i / kScaleBlock);
    }
  });
  for (std::size_t part = 0; part < stack.parts(); ++part) stack.release(part);
}

}  // namespace

LinearWeight pack_linear(Context& context, std::span<const LinearPart> parts, bool allow_f32,
                         const PackOptions& options) {
  const Stack stack(parts);
  if (context.on_gpu()) return pack_linear_gpu(context, stack, allow_f32, options);
  device::Device& device = context.device();
  ThreadPool& pool = static_cast<device::CpuDevice&>(device).pool();

  LinearWeight weight;
  weight.n = weight.padded_n = stack.n();
  weight.k = weight.padded_k = stack.k();
  weight.dtype = packed_dtype(stack.dtype(), allow_f32);
  if (context.path() == Path::oracle) {
    weight.layout = WeightLayout::row_major_f32;
    const std::size_t count = checked_mul(std::size_t(weight.n), std::size_t(weight.k), "weight");
    weight.data = device.allocate(checked_mul(count, sizeof(float), "weight"), "a linear weight");
    dequantize(pool, stack, weight);
    return weight;
  }
  weight.layout = WeightLayout::cpu_tile16;
  const std::size_t bytes = tiles_bytes(weight.n, weight.k, weight.dtype);
  weight.padded_n = round_up(weight.n, kTileFeatures);
  weight.padded_k = round_up(weight.k, kPaddedKMultiple);
  weight.scale_layout = stack.packed_scale_layout();
  weight.scales_per_feature =
      weight.scale_layout == ScaleLayout::block_128x128 && tiles_cross_blocks(stack);
  weight.data = device.allocate(bytes, "a linear weight");
  const std::size_t scales =
      scales_count(weight.n, weight.k, weight.scale_layout, weight.scales_per_feature);
  weight.scales = device.allocate(scales * sizeof(float), "the scales of a linear weight");
  pack_scales(stack, weight);
  pack_tiles(pool, stack, weight);
  return weight;
}

std::size_t packed_bytes(std::int64_t n, std::int64_t k, DType dtype, ScaleLayout scale_layout,
                         WeightLayout layout) {
  if (layout == WeightLayout::gpu_tile128 || layout == WeightLayout::gpu_rows)
    return packed_bytes_gpu(n, k, packed_dtype(dtype, true), scale_layout, layout);
  if (layout == WeightLayout::row_major_f32)
    return checked_mul(checked_mul(std::size_t(n), std::size_t(k), "weight"), sizeof(float),
                       "weight");
  const std::size_t scales = scales_count(n, k, scale_layout, false) * sizeof(float);
  return tiles_bytes(n, k, packed_dtype(dtype, true)) + scales;
}

}  // namespace isotope::ops
