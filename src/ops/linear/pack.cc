// Packing: from a checkpoint's matrices to the layout that the kernels stream.
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "base/checked.h"
#include "base/error.h"
#include "device/cpu/cpu_device.h"
#include "ops/linear/linear_weight.h"
#include "ops/linear/pack_tile.h"
#include "ops/linear/tile_kernel.h"

namespace isotope::ops {
namespace {

std::int64_t scale_blocks(std::int64_t size) { return ceil_div(size, kScaleBlock); }

DType packed_dtype(DType source, bool allow_f32) {
  if (source == DType::f8_e4m3 || (source == DType::f32 && allow_f32)) return source;
  return DType::bf16;
}

/// The parts as one matrix.
class Stack {
 public:
  explicit Stack(std::span<const LinearPart> parts) : parts_(parts) {
    if (parts.empty())
      fail(ErrorCode::invalid_argument, "a linear layer needs at least one matrix");
    for (std::size_t i = 0; i < parts.size(); ++i) {
      check_part(i);
      begins_.push_back(n_);
      n_ = checked_add(n_, parts[i].tensor.weight.shape[0], "output features of a linear layer");
    }
    begins_.push_back(n_);
  }

  std::int64_t n() const { return n_; }
  std::int64_t k() const { return parts_[0].tensor.weight.shape[1]; }
  DType dtype() const { return parts_[0].tensor.weight.dtype; }
  std::size_t parts() const { return parts_.size(); }
  std::int64_t part_begin(std::size_t i) const { return begins_[i]; }
  std::int64_t part_end(std::size_t i) const { return begins_[i + 1]; }

  std::size_t part_of(std::int64_t feature) const {
    std::size_t i = 0;
    while (feature >= begins_[i + 1]) ++i;
    return i;
  }
  const std::byte* row(std::int64_t feature) const {
    const std::size_t i = part_of(feature);
    const TensorView& weight = parts_[i].tensor.weight;
    return static_cast<const std::byte*>(weight.data) +
           (feature - begins_[i]) * weight.row_stride * std::int64_t(size_of(weight.dtype));
  }
  float scale(std::int64_t feature, std::int64_t block) const {
    const std::size_t i = part_of(feature);
    const ScaledTensor& tensor = parts_[i].tensor;
    const std::int64_t row = feature - begins_[i];
    switch (tensor.scale_layout) {
      case ScaleLayout::none:
        return 1.0f;
      case ScaleLayout::per_tensor:
        return load_float(tensor.scale, 0);
      case ScaleLayout::per_row:
        return load_float(tensor.scale, row);
      case ScaleLayout::block_128x128:
        return load_float(tensor.scale, row / kScaleBlock * scale_blocks(k()) + block);
    }
    assertion_failed("known scale layout", __FILE__, __LINE__);
  }
  void release(std::size_t i) const {
    if (parts_[i].release) parts_[i].release();
  }

  ScaleLayout packed_scale_layout() const {
    bool any = false, blocks = false;
    for (const LinearPart& part : parts_) {
      any |= part.tensor.scale_layout != ScaleLayout::none;
      blocks |= part.tensor.scale_layout == ScaleLayout::block_128x128;
    }
    if (blocks) return ScaleLayout::block_128x128;
    return any ? ScaleLayout::per_row : ScaleLayout::none;
  }
  /// Whether some tile holds features of more than one block.
  bool tiles_cross_blocks() const {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (begins_[i] % kTileFeatures != 0) return true;
      if (parts_[i].tensor.scale_layout != ScaleLayout::block_128x128) return true;
    }
    return false;
  }

