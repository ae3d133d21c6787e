// Inputs of the prefill product: gathered, normalised, rounded to what the matrix units multiply, and laid out in tiles
// that a product block copies whole (the core order of gpu_tile128).
#include "ops/gpu/portable.cuh"
#include "ops/linear/linear_prefill_params.h"

namespace isotope::gpu {
namespace {

constexpr int kThreads = 128;
constexpr float kFp8Max = 448.0f;
/// A block whose largest value is below is scaled as if it had this one: 448 / absmax stays finite, and zeros stay zeros.
constexpr float kSmallest = 7.9e-31f;  // 2^-100

/// kCount values of a row from column c; zero from column k on.
template <int kCount>
ISOTOPE_DEVICE void load_values(const PrefillInputsParams& p, i64 row, i64 c, float (&v)[kCount]) {
  const i64 at = row * p.x_stride + c;
  if (p.vectors && c + kCount <= p.k) {
    if (p.x_is_f32) {
#pragma unroll
      for (int i = 0; i < kCount; i += 4) {
        const Vec16 w = load16(static_cast<const float*>(p.x) + at + i);
#pragma unroll
        for (int j = 0; j < 4; ++j) v[i + j] = float_of(w.w[j]);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kCount; i += 8) {
        const Vec16 w = load16(static_cast<const u16*>(p.x) + at + i);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          v[i + 2 * j] = bf16_lo(w.w[j]);
          v[i + 2 * j + 1] = bf16_hi(w.w[j]);
        }
      }
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    v[i] = 0.0f;
    if (c + i < p.k)
      v[i] = p.x_is_f32 ? static_cast<const float*>(p.x)[at + i] : bf16_to_float(static_cast<const u16*>(p.x)[at + i]);
  }
}

/// 1 / sqrt(mean(x²) + eps) of a row, the same in all threads. The order of addition depends on k alone: a thread's
/// columns from left to right, lanes by halves, then the warps in turn.
ISOTOPE_DEVICE float inverse_rms(const PrefillInputsParams& p, i64 row) {
  SHARED(float, parts, kThreads / kWarp);
  float sum = 0.0f;
  for (i64 c = thread_index() * 8; c < p.k; c += kThreads * 8) {
    float v[8];
    load_values(p, row, c, v);
#pragma unroll
    for (int i = 0; i < 8; ++i) sum = fma(v[i], v[i], sum);
  }
  sum = warp_sum(sum);
  if (lane_index() == 0) parts[warp_index()] = sum;
  block_barrier();
  float total = 0.0f;
#pragma unroll
  for (int i = 0; i < kThreads / kWarp; ++i) total += parts[i];
  return 1.0f / sqrt(total / float(p.k) + p.eps);
}

/// kCount values from column c, normalised.
template <int kCount>
ISOTOPE_DEVICE void input_values(const PrefillInputsParams& p, i64 row, i64 c, float inverse, float (&v)[kCount]) {
  load_values(p, row, c, v);
  if (!p.norm) return;
  if (p.vectors && c + kCount <= p.k) {
#pragma unroll
    for (int i = 0; i < kCount; i += 4) {
      const Vec16 g = load16(p.norm + c + i);
#pragma unroll
      for (int j = 0; j < 4; ++j) v[i + j] = v[i + j] * inverse * float_of(g.w[j]);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i)
    if (c + i < p.k) v[i] = v[i] * inverse * p.norm[c + i];
}

/// Where the vector that begins at byte `b` of row m lies.
ISOTOPE_DEVICE u8* vector_of(const PrefillInputsParams& p, i64 row_bytes, i64 m, i64 b) {
  return static_cast<u8*>(p.out) + (m / 128 * (row_bytes / 128) + b / 128) * 16384 + m % 128 / 8 * 1024 +
         b % 128 / 16 * 128 + m % 8 * 16;
}

ISOTOPE_DEVICE i64 source_row(const PrefillInputsParams& p, i64 m) {
  return p.row_index ? i64(p.row_index[p.begin + m]) : p.begin + m;
}

/// Each 128 columns become E4M3 with one scale, absmax / 448; the second term is what the first left over.
template <int kTerms>
ISOTOPE_DEVICE void fp8_inputs(const PrefillInputsParams& p) {
  wait_for_predecessor();
  release_successor();
  const i64 m = block_x(), row = source_row(p, m);
  const float inverse = p.norm ? inverse_rms(p, row) : 1.0f;
  for (i64 first = 0; first < p.padded_k; first += kThreads * 16) {  // every lane takes part in the shuffles
    const i64 c = first + thread_index() * 16;
    float v[16];
    input_values(p, row, c, inverse, v);
    float largest = 0.0f;
#pragma unroll
    for (int i = 0; i < 16; ++i) largest = max(largest, fabs(v[i]));
#pragma unroll
    for (int mask = 1; mask < 8; mask *= 2) largest = max(largest, shuffle_xor(largest, mask));
    if (c >= p.padded_k) continue;
    largest = largest == 0.0f ? kFp8Max : max(largest, kSmallest);
    const float factor = kFp8Max / largest;
    Vec16 term[kTerms];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      u32 words[kTerms] = {};
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float lo = v[4 * i + 2 * j] * factor, hi = v[4 * i + 2 * j + 1] * factor;
#pragma unroll
        for (int t = 0; t < kTerms; ++t) {
          const u16 code = fp8x2_of(lo, hi);
          words[t] |= u32(code) << (16 * j);
          if (t + 1 == kTerms) break;
          float lo_done, hi_done;
          fp8x2_to_f32(code, &lo_done, &hi_done);
          lo -= lo_done;
          hi -= hi_done;
        }
      }
#pragma unroll
      for (int t = 0; t < kTerms; ++t) term[t].w[i] = words[t];
    }
    u8* const out = vector_of(p, p.padded_k, m, c);
#pragma unroll
    for (int t = 0; t < kTerms; ++t) store16(out + t * p.term_bytes, term[t]);
    if (c % 128 == 0) p.scales[c / 128 * p.scale_stride + m] = largest / kFp8Max;
  }
}

}  // namespace

/// Row m of x (see PrefillInputsParams) as one E4M3 term. A block of 128 threads a row.
KERNEL(prefill_inputs_fp8, PrefillInputsParams, 128) { fp8_inputs<1>(p); }

/// The same as two terms: together they are as exact as BF16.
KERNEL(prefill_inputs_fp8x2, PrefillInputsParams, 128) { fp8_inputs<2>(p); }

/// The same as BF16.
KERNEL(prefill_inputs_bf16, PrefillInputsParams, 128) {
  wait_for_predecessor();
  release_successor();
  const i64 m = block_x(), row = source_row(p, m);
  const float inverse = p.norm ? inverse_rms(p, row) : 1.0f;
  for (i64 c = thread_index() * 8; c < p.padded_k; c += kThreads * 8) {
    float v[8];
    input_values(p, row, c, inverse, v);
    Vec16 out;
#pragma unroll
    for (int i = 0; i < 4; ++i) out.w[i] = bf16x2_of(v[2 * i], v[2 * i + 1]);
    store16(vector_of(p, p.padded_k * 2, m, c * 2), out);
  }
}

}  // namespace isotope::gpu
