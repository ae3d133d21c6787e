#include "ops/swiglu/swiglu_simd.h"

namespace isotope::ops {

void swiglu_avx2(const SwigluRow& row) { swiglu_row(row); }

}  // namespace isotope::ops
