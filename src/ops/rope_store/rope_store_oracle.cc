// QK-norm, RoPE and the cache write by their definition, in double.
#include <cmath>
#include <limits>
#include <vector>

#include "ops/rope_store/rope_store_forms.h"

namespace isotope::ops {
namespace {

std::vector<double> load_head(const RopeRow& row, std::int64_t head) {
  const std::int64_t size = row.rope->head_dim;
  const std::int64_t begin = row.row * row.qkv->row_stride + head * size;
  std::vector<double> values;
  for (std::int64_t i = 0; i < size; ++i) values.push_back(load_float(*row.qkv, begin + i));
  return values;
}

void norm(std::vector<double>& x, const float* weight, double eps) {
  if (!weight) return;
  double squares = 0;
  for (const double value : x) squares += value * value;
  const double scale = 1 / std::sqrt(squares / double(x.size()) + eps);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= scale * double(weight[i]);
}

void rotate(std::vector<double>& x, const RopeRow& row) {
  const std::size_t half = x.size() / 2;
  for (std::size_t i = 0; i < half; ++i) {
    const double frequency = row.frequencies[i];
    const double angle = double(row.position) * frequency;
    const double c = std::cos(angle) * row.rope->attention_factor;
    const double s = std::sin(angle) * row.rope->attention_factor;
    const double a = x[i], b = x[i + half];
    x[i] = a * c - b * s;
    x[i + half] = b * c + a * s;
  }
}

void store(const std::vector<double>& x, const TensorView& cache, const TensorView& scales,
           std::int64_t vector) {
  const std::int64_t size = std::int64_t(x.size());
  if (cache.dtype == DType::bf16) {
    for (std::int64_t i = 0; i < size; ++i)
      cache.as<bfloat16>()[vector * size + i] = to_bfloat16(float(x[std::size_t(i)]));
    return;
  }
  float largest = 0;
  bool finite = true;
  for (const double value : x) {
    largest = std::fmax(largest, float(std::fabs(value)));
    finite = finite && std::isfinite(value);
  }
  const float scale = !finite        ? std::numeric_limits<float>::quiet_NaN()
                      : largest == 0 ? 1.0f
                                     : largest / 448.0f;
  scales.as<float>()[vector] = scale;
  for (std::int64_t i = 0; i < size; ++i)
    cache.as<float8_e4m3>()[vector * size + i] = to_float8_e4m3(float(x[std::size_t(i)]) / scale);
}

}  // namespace

void rope_store_row_oracle(const RopeRow& row) {
  const RopeSpec& rope = *row.rope;
  for (std::int64_t head = 0; head < rope.num_heads; ++head) {
    std::vector<double> q = load_head(row, head);
    norm(q, row.q_norm, row.norm_eps);
    rotate(q, row);
    const std::int64_t begin = row.row * row.q_out->row_stride + head * rope.head_dim;
    for (std::int64_t i = 0; i < rope.head_dim; ++i) {
      const float value = float(q[std::size_t(i)] * row.query_scale);
      if (row.q_out->dtype == DType::f32)
        row.q_out->as<float>()[begin + i] = value;
      else
        row.q_out->as<bfloat16>()[begin + i] = to_bfloat16(value);
    }
  }
  if (row.slot < 0) return;
  for (std::int64_t head = 0; head < rope.num_kv_heads; ++head) {
    std::vector<double> k = load_head(row, rope.num_heads + head);
    norm(k, row.k_norm, row.norm_eps);
    rotate(k, row);
    const std::int64_t vector = row.slot * rope.num_kv_heads + head;
    store(k, row.kv->k, row.kv->k_scale, vector);
    store(load_head(row, rope.num_heads + rope.num_kv_heads + head), row.kv->v, row.kv->v_scale,
          vector);
  }
}

}  // namespace isotope::ops
