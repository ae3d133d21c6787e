// The linear layer on a GPU: one product with what is fused before and after it. Internal to ops; norm_linear, norm_swiglu,
// linear_add and matmul are made of these.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/context.h"
#include "ops/linear/linear_weight.h"

namespace isotope::ops::gpu {

enum class Epilogue {
  store,   ///< y = x·W^T, bf16 or f32
  add,     ///< y += x·W^T, f32
  swiglu,  ///< y[m, i] = silu(gate)·up, bf16 or f32; the weight has interleaved_halves
};

struct LinearCall {
  TensorView x;          ///< with a norm: f32 [*, k] (row_stride ≥ k); without: bf16, or f32 for F32 weights, [*, ≥ k]
  TensorView row_index;  ///< i32: row m of the product reads x[row_index[m]]; empty: x[m]
  const float* norm = nullptr;  ///< g[k] in device memory; null: no norm
  float norm_eps = 0;
  const LinearWeight* weight = nullptr;  ///< layout gpu_tile128
  Epilogue epilogue = Epilogue::store;
  TensorView y;  ///< [*, n], or [*, n / 2] with swiglu; rows may be strided
};

/// Rows [begin, begin + count) of the product in decode phase: weights streamed once for up to 128 rows, inputs kept at BF16's
/// precision. An output row's bits do not depend on `count`.
void linear_decode(Context& context, const LinearCall& call, std::int64_t begin, std::int64_t count);

/// Rows [begin, begin + count) in prefill phase: matrix units, FP8 inputs for FP8 weights (one scale per row and 128
/// values of k). An output row's bits do not depend on `begin` or `count`.
void linear_prefill(Context& context, const LinearCall& call, std::int64_t begin, std::int64_t count);

/// Rows [0, rows.decode) by linear_decode, the others by linear_prefill.
inline void linear_by_phase(Context& context, const LinearCall& call, Rows rows) {
  if (rows.decode > 0) linear_decode(context, call, 0, rows.decode);
  if (rows.total > rows.decode)
    linear_prefill(context, call, rows.decode, rows.total - rows.decode);
}

/// Workspace that either takes for up to `rows` rows.
std::size_t linear_decode_scratch(std::int64_t rows, std::int64_t k);
std::size_t linear_prefill_scratch(std::int64_t rows, std::int64_t k);
inline std::size_t linear_scratch(std::int64_t rows, std::int64_t k) {
  return std::max(linear_decode_scratch(rows, k), linear_prefill_scratch(rows, k));
}

}  // namespace isotope::ops::gpu
