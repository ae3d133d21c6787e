// Views of tensors in memory: dtype, shape and strides travel with the pointer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "base/dtype.h"
#include "base/error.h"

namespace isotope {

/// Token ids are 32-bit everywhere; -1 never is a token.
using TokenId = std::int32_t;

/// Up to four dimensions, outermost first.
class Shape {
 public:
  static constexpr int kMaxRank = 4;
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims);
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  std::int64_t operator[](int i) const {
    ISOTOPE_ASSERT(i >= 0 && i < rank_);
    return dims_[std::size_t(i)];
  }
  /// Number of elements; 1 for a scalar (rank 0).
  std::int64_t elements() const;
  bool operator==(const Shape&) const = default;
  /// "[4096, 1024]"
  std::string to_string() const;

 private:
  int rank_ = 0;
  std::array<std::int64_t, kMaxRank> dims_{};
};

/// A non-owning view. Rows may be strided; the innermost dimension is always contiguous.
/// `data` is an address in the memory of whatever device the tensor lives on.
struct TensorView {
  DType dtype = DType::f32;
  Shape shape;
  /// Elements from one index of the outermost dimension to the next (rank ≥ 2); inner dimensions
  /// are dense.
  std::int64_t row_stride = 0;
  void* data = nullptr;

  TensorView() = default;
  /// A dense tensor.
  TensorView(DType dtype_, Shape shape_, void* data_);
  TensorView(DType dtype_, Shape shape_, const void* data_)
      : TensorView(dtype_, shape_, const_cast<void*>(data_)) {}

  bool empty() const { return data == nullptr; }
  bool dense() const;
  std::int64_t bytes() const { return shape.elements() * std::int64_t(size_of(dtype)); }

  /// The elements, after checking that they are of type T.
  template <typename T>
  T* as() const {
    ISOTOPE_ASSERT(dtype == DTypeOf<std::remove_const_t<T>>::value);
    return static_cast<T*>(data);
  }
  /// Address of row `i` of the outermost dimension.
  template <typename T>
  T* row(std::int64_t i) const {
    return as<T>() + i * row_stride;
  }
  /// Rows [begin, begin + count).
  TensorView rows(std::int64_t begin, std::int64_t count) const;
};

/// How the scales of a quantized matrix [n, k] are laid out. All of them multiply.
enum class ScaleLayout : std::uint8_t {
  none,           ///< not quantized
  per_tensor,     ///< one scale
  per_row,        ///< [n]: one scale per output feature
  block_128x128,  ///< [ceil(n/128), ceil(k/128)]
};
std::string_view name_of(ScaleLayout layout);

/// A weight matrix with its scales, as a checkpoint holds it (host memory).
struct ScaledTensor {
  TensorView weight;  ///< [n, k], f32 | f16 | bf16 | f8_e4m3
  ScaleLayout scale_layout = ScaleLayout::none;
  TensorView scale;        ///< f32 | f16 | bf16; empty if scale_layout is none
  TensorView input_scale;  ///< static activation scale (scalar), if the checkpoint carries one
};

/// Element `i` of a dense f32, f16, bf16 or f8_e4m3 tensor as FP32.
float load_float(const TensorView& tensor, std::int64_t i);

}  // namespace isotope
