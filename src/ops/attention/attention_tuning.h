// Attention in decode phase as `isotope tune` tries it.
#pragma once

#include "ops/tuning/tuning_case.h"

namespace isotope::ops {

struct AttentionUse {
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  DType kv_dtype = DType::bf16;
  std::int64_t context_len = 2048;  ///< of every row
};

/// A case for each number of rows at which a table can choose anything. `context`, whose workspace
/// is at least attention_scratch() of the most rows, must outlive them.
TuningCases attention_tuning_cases(Context& context, const AttentionUse& use,
                                   const TuningRows& rows);

}  // namespace isotope::ops
