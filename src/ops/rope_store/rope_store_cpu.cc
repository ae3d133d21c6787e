// One row in one pass: each head is loaded into a small array, normed, rotated and written where it
// belongs. The loops are plain: per token and layer this touches a few thousand values, beside
// millions of weights.
#include <algorithm>
#include <array>
#include <cmath>

#include "ops/rope_store/rope_store_forms.h"

namespace isotope::ops {
namespace {

constexpr std::size_t kMax = std::size_t(kMaxRopeHeadDim);

/// cos and sin of a row's angles, shared by its heads. The angle is a product in double: in FP32 a
/// position of 2^18 would lose the last two digits of the rotation.
struct Rotation {
  std::array<float, kMax / 2> cosine, sine;

  explicit Rotation(const RopeRow& row) {
    const float* frequencies = row.rope->inverse_frequencies.as<const float>();
    const double factor = row.rope->attention_factor;
    for (std::int64_t i = 0; i < row.rope->head_dim / 2; ++i) {
      const double angle = double(row.position) * double(frequencies[i]);
      cosine[std::size_t(i)] = float(std::cos(angle) * factor);
      sine[std::size_t(i)] = float(std::sin(angle) * factor);
    }
  }
};

void load(const TensorView& tensor, std::int64_t begin, std::int64_t size, float* out) {
  if (tensor.dtype == DType::f32) {
    std::copy_n(tensor.as<const float>() + begin, size, out);
    return;
  }
  const bfloat16* source = tensor.as<const bfloat16>() + begin;
  for (std::int64_t i = 0; i < size; ++i) out[i] = to_float(source[i]);
}

void norm(float* x, const float* weight, float eps, std::int64_t size) {
  if (!weight) return;
  double squares = 0;
  for (std::int64_t i = 0; i < size; ++i) squares += double(x[i]) * double(x[i]);
  const float scale = float(1 / std::sqrt(squares / double(size) + double(eps)));
  for (std::int64_t i = 0; i < size; ++i) x[i] *= scale * weight[i];
}

void rotate(float* x, const Rotation& rotation, std::int64_t half) {
  for (std::int64_t i = 0; i < half; ++i) {
    const float c = rotation.cosine[std::size_t(i)], s = rotation.sine[std::size_t(i)];
    const float a = x[i], b = x[i + half];
    x[i] = a * c - b * s;
    x[i + half] = b * c + a * s;
  }
}

float query_scale(const RopeRow& row) {
  if (row.rope->query_scale_beta == 0) return 1.0f;
  const std::int64_t periods = row.position / row.rope->query_scale_original_max_position;
  return float(1 + double(row.rope->query_scale_beta) * std::log1p(double(periods)));
}

void write(const float* x, std::int64_t size, const TensorView& tensor, std::int64_t begin) {
  if (tensor.dtype == DType::f32) {
    std::copy_n(x, size, tensor.as<float>() + begin);
    return;
  }
  bfloat16* target = tensor.as<bfloat16>() + begin;
  for (std::int64_t i = 0; i < size; ++i) target[i] = to_bfloat16(x[i]);
}

/// K or V of one head into its slot; `vector` counts (slot, head) pairs.
void store(const float* x, std::int64_t size, const TensorView& cache, const TensorView& scales,
           std::int64_t vector) {
  if (cache.dtype == DType::bf16) return write(x, size, cache, vector * size);
  float largest = 0;
  for (std::int64_t i = 0; i < size; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float scale = largest == 0 ? 1.0f : largest / 448.0f;
  scales.as<float>()[vector] = scale;
  float8_e4m3* target = cache.as<float8_e4m3>() + vector * size;
  for (std::int64_t i = 0; i < size; ++i) target[i] = to_float8_e4m3(x[i] / scale);
}

}  // namespace

void rope_store_row_cpu(const RopeRow& row) {
  const RopeSpec& rope = *row.rope;
  const std::int64_t size = rope.head_dim, half = size / 2;
  const std::int64_t begin = row.row * row.qkv->row_stride;
  const Rotation rotation(row);
  const float scale = query_scale(row);
  alignas(64) std::array<float, kMax> x;
  for (std::int64_t head = 0; head < rope.num_heads; ++head) {
    load(*row.qkv, begin + head * size, size, x.data());
    norm(x.data(), row.q_norm, row.norm_eps, size);
    rotate(x.data(), rotation, half);
    if (scale != 1.0f)
      for (std::int64_t i = 0; i < size; ++i) x[std::size_t(i)] *= scale;
    write(x.data(), size, *row.q_out, row.row * row.q_out->row_stride + head * size);
  }
  if (row.slot < 0) return;
  for (std::int64_t head = 0; head < rope.num_kv_heads; ++head) {
    const std::int64_t vector = row.slot * rope.num_kv_heads + head;
    load(*row.qkv, begin + (rope.num_heads + head) * size, size, x.data());
    norm(x.data(), row.k_norm, row.norm_eps, size);
    rotate(x.data(), rotation, half);
    store(x.data(), size, row.kv->k, row.kv->k_scale, vector);
    load(*row.qkv, begin + (rope.num_heads + rope.num_kv_heads + head) * size, size, x.data());
    store(x.data(), size, row.kv->v, row.kv->v_scale, vector);
  }
}

}  // namespace isotope::ops
