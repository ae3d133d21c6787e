// Paged, causal, grouped-query attention for any mix of prefill chunks and decodes.
#pragma once

#include "ops/batch.h"
#include "ops/context.h"
#include "ops/kv_cache.h"

namespace isotope::ops {

/// out[r, j, :] = softmax(q[r, j, :] · K[0..p, j / (H/K), :]^T / sqrt(D)) · V[0..p, j / (H/K), :]
/// in FP32, with keys and values found through batch.block_tables.
///   q [rows, H, D], out [rows, H·D]: bf16 or f32 (the same dtype).
/// The order of summation depends on the position alone: split of the context into parts of fixed
/// length, merged in order.
void attention(Context& context, const TensorView& q, const KvLayer& kv, std::int64_t block_size,
               const Batch& batch, const TensorView& out);

/// Workspace that attention takes for a step of `rows` rows whose longest context is `max_context`.
std::size_t attention_scratch(std::int64_t rows, std::int64_t num_heads, std::int64_t head_dim,
                              std::int64_t max_context, bool gpu = false);

}  // namespace isotope::ops
