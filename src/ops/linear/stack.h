// The matrices of a stack, seen as one: where its rows, scales and NaN codes are. Used by packing
// for every device.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/checked.h"
#include "base/error.h"
#include "ops/linear/linear_weight.h"
#include "ops/linear/tile_kernel.h"

namespace isotope::ops {

inline std::int64_t scale_blocks(std::int64_t size) { return ceil_div(size, kScaleBlock); }

/// What weights of a checkpoint's dtype become on a device.
inline DType packed_dtype(DType source, bool allow_f32) {
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
  /// Features with equal numbers have equal scales in every block of k.
  std::int64_t scale_group(std::int64_t feature) const {
    const std::size_t i = part_of(feature);
    const std::int64_t row = feature - begins_[i];
    switch (parts_[i].tensor.scale_layout) {
      case ScaleLayout::per_row:
        return feature;
      case ScaleLayout::block_128x128:
        return begins_[i] + row / kScaleBlock * kScaleBlock;
      default:
        return begins_[i];
    }
  }
  ScaleLayout scale_layout(std::size_t i) const { return parts_[i].tensor.scale_layout; }

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

}  // namespace isotope::ops
