// The GPU forms behind attention().
#pragma once

#include "ops/attention/attention.h"
#include "ops/tuning/tuning.h"

namespace isotope::ops::gpu {

/// Heads of more than this are an Error (unsupported).
inline constexpr std::int64_t kMaxAttentionHeadDim = 512;

void attention_gpu(Context& context, const TensorView& q, const KvLayer& kv,
                   std::int64_t block_size, const Batch& batch, const TensorView& out);

/// What a table may choose for q's rows in decode phase; no candidates where nothing can be chosen.
TuningSpace attention_decode_tuning(Context& context, const TensorView& q, const KvLayer& kv,
                                    const TensorView& out);

/// Workspace that it takes for a step of up to `rows` rows.
std::size_t attention_scratch(std::int64_t rows, std::int64_t heads, std::int64_t head_dim);

}  // namespace isotope::ops::gpu
