// What the attention kernels share: where keys lie, and FP8 and BF16 elements.
//
//   ISOTOPE_ATTENTION_FP8    1: the cache is FP8 with a scale per token and head, else bf16
//   ISOTOPE_ATTENTION_WHOLE  1: block_size is a power of two, at least 16
#pragma once

#include "ops/attention/attention_params.h"
#include "ops/gpu/portable.cuh"

namespace isotope::gpu {

constexpr bool kFp8 = ISOTOPE_ATTENTION_FP8;
constexpr int kKvBytes = kFp8 ? 1 : 2;  ///< of an element

ISOTOPE_DEVICE float minus_infinity() { return float_of(0xff800000u); }

#if !defined(ISOTOPE_ATTENTION_WHOLE)
#define ISOTOPE_ATTENTION_WHOLE 0
#endif

/// The key at `position` of the sequence with this block table, among the vectors of the cache: slot · kv_heads + head.
ISOTOPE_DEVICE i64 key_vector(const AttentionParams& p, const int* table, int kv_head, int position) {
  int block, offset;
  if (ISOTOPE_ATTENTION_WHOLE || p.block_shift >= 0) {
    block = position >> p.block_shift;
    offset = position & (p.block_size - 1);
  } else {
    block = position / p.block_size;
    offset = position - block * p.block_size;
  }
  return (i64(table[block]) * p.block_size + offset) * p.kv_heads + kv_head;
}

/// The place of 16 keys, the first at a multiple of 16: where blocks hold all of them, one look into the table serves them.
struct KeyTile {
  i64 vector;       ///< of key `first`
  int first, last;  ///< keys behind `last` are read as `last`
};
ISOTOPE_DEVICE KeyTile find_tile(const AttentionParams& p, const int* table, int kv_head, int first, int last) {
  return {ISOTOPE_ATTENTION_WHOLE ? key_vector(p, table, kv_head, first) : 0, first, last};
}
/// The vector of key `first` + `key`.
ISOTOPE_DEVICE i64 tile_vector(const AttentionParams& p, const int* table, int kv_head, const KeyTile& tile, int key) {
  if constexpr (ISOTOPE_ATTENTION_WHOLE) return tile.vector + min(key, tile.last - tile.first) * p.kv_heads;
  return key_vector(p, table, kv_head, min(tile.first + key, tile.last));
}

/// Two E4M3 values as BF16, which holds them exactly.
ISOTOPE_DEVICE u32 fp8x2_to_bf16x2(u16 v) {
  float lo, hi;
  fp8x2_to_f32(v, &lo, &hi);
  return high_halves(bits_of(lo), bits_of(hi));
}

}  // namespace isotope::gpu
