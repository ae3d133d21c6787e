// SiLU(gate) × up.
#pragma once

#include "ops/context.h"

namespace isotope::ops {

/// out[m, i] = silu(gate_up[m, i]) · gate_up[m, I + i];  gate_up [rows, 2·I], out [rows, I], both
/// bf16 or both f32.
void swiglu(Context& context, const TensorView& gate_up, const TensorView& out);

}  // namespace isotope::ops
