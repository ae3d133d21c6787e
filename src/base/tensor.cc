#include "base/tensor.h"

#include <fmt/core.h>

namespace isotope {

Shape::Shape(std::initializer_list<std::int64_t> dims)
    : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) : rank_(int(dims.size())) {
  ISOTOPE_ASSERT(dims.size() <= std::size_t(kMaxRank));
  for (std::size_t i = 0; i < dims.size(); ++i) dims_[i] = dims[i];
}

std::int64_t Shape::elements() const {
  std::int64_t product = 1;
  for (int i = 0; i < rank_; ++i) product *= dims_[std::size_t(i)];
  return product;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i) text += fmt::format("{}{}", i ? ", " : "", dims_[std::size_t(i)]);
  return text + "]";
}

TensorView::TensorView(DType dtype_, Shape shape_, void* data_)
    : dtype(dtype_), shape(shape_), data(data_) {
  row_stride = 1;
  for (int i = 1; i < shape.rank(); ++i) row_stride *= shape[i];
}

bool TensorView::dense() const {
  std::int64_t inner = 1;
  for (int i = 1; i < shape.rank(); ++i) inner *= shape[i];
  return row_stride == inner || shape.rank() < 2 || shape[0] <= 1;
}

TensorView TensorView::rows(std::int64_t begin, std::int64_t count) const {
  ISOTOPE_ASSERT(shape.rank() >= 1 && begin >= 0 && count >= 0 && begin + count <= shape[0]);
  std::array<std::int64_t, Shape::kMaxRank> dims{};
  for (int i = 0; i < shape.rank(); ++i) dims[std::size_t(i)] = shape[i];
  dims[0] = count;
  TensorView view = *this;
  view.shape = Shape(std::span<const std::int64_t>(dims.data(), std::size_t(shape.rank())));
  view.data = static_cast<std::byte*>(data) + begin * row_stride * std::int64_t(size_of(dtype));
  return view;
}

std::string_view name_of(ScaleLayout layout) {
  switch (layout) {
    case ScaleLayout::none:
      return "none";
    case ScaleLayout::per_tensor:
      return "per tensor";
    case ScaleLayout::per_row:
      return "per row";
    case ScaleLayout::block_128x128:
      return "block 128x128";
  }
  assertion_failed("known scale layout", __FILE__, __LINE__);
}

float load_float(const TensorView& tensor, std::int64_t i) {
  switch (tensor.dtype) {
    case DType::f32:
      return tensor.as<const float>()[i];
    case DType::f16:
      return to_float(tensor.as<const float16>()[i]);
    case DType::bf16:
      return to_float(tensor.as<const bfloat16>()[i]);
    case DType::f8_e4m3:
      return to_float(tensor.as<const float8_e4m3>()[i]);
    default:
      assertion_failed("a floating-point tensor", __FILE__, __LINE__);
  }
}

}  // namespace isotope
