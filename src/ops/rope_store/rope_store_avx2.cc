#include "ops/rope_store/rope_store_simd.h"

namespace isotope::ops {

void rope_store_row_avx2(const RopeRow& row) { rope_store_row(row); }

}  // namespace isotope::ops
