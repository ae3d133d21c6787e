#include "ops/attention/attention.h"

#include <algorithm>

#include "base/error.h"
#include "ops/attention/attention_cpu.h"
#include "ops/attention/attention_gpu.h"
#include "ops/attention/attention_kernel.h"

namespace isotope::ops {
namespace {

void check_cache(const TensorView& cache, const TensorView& scales, const KvLayer& kv,
                 std::int64_t head_dim) {
  ISOTOPE_ASSERT(cache.shape == kv.k.shape && cache.dtype == kv.k.dtype && cache.dense());
  ISOTOPE_ASSERT(cache.shape.rank() == 3 && cache.shape[2] == head_dim);
  ISOTOPE_ASSERT(cache.dtype == DType::bf16 || cache.dtype == DType::f8_e4m3);
  ISOTOPE_ASSERT(scales.empty() == (cache.dtype == DType::bf16));
  if (scales.empty()) return;
  ISOTOPE_ASSERT(scales.dtype == DType::f32 && scales.dense());
  ISOTOPE_ASSERT(scales.shape == Shape({cache.shape[0], cache.shape[1]}));
}

void check_batch(const Batch& batch) {
  const std::int64_t rows = batch.rows.total, seqs = batch.num_seqs;
  ISOTOPE_ASSERT(batch.positions.dtype == DType::i32 && batch.positions.shape.elements() >= rows);
  ISOTOPE_ASSERT(batch.row_seq.dtype == DType::i32 && batch.row_seq.shape.elements() >= rows);
  ISOTOPE_ASSERT(batch.seq_begin.dtype == DType::i32 &&
                 batch.seq_begin.shape.elements() >= seqs + 1);
  ISOTOPE_ASSERT(batch.context_lens.dtype == DType::i32 &&
                 batch.context_lens.shape.elements() >= seqs);
  ISOTOPE_ASSERT(batch.block_tables.dtype == DType::i32 && batch.block_tables.shape.rank() == 2);
  ISOTOPE_ASSERT(batch.block_tables.shape[0] >= seqs);
}

}  // namespace

void attention(Context& context, const TensorView& q, const KvLayer& kv, std::int64_t block_size,
               const Batch& batch, const TensorView& out) {
  const std::int64_t rows = batch.rows.total;
  if (rows == 0) return;
  ISOTOPE_ASSERT(q.shape.rank() == 3 && q.shape[0] >= rows && kv.k.shape.rank() == 3 &&
                 block_size > 0);
  const std::int64_t heads = q.shape[1], head_dim = q.shape[2], kv_heads = kv.k.shape[1];
  ISOTOPE_ASSERT(q.dtype == DType::f32 || q.dtype == DType::bf16);
  ISOTOPE_ASSERT(out.dtype == q.dtype && out.shape.rank() == 2 && out.shape[0] >= rows);
  ISOTOPE_ASSERT(out.shape[1] == heads * head_dim && kv_heads > 0 && heads % kv_heads == 0);
  check_cache(kv.k, kv.k_scale, kv, head_dim);
  check_cache(kv.v, kv.v_scale, kv, head_dim);
  check_batch(batch);
  if (context.on_gpu()) return gpu::attention_gpu(context, q, kv, block_size, batch, out);
  // A head that does not fit the kernel's stack arrays is rare enough to take the plain form.
  if (context.path() == Path::oracle || head_dim > cpu::kMaxHeadDim)
    cpu::attention_oracle(q, kv, block_size, batch, out);
  else
    cpu::attention_fast(context, q, kv, block_size, batch, out);
}

std::size_t attention_scratch(std::int64_t rows, std::int64_t num_heads, std::int64_t head_dim,
                              std::int64_t max_context, bool gpu) {
  return gpu ? ops::gpu::attention_scratch(rows, num_heads, head_dim)
             : cpu::attention_scratch(rows, num_heads, head_dim, max_context);
}

}  // namespace isotope::ops
