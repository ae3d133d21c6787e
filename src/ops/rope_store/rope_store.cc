#include "ops/rope_store/rope_store.h"

#include "device/cpu/cpu_device.h"
#include "ops/rope_store/rope_store_forms.h"

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
  ISOTOPE_ASSERT(kv.k.dtype == DType::bf16 || !kv.k_scale.empty());
}

}  // namespace

void rope_store(Context& context, const TensorView& qkv, const TensorView& q_norm,
                const TensorView& k_norm, float norm_eps, const RopeSpec& rope, const Batch& batch,
                const TensorView& q_out, const KvLayer& kv) {
  check(qkv, q_norm, k_norm, rope, batch, q_out, kv);
  const auto form = context.path() == Path::oracle ? rope_store_row_oracle : rope_store_row_cpu;
  auto& cpu = static_cast<device::CpuDevice&>(context.device());
  cpu.pool().parallel_for(batch.rows.total, [&](std::int64_t r, int) {
    RopeRow row{&qkv, &q_out, &kv, &rope};
    row.q_norm = q_norm.empty() ? nullptr : q_norm.as<const float>();
    row.k_norm = k_norm.empty() ? nullptr : k_norm.as<const float>();
    row.norm_eps = norm_eps;
    row.row = r;
    row.position = batch.positions.as<const std::int32_t>()[r];
    row.slot = batch.slots.as<const std::int64_t>()[r];
    ISOTOPE_ASSERT(row.slot < kv.k.shape[0]);
    form(row);
  });
}

}  // namespace isotope::ops
