// One row of swiglu.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace isotope::ops {

/// out[i] = silu(gate[i]) · up[i], i < count, all of them bf16 or all f32.
struct SwigluRow {
  const void* gate = nullptr;
  const void* up = nullptr;
  void* out = nullptr;
  std::int64_t count = 0;
  DType dtype = DType::f32;
};

void swiglu_oracle(const SwigluRow& row);
void swiglu_avx2(const SwigluRow& row);
void swiglu_avx512(const SwigluRow& row);

}  // namespace isotope::ops
