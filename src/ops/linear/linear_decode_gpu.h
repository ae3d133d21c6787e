// Parts of linear_decode for `isotope tune`. Internal to ops.
#pragma once

#include "ops/linear/linear_gpu.h"
#include "ops/tuning/tuning.h"

namespace isotope::ops::gpu {

/// What a table may choose for `rows` rows of a call; no candidates where nothing can be chosen.
TuningSpace linear_decode_tuning(Context& context, const LinearCall& call, std::int64_t rows);

}  // namespace isotope::ops::gpu
