// RMSNorm on vectors; included by the file of each instruction set.
#pragma once

#include "ops/norm_linear/rms_norm.h"
#include "ops/simd/simd.h"

namespace isotope::ops {
namespace {

/// Sum of squares over four vectors of partial sums: they hide the latency of the additions, and
/// shorten the chains of rounding errors.
float sum_of_squares(const float* x, std::int64_t k) {
  constexpr int kParts = 4;
  Vec part[kParts] = {zero(), zero(), zero(), zero()};
  std::int64_t i = 0;
  for (; i + kParts * kLanes <= k; i += kParts * kLanes) {
    unroll<kParts>([&](auto p) {
      const Vec value = load(x + i + p * kLanes);
      part[p] = fma(value, value, part[p]);
    });
  }
  for (; i < k; i += kLanes) {
    const Vec value = load_n(x + i, k - i < kLanes ? int(k - i) : kLanes);
    part[0] = fma(value, value, part[0]);
  }
  return reduce_add(add(add(part[0], part[1]), add(part[2], part[3])));
}

template <typename T>
void scale_row(const RmsNormRow& row, float inverse, T* out) {
  const Vec factor = set1(inverse);
  for (std::int64_t i = 0; i < row.k; i += kLanes) {
    const int count = row.k - i < kLanes ? int(row.k - i) : kLanes;
    store_n(out + i, mul(mul(load_n(row.x + i, count), factor), load_n(row.g + i, count)), count);
  }
  for (std::int64_t i = row.k; i < row.padded_k; ++i) out[i] = T{};
}

void rms_norm(const RmsNormRow& row) {
  const float mean = sum_of_squares(row.x, row.k) / float(row.k);
  const float root = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + row.eps)));
  if (row.out_dtype == DType::bf16)
    scale_row(row, 1.0f / root, static_cast<bfloat16*>(row.out));
  else
    scale_row(row, 1.0f / root, static_cast<float*>(row.out));
}

}  // namespace
}  // namespace isotope::ops
