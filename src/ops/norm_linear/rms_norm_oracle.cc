#include <cmath>

#include "ops/norm_linear/rms_norm.h"

namespace isotope::ops {

void rms_norm_oracle(const RmsNormRow& row) {
  float squares = 0.0f;
  for (std::int64_t i = 0; i < row.k; ++i) squares += row.x[i] * row.x[i];
  const float root = std::sqrt(squares / float(row.k) + row.eps);
  for (std::int64_t i = 0; i < row.padded_k; ++i) {
    const float value = i < row.k ? row.x[i] / root * row.g[i] : 0.0f;
    if (row.out_dtype == DType::bf16)
      static_cast<bfloat16*>(row.out)[i] = to_bfloat16(value);
    else
      static_cast<float*>(row.out)[i] = value;
  }
}

}  // namespace isotope::ops
