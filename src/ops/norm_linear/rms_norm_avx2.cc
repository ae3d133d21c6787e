#include "ops/norm_linear/rms_norm_simd.h"

namespace isotope::ops {

void rms_norm_avx2(const RmsNormRow& row) { rms_norm(row); }

}  // namespace isotope::ops
