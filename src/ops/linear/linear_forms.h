#pragma once

#include "ops/linear/linear_weight.h"

namespace isotope::ops {

/// matmul by its definition in FP32, on weights in layout row_major_f32.
void matmul_oracle(Context& context, const TensorView& x, const LinearWeight& weight,
                   const TensorView& y, bool accumulate);

/// matmul on weights in layout cpu_tile16, by the kernels of the CPU at hand.
void matmul_cpu(Context& context, const TensorView& x, const LinearWeight& weight,
                const TensorView& y, Rows rows, bool accumulate);

}  // namespace isotope::ops
