// Packing for GPUs. Internal to ops/linear.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/linear/linear_weight.h"
#include "ops/linear/stack.h"

namespace isotope::ops {

/// pack_linear for a context on a GPU.
LinearWeight pack_linear_gpu(Context& context, const Stack& stack, bool allow_f32,
                             const PackOptions& options);

/// packed_bytes for layouts gpu_tile128 and gpu_rows; `dtype` as packed.
std::size_t packed_bytes_gpu(std::int64_t n, std::int64_t k, DType dtype, ScaleLayout scale_layout,
                             WeightLayout layout);

}  // namespace isotope::ops
