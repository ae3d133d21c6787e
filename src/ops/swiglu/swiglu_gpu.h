// The GPU form behind swiglu().
#pragma once

#include "ops/swiglu/swiglu.h"

namespace isotope::ops::gpu {

void swiglu_gpu(Context& context, const TensorView& gate_up, const TensorView& out);

}  // namespace isotope::ops::gpu
