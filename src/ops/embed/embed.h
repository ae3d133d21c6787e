// Rows of the embedding table into the residual stream.
#pragma once

#include "ops/context.h"
#include "ops/linear/linear_weight.h"

namespace isotope::ops {

/// out[m, h] (f32) = table[ids[m], h].  ids [rows] i32; ids outside [0, n) give a zero row (idle
/// rows of a padded batch). The table is a packed LinearWeight [vocab, h] of any dtype, so that a
/// tied head needs no second copy.
void embed(Context& context, const TensorView& ids, const LinearWeight& table,
           const TensorView& out);

}  // namespace isotope::ops
