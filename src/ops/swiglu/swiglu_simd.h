// SwiGLU on vectors; included by the file of each instruction set.
#pragma once

#include "ops/simd/simd.h"
#include "ops/swiglu/swiglu_row.h"

namespace isotope::ops {
namespace {

/// g / (1 + e^-g). With e^-|g| nothing overflows: for g < 0 it is g · e^g / (1 + e^g).
Vec silu(Vec g) {
  const Vec decay = exp(sub(zero(), abs(g)));
  const Vec weight = select(less(g, zero()), decay, set1(1.0f));
  return div(mul(g, weight), add(set1(1.0f), decay));
}

template <typename T>
void swiglu_values(const T* gate, const T* up, T* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const int lanes = count - i < kLanes ? int(count - i) : kLanes;
    store_n(out + i, mul(silu(load_n(gate + i, lanes)), load_n(up + i, lanes)), lanes);
  }
}

void swiglu_row(const SwigluRow& row) {
  if (row.dtype == DType::bf16)
    swiglu_values(static_cast<const bfloat16*>(row.gate), static_cast<const bfloat16*>(row.up),
                  static_cast<bfloat16*>(row.out), row.count);
  else
    swiglu_values(static_cast<const float*>(row.gate), static_cast<const float*>(row.up),
                  static_cast<float*>(row.out), row.count);
}

}  // namespace
}  // namespace isotope::ops
