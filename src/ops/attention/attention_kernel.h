// What the instruction-set files of attention offer to attention_cpu.cc: one part of the context at
// a time.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace isotope::ops::cpu {

/// Keys of one part. A part begins at a multiple of this position, whatever the batch looks like,
/// so that the order of summation for a query is a function of its position alone.
constexpr int kPartKeys = 256;
/// Queries (rows × heads) of one task. 32 queries of 128 floats with their scores of one part and
/// their sums are 64 KiB: half of an L2 cache holds them.
constexpr int kTileQueries = 32;
constexpr int kMaxHeadDim = 256;

/// Where the keys and values of one part are, in order of position: those of the first KV head of a
/// task. Its other KV heads follow at once, dense.
struct PartKeys {
  int count = 0;  ///< > 0
  const void* k[kPartKeys];
  const void* v[kPartKeys];
  const float* k_scale[kPartKeys];  ///< FP8 only
  const float* v_scale[kPartKeys];
};

/// The queries of a task: for each of kv_heads, `queries` rows × heads that look at it.
struct QueryBlock {
  const float* q;  ///< [kv_heads][queries][stride]
  int kv_heads;
  int queries;
  const int*
      counts;  ///< [queries]: each looks at the first counts[i] ≤ keys.count keys of the part
  int head_dim;
  float scale;  ///< 1 / sqrt(head_dim)
};

/// Softmax over some keys, not yet divided: values = Σ exp(s - max)·v, sum = Σ exp(s - max), for
/// each of kv_heads · queries. Values stand in the order that suits the kernel (see
/// AttentionKernel::stride).
struct PartialView {
  float* max;     ///< [kv_heads][queries]
  float* sum;     ///< [kv_heads][queries]
  float* values;  ///< [kv_heads][queries][stride]
};

struct AttentionKernel {
  /// Floats of one query or partial value: head_dim padded and permuted to the kernel's register
  /// order.
  int (*stride)(int head_dim);
  /// q [head_dim] f32 or bf16 -> out [stride].
  void (*load_query)(const void* q, DType dtype, int head_dim, float* out);
  /// Queries with counts[i] = 0 are left alone. `scores` is scratch [kv_heads][queries][kPartKeys].
  void (*attend)(const QueryBlock& block, const PartKeys& keys, float* scores, PartialView result);
  /// Appends a later part to an earlier one, for the queries with counts[i] > 0.
  void (*merge)(const QueryBlock& block, PartialView into, PartialView from);
  /// values / sum -> out [head_dim] f32 or bf16.
  void (*store)(const float* values, float sum, int head_dim, void* out, DType dtype);
};

/// For a cache of `kv_dtype` (bf16 or f8_e4m3). Only behind a check of the CPU.
const AttentionKernel& attention_kernel_avx2(DType kv_dtype);
const AttentionKernel& attention_kernel_avx512(DType kv_dtype);
const AttentionKernel& attention_kernel_avx512_bf16(DType kv_dtype);

}  // namespace isotope::ops::cpu
