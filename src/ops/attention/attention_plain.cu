// Attention for any head size and group, BF16 or FP32 queries: correct first. Models whose heads suit the matrix units
// take attention_decode.cu and attention_prefill.cu.
//
//   ISOTOPE_ATTENTION_F32  1: q and out are f32, else bf16
#include "ops/attention/attention_common.cuh"

namespace isotope::gpu {

constexpr bool kF32 = ISOTOPE_ATTENTION_F32;
constexpr int kThreads = 128;  ///< and keys of a part
constexpr int kMaxDim = 512;
constexpr int kOwn = kMaxDim / kThreads;  ///< output elements of a thread

ISOTOPE_DEVICE float q_element(const void* q, i64 i) {
  return kF32 ? static_cast<const float*>(q)[i] : bf16_to_float(static_cast<const u16*>(q)[i]);
}
ISOTOPE_DEVICE float kv_element(const void* cache, i64 i) {
  if constexpr (kFp8) {
    float lo, hi;
    fp8x2_to_f32(static_cast<const u8*>(cache)[i], &lo, &hi);
    return lo;
  } else {
    return bf16_to_float(static_cast<const u16*>(cache)[i]);
  }
}
ISOTOPE_DEVICE void store_element(void* out, i64 i, float v) {
  if constexpr (kF32)
    static_cast<float*>(out)[i] = v;
  else
    static_cast<u16*>(out)[i] = float_to_bf16(v);
}

/// q[0..dim) · k in order of the elements; pairs of vectors of 16 bytes where the head allows.
ISOTOPE_DEVICE float dot(const float* q, const void* cache, i64 begin, int dim) {
  float sum = 0.0f;
  if (dim % 16 != 0) {
    for (int d = 0; d < dim; ++d) sum = fma(q[d], kv_element(cache, begin + d), sum);
    return sum;
  }
  for (int d = 0; d < dim; d += 16 / kKvBytes) {
    const Vec16 vector = load16(static_cast<const u8*>(cache) + (begin + d) * kKvBytes);
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      if constexpr (kFp8) {
        float a, b, c, e;
        fp8x2_to_f32(u16(vector.w[w]), &a, &b);
        fp8x2_to_f32(u16(vector.w[w] >> 16), &c, &e);
        const float* x = q + d + 4 * w;
        sum = fma(x[3], e, fma(x[2], c, fma(x[1], b, fma(x[0], a, sum))));
      } else {
        const float* x = q + d + 2 * w;
        sum = fma(x[1], bf16_hi(vector.w[w]), fma(x[0], bf16_lo(vector.w[w]), sum));
      }
    }
  }
  return sum;
}

/// Grid (rows, heads), kThreads threads: a part of kThreads keys after the other, a key a thread for the scores, an element
/// of the output a thread for the values.
// STREAMS nothing: it serves shapes that matrix units do not take
KERNEL(attention_plain, AttentionParams, kThreads) {
  SHARED(float, query, kMaxDim);
  SHARED(float, scores, kThreads);
  SHARED(float, value_scales, kThreads);
  SHARED(i64, vectors, kThreads);
  wait_for_predecessor();
  release_successor();
  const int row = p.first_row + block_x(), head = block_y(), kv_head = head / (p.heads / p.kv_heads);
  const int seq = p.row_seq[row], dim = p.head_dim, thread = thread_index();
  const i64 out = row * p.out_stride + i64(head) * dim;
  if (p.context_lens[seq] == 0) {
    for (int d = thread; d < dim; d += kThreads) store_element(p.out, out + d, 0.0f);
    return;
  }
  const int* table = p.block_tables + seq * p.table_stride;
  for (int d = thread; d < dim; d += kThreads) query[d] = q_element(p.q, row * p.q_stride + i64(head) * dim + d);
  const int keys = p.positions[row] + 1;
  float top = minus_infinity(), sum = 0.0f, total[kOwn] = {};
  for (int begin = 0; begin < keys; begin += kThreads) {
    const int count = min(kThreads, keys - begin);
    block_barrier();  // the queries are there; nobody reads the last part any more
    if (thread < count) {
      const i64 vector = key_vector(p, table, kv_head, begin + thread);
      vectors[thread] = vector * dim;
      const float score = dot(query, p.k, vector * dim, dim) * p.scale;
      scores[thread] = kFp8 ? score * p.k_scale[vector] : score;
      if constexpr (kFp8) value_scales[thread] = p.v_scale[vector];
    }
    block_barrier();
    float part_top = top;
    for (int i = 0; i < count; ++i) part_top = max(part_top, scores[i]);
    const float old = exp2(top - part_top);
    top = part_top;
    sum *= old;
#pragma unroll
    for (int n = 0; n < kOwn; ++n) total[n] *= old;
    for (int i = 0; i < count; ++i) {
      const float weight = exp2(scores[i] - top);
      sum += weight;
      const float factor = kFp8 ? weight * value_scales[i] : weight;
#pragma unroll
      for (int n = 0; n < kOwn; ++n) {
        const int d = thread + n * kThreads;
        if (d < dim) total[n] = fma(factor, kv_element(p.v, vectors[i] + d), total[n]);
      }
    }
  }
#pragma unroll
  for (int n = 0; n < kOwn; ++n) {
    const int d = thread + n * kThreads;
    if (d < dim) store_element(p.out, out + d, total[n] / sum);
  }
}

}  // namespace isotope::gpu
