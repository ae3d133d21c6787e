#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/attention/attention_cpu.h"

namespace isotope::ops::cpu {
namespace {

/// Element d of the key or value of one head in one slot.
float element(const TensorView& cache, const TensorView& scales, std::int64_t slot,
              std::int64_t head, std::int64_t d) {
  const std::int64_t heads = cache.shape[1], dim = cache.shape[2];
  const float raw = load_float(cache, (slot * heads + head) * dim + d);
  return scales.empty() ? raw : raw * load_float(scales, slot * heads + head);
}

void store_float(const TensorView& out, std::int64_t row, std::int64_t i, float value) {
  if (out.dtype == DType::f32)
    out.row<float>(row)[i] = value;
  else
    out.row<bfloat16>(row)[i] = to_bfloat16(value);
}

float query_element(const TensorView& q, std::int64_t row, std::int64_t i) {
  return q.dtype == DType::f32 ? q.row<const float>(row)[i]
                               : to_float(q.row<const bfloat16>(row)[i]);
}

/// Slots of the keys at positions 0 … position of the row's sequence.
std::vector<std::int64_t> context_slots(const Batch& batch, std::int64_t row,
                                        std::int64_t block_size) {
  const std::int64_t seq = batch.row_seq.as<const std::int32_t>()[row];
  if (batch.context_lens.as<const std::int32_t>()[seq] == 0) return {};
  const std::int32_t* table = batch.block_tables.row<const std::int32_t>(seq);
  std::vector<std::int64_t> slots;
  for (std::int64_t p = 0; p <= batch.positions.as<const std::int32_t>()[row]; ++p)
    slots.push_back(table[p / block_size] * block_size + p % block_size);
  return slots;
}

}  // namespace

void attention_oracle(const TensorView& q, const KvLayer& kv, std::int64_t block_size,
                      const Batch& batch, const TensorView& out) {
  const std::int64_t heads = q.shape[1], dim = q.shape[2], group = heads / kv.k.shape[1];
  for (std::int64_t row = 0; row < batch.rows.total; ++row) {
    const std::vector<std::int64_t> slots = context_slots(batch, row, block_size);
    for (std::int64_t head = 0; head < heads; ++head) {
      std::vector<float> p(slots.size());
      for (std::size_t i = 0; i < slots.size(); ++i) {
        for (std::int64_t d = 0; d < dim; ++d)
          p[i] += query_element(q, row, head * dim + d) *
                  element(kv.k, kv.k_scale, slots[i], head / group, d);
        p[i] /= std::sqrt(float(dim));
      }
      const float top = p.empty() ? 0.0f : *std::max_element(p.begin(), p.end());
      float sum = 0.0f;
      for (float& value : p) sum += value = std::exp(value - top);
      for (std::int64_t d = 0; d < dim; ++d) {
        float total = 0.0f;
        for (std::size_t i = 0; i < slots.size(); ++i)
          total += p[i] * element(kv.v, kv.v_scale, slots[i], head / group, d);
        store_float(out, row, head * dim + d, slots.empty() ? 0.0f : total / sum);
      }
    }
  }
}

}  // namespace isotope::ops::cpu
