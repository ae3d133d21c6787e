// The CPU forms behind attention().
#pragma once

#include "ops/attention/attention.h"

namespace isotope::ops::cpu {

void attention_oracle(const TensorView& q, const KvLayer& kv, std::int64_t block_size,
                      const Batch& batch, const TensorView& out);
void attention_fast(Context& context, const TensorView& q, const KvLayer& kv,
                    std::int64_t block_size, const Batch& batch, const TensorView& out);

std::size_t attention_scratch(std::int64_t rows, std::int64_t num_heads, std::int64_t head_dim,
                              std::int64_t max_context);

}  // namespace isotope::ops::cpu
