// What host and device code of rope_store share.
#pragma once

namespace isotope::gpu {

struct RopeStoreParams {
  const void* qkv;           ///< [rows, (heads + 2·kv_heads)·D]
  void* q_out;               ///< [rows, heads, D]
  void* k;                   ///< [slots, kv_heads, D]
  void* v;
  float* k_scale;            ///< [slots, kv_heads], FP8 only
  float* v_scale;
  const float* q_norm;       ///< [D] or null
  const float* k_norm;
  const float* frequencies;  ///< [D / 2]
  const int* positions;      ///< [rows]
  const long long* slots;    ///< [rows], -1: nothing is stored
  long long qkv_stride;      ///< elements from row to row
  long long q_stride;
  int heads, kv_heads;
  float norm_eps;
  float attention_factor;
  float query_scale_beta;    ///< 0: no scale
  int query_scale_period;    ///< positions, at least 1
};

}  // namespace isotope::gpu
