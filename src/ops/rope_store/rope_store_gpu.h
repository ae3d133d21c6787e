// The GPU form behind rope_store().
#pragma once

#include "ops/rope_store/rope_store.h"

namespace isotope::ops::gpu {

void rope_store_gpu(Context& context, const TensorView& qkv, const TensorView& q_norm,
                    const TensorView& k_norm, float norm_eps, const RopeSpec& rope,
                    const Batch& batch, const TensorView& q_out, const KvLayer& kv);

}  // namespace isotope::ops::gpu
