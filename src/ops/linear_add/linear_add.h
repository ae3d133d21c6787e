// A linear layer added into the residual stream: attention output, down projection.
#pragma once

#include "ops/context.h"
#include "ops/linear/linear_weight.h"

namespace isotope::ops {

/// residual[m, n] += x[m, k] · W[n, k]^T;  x bf16 or f32, residual f32.
void linear_add(Context& context, const TensorView& x, const LinearWeight& weight,
                const TensorView& residual, Rows rows);

std::size_t linear_add_scratch(std::int64_t rows, std::int64_t k, bool gpu = false);

}  // namespace isotope::ops
