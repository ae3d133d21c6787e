#include <cmath>

#include "base/tensor.h"
#include "ops/swiglu/swiglu_row.h"

namespace isotope::ops {

void swiglu_oracle(const SwigluRow& row) {
  const TensorView gate(row.dtype, {row.count}, row.gate), up(row.dtype, {row.count}, row.up);
  for (std::int64_t i = 0; i < row.count; ++i) {
    const float g = load_float(gate, i);
    const float value = g / (1.0f + std::exp(-g)) * load_float(up, i);
    if (row.dtype == DType::bf16)
      static_cast<bfloat16*>(row.out)[i] = to_bfloat16(value);
    else
      static_cast<float*>(row.out)[i] = value;
  }
}

}  // namespace isotope::ops
