// How fast a device multiplies large matrices by our own prefill product, measured: what the
// operations of a profile are compared with. Not the hardware's limit, which would need the
// vendor's library to be found.
#pragma once

#include "base/dtype.h"
#include "ops/context.h"

namespace isotope::ops {

/// Multiplications and additions per second with weights of `dtype` (bf16, or f8_e4m3 in blocks):
/// the best of several passes over a square matrix of 8192 (on a CPU 2048) features and as many
/// rows as a prefill step has.
double matrix_rate(device::Device& device, DType dtype);

}  // namespace isotope::ops
