// One row of a packed matrix as FP32: the gather that an embedding is.
#pragma once

#include <cstdint>

#include "ops/linear/linear_weight.h"

namespace isotope::ops {

/// out[k] = W[row, :] with its scales, for every layout and dtype of LinearWeight; 0 ≤ row < n.
/// Plain code serves as the oracle and as the fast form: a gather waits for memory, not for
/// arithmetic.
void unpack_weight_row(const LinearWeight& weight, std::int64_t row, float* out);

}  // namespace isotope::ops
