#include "ops/rope_store/rope_store.h"

#include <cmath>

#include "device/cpu/cpu_device.h"
#include "ops/rope_store/rope_store_forms.h"
#include "ops/rope_store/rope_store_gpu.h"

namespace isotope::ops {
namespace {

void check(const TensorView& qkv, const TensorView& q_norm, const TensorView& k_norm,
           const RopeSpec& rope, const Batch& batch, const TensorView& q_out, const KvLayer& kv) {
  const std::int64_t rows = batch.rows.total;
  ISOTOPE_ASSERT(rope.head_dim > 0 && rope.head_dim % 2 == 0 && rope.head_dim <= kMaxRopeHeadDim);
  ISOTOPE_ASSERT(qkv.shape ==
                 Shape({rows, (rope.num_heads + 2 * rope.num_kv_heads) * rope.head_dim}));
  ISOTOPE_ASSERT(q_out.shape == Shape({rows, rope.num_heads, rope.head_dim}));
  ISOTOPE_ASSERT(qkv.dtype == q_out.dtype);
  ISOTOPE_ASSERT(rope.inverse_frequencies.shape == Shape({rope.head_dim / 2}));
  for (const TensorView* norm : {&q_norm, &k_norm})
    ISOTOPE_ASSERT(norm->empty() || norm->shape == Shape({rope.head_dim}));
  ISOTOPE_ASSERT(kv.k.shape[1] == rope.num_kv_heads && kv.k.shape[2] == rope.head_dim);
  ISOTOPE_ASSERT(kv.v.shape == kv.k.shape && kv.v.dtype == kv.k.dtype);
  ISOTOPE_ASSERT(kv.k.dtype == DType::bf16 || kv.k.dtype == DType::f8_e4m3);
  ISOTOPE_ASSERT((kv.k.dtype == DType::bf16) == kv.k_scale.empty());
  ISOTOPE_ASSERT(qkv.dtype == DType::f32 || qkv.dtype == DType::bf16);
  ISOTOPE_ASSERT(rope.query_scale_original_max_position > 0);
  ISOTOPE_ASSERT(batch.positions.shape[0] >= rows && batch.slots.shape[0] >= rows);
}

using RowForm = void (*)(const RopeRow&);

RowForm form_of(const Context& context, device::Isa isa) {
  if (context.path() == Path::oracle) return rope_store_row_oracle;
  return isa >= device::Isa::avx512 ? rope_store_row_avx512 : rope_store_row_avx2;
}

float query_scale(const RopeSpec& rope, std::int64_t position) {
  if (rope.query_scale_beta == 0) return 1.0f;
  const std::int64_t periods = position / rope.query_scale_original_max_position;
  return float(1 + double(rope.query_scale_beta) * std::log1p(double(periods)));
}

}  // namespace

void rope_store(Context& context, const TensorView& qkv, const TensorView& q_norm,
                const TensorView& k_norm, float norm_eps, const RopeSpec& rope, const Batch& batch,
                const TensorView& q_out, const KvLayer& kv) {
  check(qkv, q_norm, k_norm, rope, batch, q_out, kv);
  if (context.on_gpu())
    return gpu::rope_store_gpu(context, qkv, q_norm, k_norm, norm_eps, rope, batch, q_out, kv);
  auto& cpu = static_cast<device::CpuDevice&>(context.device());
  const RowForm form = form_of(context, cpu.isa());
  RopeRow common{.qkv = &qkv, .q_out = &q_out, .kv = &kv, .rope = &rope};
  common.frequencies = rope.inverse_frequencies.as<const float>();
  common.q_norm = q_norm.empty() ? nullptr : q_norm.as<const float>();
  common.k_norm = k_norm.empty() ? nullptr : k_norm.as<const float>();
  common.norm_eps = norm_eps;
  cpu.pool().parallel_for(batch.rows.total, [&](std::int64_t r, int) {
    RopeRow row = common;
    row.row = r;
    row.position = batch.positions.as<const std::int32_t>()[r];
    row.slot = batch.slots.as<const std::int64_t>()[r];
    row.query_scale = query_scale(rope, row.position);
    ISOTOPE_ASSERT(row.slot < kv.k.shape[0]);
    form(row);
  });
}

}  // namespace isotope::ops
