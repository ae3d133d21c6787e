// The GPU forms behind attention().
#pragma once

#include "ops/attention/attention.h"

namespace isotope::ops::gpu {

/// Heads of more than this are an Error (unsupported).
inline constexpr std::int64_t kMaxAttentionHeadDim = 512;

void attention_gpu(Context& context, const TensorView& q, const KvLayer& kv,
                   std::int64_t block_size, const Batch& batch, const TensorView& out);

}  // namespace isotope::ops::gpu
