#include "ops/sample/sample_simd.h"

namespace isotope::ops {

const SampleKernel& sample_kernel_avx512() { return kSampleKernel; }

}  // namespace isotope::ops
