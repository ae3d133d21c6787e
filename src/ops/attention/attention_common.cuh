// What the attention kernels share: where keys lie, and FP8 and BF16 elements.
//
//   ISOTOPE_ATTENTION_FP8  1: the cache is FP8 with a scale per token and head, else bf16
#pragma once

#include "ops/attention/attention_params.h"
#include "ops/gpu/portable.cuh"

namespace isotope::gpu {

constexpr bool kFp8 = ISOTOPE_ATTENTION_FP8;
constexpr int kKvBytes = kFp8 ? 1 : 2;  ///< of an element

/// Slot of the key at `position`, times kv_heads: the vector of its first head.
ISOTOPE_DEVICE i64 first_vector(const AttentionParams& p, const int* table, int position) {
  int block, offset;
  if (p.block_shift >= 0) {
    block = position >> p.block_shift;
    offset = position & (p.block_size - 1);
  } else {
    block = position / p.block_size;
    offset = position - block * p.block_size;
  }
  return (i64(table[block]) * p.block_size + offset) * p.kv_heads;
}

}  // namespace isotope::gpu
