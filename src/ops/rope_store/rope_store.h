// QK-norm if any, RoPE, and K and V into their slots of the cache.
#pragma once

#include <cstdint>

#include "ops/batch.h"
#include "ops/context.h"
#include "ops/kv_cache.h"

namespace isotope::ops {

/// The largest head size; heads of 256 are the largest that models use.
inline constexpr std::int64_t kMaxRopeHeadDim = 512;

/// Rotary embedding of one model, and what else happens to q and k before attention.
struct RopeSpec {
  std::int64_t num_heads = 0, num_kv_heads = 0, head_dim = 0;
  TensorView inverse_frequencies;  ///< [head_dim / 2] f32, in device memory
  float attention_factor = 1.0f;   ///< multiplies cos and sin (YaRN)
  /// Ministral 3: after RoPE, q *= 1 + beta·ln(1 + floor(p / original_max_position)). beta 0: off.
  float query_scale_beta = 0.0f;
  std::int64_t query_scale_original_max_position = 1;
};

/// qkv [rows, (H + 2K)·D] f32 or bf16, heads of q, then k, then v. Per head: q and k are RMS-normed
/// over D with weights q_norm, k_norm
/// ([D] f32; empty: no norm), then rotated as pairs (i, i + D/2) by position ·
/// inverse_frequencies[i] (angle in FP32 or better). Writes q_out [rows, H, D] (dtype of qkv) and
/// K, V into batch.slots (quantized if the cache is FP8: per token and head scale = absmax / 448; 1
/// if absmax is 0; NaN if an element is not finite, so that no wrong number passes for a right
/// one). Slot -1: nothing is stored.
void rope_store(Context& context, const TensorView& qkv, const TensorView& q_norm,
                const TensorView& k_norm, float norm_eps, const RopeSpec& rope, const Batch& batch,
                const TensorView& q_out, const KvLayer& kv);

}  // namespace isotope::ops
