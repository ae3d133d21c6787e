// The RMSNorm of norm_linear, one row at a time.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace isotope::ops {

/// out[i] = x[i] / sqrt(mean(x²) + eps) · g[i] for i < k, then zeros up to padded_k.
struct RmsNormRow {
  const float* x = nullptr;
  const float* g = nullptr;
  float eps = 0;
  std::int64_t k = 0, padded_k = 0;
  void* out = nullptr;
  DType out_dtype = DType::bf16;  ///< bf16 or f32
};

void rms_norm_oracle(const RmsNormRow& row);
void rms_norm_avx2(const RmsNormRow& row);
void rms_norm_avx512(const RmsNormRow& row);

}  // namespace isotope::ops
