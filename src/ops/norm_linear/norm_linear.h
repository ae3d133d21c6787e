// RMSNorm, then a linear layer: QKV, gate+up, lm_head.
#pragma once

#include "ops/context.h"
#include "ops/linear/linear_weight.h"

namespace isotope::ops {

/// out[m, n] = (rmsnorm(x[r(m), k]) ⊙ g[k]) · W[n, k]^T
///   x    [rows, k] f32, the residual stream (row_stride may exceed k)
///   row_index  empty: r(m) = m; else [rows.total] i32: r(m) = row_index[m]
///   g    [k] f32
///   out  [rows.total, n] f32 or bf16
/// rmsnorm(x) = x / sqrt(mean(x²) + eps), in FP32; the product with g is rounded to BF16 for BF16
/// and FP8 weights.
void norm_linear(Context& context, const TensorView& x, const TensorView& row_index,
                 const TensorView& g, float eps, const LinearWeight& weight, const TensorView& out,
                 Rows rows);

/// Workspace that norm_linear takes.
std::size_t norm_linear_scratch(std::int64_t rows, std::int64_t k, bool gpu = false);

}  // namespace isotope::ops
