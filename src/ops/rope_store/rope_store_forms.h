// The forms of `rope_store`, one row at a time.
#pragma once

#include <cstdint>

#include "ops/rope_store/rope_store.h"

namespace isotope::ops {

/// Everything that one row needs; pointers are into the tensors of the call.
struct RopeRow {
  const TensorView* qkv;  ///< the whole tensors; `row` says which row
  const TensorView* q_out;
  const KvLayer* kv;
  const RopeSpec* rope;
  const float* frequencies;
  const float* q_norm;  ///< or nullptr
  const float* k_norm;
  float norm_eps;
  float query_scale;  ///< of the row's position; 1: none
  std::int64_t row;
  std::int64_t position;
  std::int64_t slot;  ///< -1: nothing is stored
};

void rope_store_row_oracle(const RopeRow& row);
/// Only behind a check of the CPU.
void rope_store_row_avx2(const RopeRow& row);
void rope_store_row_avx512(const RopeRow& row);

}  // namespace isotope::ops
