#include "ops/norm_linear/rms_norm_simd.h"

namespace isotope::ops {

void rms_norm_avx512(const RmsNormRow& row) { rms_norm(row); }

}  // namespace isotope::ops
