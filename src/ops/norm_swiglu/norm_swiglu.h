// RMSNorm, the gate and up projections, and SiLU(gate) × up.
#pragma once

#include "ops/context.h"
#include "ops/linear/linear_weight.h"

namespace isotope::ops {

/// out[m, i] = silu(gate[m, i]) · up[m, i], [gate | up] = (rmsnorm(x[m, k]) ⊙ g[k]) · W[2·I, k]^T
///   x    [rows.total, k] f32, the residual stream (row_stride may exceed k)
///   g    [k] f32
///   W    gate stacked above up; on a GPU packed with RowOrder::interleaved_halves
///   out  [rows.total, I] bf16 or f32
/// Norm and inputs as in norm_linear. The CPU rounds gate and up to out's dtype in between, a GPU
/// keeps them in FP32.
void norm_swiglu(Context& context, const TensorView& x, const TensorView& g, float eps,
                 const LinearWeight& weight, const TensorView& out, Rows rows);

/// Workspace that norm_swiglu takes; `width` is I, `dtype` out's.
std::size_t norm_swiglu_scratch(std::int64_t rows, std::int64_t k, std::int64_t width, DType dtype,
                                bool gpu);

/// How the gate and up matrices have to be packed for this context.
inline RowOrder norm_swiglu_row_order(const Context& context) {
  return context.on_gpu() ? RowOrder::interleaved_halves : RowOrder::stacked;
}

}  // namespace isotope::ops
