// One matrix to FP8 E4M3 with scales.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/tensor.h"
#include "base/thread_pool.h"

namespace isotope::weights {

struct QuantizedMatrix {
  std::vector<float8_e4m3> codes;  ///< [n, k]
  std::vector<float> scales;       ///< in the order of the layout's shape
};

/// Shape of the scales that go with a [n, k] weight, as checkpoints store it ([n, 1] per row).
Shape stored_scale_shape(ScaleLayout layout, std::int64_t n, std::int64_t k);

/// Quantizes `weight` [n, k] (f32, f16, bf16): scale = absmax / 448 of its tensor, row or block,
/// code = e4m3(w / scale) rounded to nearest even. Memory of `result` is reused. Errors:
/// corrupt_data naming `name` if a weight is not finite.
void quantize_matrix(const TensorView& weight, ScaleLayout layout, std::string_view name,
                     ThreadPool& pool, QuantizedMatrix& result);

}  // namespace isotope::weights
