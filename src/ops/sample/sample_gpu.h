// The GPU form behind sample().
#pragma once

#include "ops/sample/sample.h"

namespace isotope::ops::gpu {

/// Errors: unsupported for a vocabulary that is larger than a GPU's kernels take.
void sample_gpu(Context& context, const TensorView& logits, const SampleBatch& batch,
                const SampleResult& result);

std::size_t sample_gpu_scratch(std::int64_t rows, std::int64_t vocab);

}  // namespace isotope::ops::gpu