  [[noreturn]] void fail_nan(std::int64_t first, std::int64_t end) const {
    for (std::int64_t feature = first; feature < end; ++feature) {
      const std::size_t i = part_of(feature);
      for (std::int64_t column = 0; column < k(); ++column) {
        const float8_e4m3 code{std::uint8_t(row(feature)[column])};
        if (is_nan(code))
          fail(
              ErrorCode::corrupt_data,
              "FP8 weight {} of {} [{}, {}]: NaN (code {:#x}) at row {}, column {}; the checkpoint "
              "is damaged, fetch it again",
              i + 1, parts_.size(), part_end(i) - part_begin(i), k(), code.bits,
              feature - part_begin(i), column);
      }
    }
    assertion_failed("a NaN code in these rows", __FILE__, __LINE__);
  }

 private:
  void check_part(std::size_t i) const {
    const ScaledTensor& tensor = parts_[i].tensor;
    const TensorView& weight = tensor.weight;
    const bool is_float = weight.dtype == DType::f32 || weight.dtype == DType::f16 ||
                          weight.dtype == DType::bf16 || weight.dtype == DType::f8_e4m3;
    if (weight.shape.rank() != 2 || weight.empty() || !is_float || weight.shape[0] < 1 ||
        weight.shape[1] < 1 || weight.row_stride < weight.shape[1])
      fail(ErrorCode::invalid_argument,
           "linear weight {} of {}: {} {} is not a matrix of floating-point values", i + 1,
           parts_.size(), name_of(weight.dtype), weight.shape.to_string());
    if (weight.dtype != dtype() || weight.shape[1] != k())
      fail(ErrorCode::unsupported,
           "linear weight {} of {}: {} {} cannot be stacked below {} [*, {}]: dtype and k must "
           "agree",
           i + 1, parts_.size(), name_of(weight.dtype), weight.shape.to_string(), name_of(dtype()),
           k());
    check_scale(i, tensor);
  }

  void check_scale(std::size_t i, const ScaledTensor& tensor) const {
    std::int64_t expected = 1;
    const std::int64_t n = tensor.weight.shape[0];
    if (tensor.scale_layout == ScaleLayout::none) return;
    if (tensor.scale_layout == ScaleLayout::per_row) expected = n;
    if (tensor.scale_layout == ScaleLayout::block_128x128)
      expected = scale_blocks(n) * scale_blocks(k());
    const TensorView& scale = tensor.scale;
    if (scale.empty() || !scale.dense() || scale.shape.elements() != expected)
      fail(ErrorCode::invalid_argument, "linear weight {} of {}: scale {} where {} needs {} values",
           i + 1, parts_.size(), scale.shape.to_string(), name_of(tensor.scale_layout), expected);
    for (std::int64_t j = 0; j < expected; ++j)
      if (!std::isfinite(load_float(scale, j)))
        fail(ErrorCode::corrupt_data, "linear weight {} of {}: scale value {} is {}", i + 1,
             parts_.size(), j, load_float(scale, j));
  }

  std::span<const LinearPart> parts_;
  std::vector<std::int64_t> begins_;
  std::int64_t n_ = 0;
};

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

LinearWeight pack_linear(Context& context, std::span<const LinearPart> parts, bool allow_f32) {
  const Stack stack(parts);
  device::Device& device = context.device();
  if (device.kind() != device::Kind::cpu)
    fail(ErrorCode::unsupported, "linear weights cannot be packed for device {}", device.name());
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
      weight.scale_layout == ScaleLayout::block_128x128 && stack.tiles_cross_blocks();
  weight.data = device.allocate(bytes, "a linear weight");
  const std::size_t scales =
      scales_count(weight.n, weight.k, weight.scale_layout, weight.scales_per_feature);
  weight.scales = device.allocate(scales * sizeof(float), "the scales of a linear weight");
  pack_scales(stack, weight);
  pack_tiles(pool, stack, weight);
  return weight;
}

std::size_t packed_bytes(std::int64_t n, std::int64_t k, DType dtype, ScaleLayout scale_layout) {
  const std::size_t scales = scales_count(n, k, scale_layout, false) * sizeof(float);
  return tiles_bytes(n, k, packed_dtype(dtype, true)) + scales;
}

}  // namespace isotope::ops
