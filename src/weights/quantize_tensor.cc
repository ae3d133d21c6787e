#include "weights/quantize_tensor.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/checked.h"
#include "base/error.h"

namespace isotope::weights {
namespace {

constexpr std::int64_t kBlock = 128;
constexpr float kLargestE4m3 = 448.0f;

/// Rows [begin, end) and columns of one region that shares a scale.
struct Region {
  std::int64_t row_begin, row_end, column_begin, column_end;
};

/// A region without weights still needs a scale that is positive, and absmax / 448 must not vanish
/// as a subnormal.
float scale_of(float absmax) {
  if (absmax == 0) return 1.0f;
  return std::max(absmax / kLargestE4m3, std::numeric_limits<float>::min());
}

template <typename T>
float widen(T value) {
  if constexpr (std::is_same_v<T, float>)
    return value;
  else
    return to_float(value);
}

template <typename T>
class Quantizer {
 public:
  Quantizer(const TensorView& weight, ScaleLayout layout, std::string_view name, ThreadPool& pool,
            QuantizedMatrix& result)
      : weight_(weight),
        layout_(layout),
        name_(name),
        pool_(pool),
        result_(result),
        n_(weight.shape[0]),
        k_(weight.shape[1]),
        strips_(ceil_div(n_, kBlock)) {}

  void run() {
    result_.codes.resize(std::size_t(n_ * k_));
    result_.scales.assign(std::size_t(stored_scale_shape(layout_, n_, k_).elements()), 1.0f);
    if (layout_ == ScaleLayout::per_tensor) result_.scales[0] = scale_of(absmax_of_all());
    pool_.parallel_for(strips_, [&](std::int64_t strip, int) { quantize_strip(strip); });
  }

 private:
  /// Work is handed out in strips of 128 rows, which no scale but the tensor's crosses.
  Region strip_region(std::int64_t strip) const {
    return {strip * kBlock, std::min((strip + 1) * kBlock, n_), 0, k_};
  }

  float absmax(const Region& region) const {
    float result = 0;
    for (std::int64_t row = region.row_begin; row < region.row_end; ++row) {
      const T* values = weight_.row<const T>(row);
      for (std::int64_t column = region.column_begin; column < region.column_end; ++column) {
        const float value = widen(values[column]);
        if (!std::isfinite(value))
          fail(ErrorCode::corrupt_data, "'{}' holds {} at [{}, {}]; it cannot be quantized", name_,
               value, row, column);
        result = std::max(result, std::fabs(value));
      }
    }
    return result;
  }

  float absmax_of_all() const {
    std::vector<float> strip_maxima(std::size_t(strips_), 0.0f);
    pool_.parallel_for(strips_, [&](std::int64_t strip, int) {
      strip_maxima[std::size_t(strip)] = absmax(strip_region(strip));
    });
    return *std::ranges::max_element(strip_maxima);
  }

  void encode(const Region& region, float scale) const {
    for (std::int64_t row = region.row_begin; row < region.row_end; ++row) {
      const T* values = weight_.row<const T>(row);
      float8_e4m3* codes = result_.codes.data() + row * k_;
      for (std::int64_t column = region.column_begin; column < region.column_end; ++column)
        codes[column] = to_float8_e4m3(widen(values[column]) / scale);
    }
  }

  void quantize_region(const Region& region, std::int64_t scale_index) const {
    float& scale = result_.scales[std::size_t(scale_index)];
    scale = scale_of(absmax(region));
    encode(region, scale);
  }

  void quantize_strip(std::int64_t strip) const {
    const Region rows = strip_region(strip);
    if (layout_ == ScaleLayout::per_tensor) {
      encode(rows, result_.scales[0]);
    } else if (layout_ == ScaleLayout::per_row) {
      for (std::int64_t row = rows.row_begin; row < rows.row_end; ++row)
        quantize_region({row, row + 1, 0, k_}, row);
    } else {
      const std::int64_t blocks = ceil_div(k_, kBlock);
      for (std::int64_t block = 0; block < blocks; ++block)
        quantize_region(
            {rows.row_begin, rows.row_end, block * kBlock, std::min((block + 1) * kBlock, k_)},
            strip * blocks + block);
    }
  }

  const TensorView& weight_;
  ScaleLayout layout_;
  std::string_view name_;
  ThreadPool& pool_;
  QuantizedMatrix& result_;
  std::int64_t n_, k_, strips_;
};

}  // namespace

Shape stored_scale_shape(ScaleLayout layout, std::int64_t n, std::int64_t k) {
  switch (layout) {
    case ScaleLayout::per_tensor:
      return {};
    case ScaleLayout::per_row:
      return {n, 1};
    case ScaleLayout::block_128x128:
      return {ceil_div(n, kBlock), ceil_div(k, kBlock)};
    case ScaleLayout::none:
      break;
  }
  assertion_failed("a layout with scales", __FILE__, __LINE__);
}

void quantize_matrix(const TensorView& weight, ScaleLayout layout, std::string_view name,
                     ThreadPool& pool, QuantizedMatrix& result) {
  ISOTOPE_ASSERT(weight.shape.rank() == 2 && weight.shape.elements() > 0);
  switch (weight.dtype) {
    case DType::f32:
      return Quantizer<float>(weight, layout, name, pool, result).run();
    case DType::f16:
      return Quantizer<float16>(weight, layout, name, pool, result).run();
    case DType::bf16:
      return Quantizer<bfloat16>(weight, layout, name, pool, result).run();
    default:
      assertion_failed("an unquantized float tensor", __FILE__, __LINE__);
  }
}

}  // namespace isotope::weights
