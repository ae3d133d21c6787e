// The GPU form behind embed().
#pragma once

#include "ops/embed/embed.h"

namespace isotope::ops::gpu {

void embed_gpu(Context& context, const TensorView& ids, const LinearWeight& table,
               const TensorView& out);

}  // namespace isotope::ops::gpu
