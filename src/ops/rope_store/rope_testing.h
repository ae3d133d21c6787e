// Test support: one call of rope_store over scattered slots, and what it must give.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ops/rope_store/rope_store.h"
#include "ops/testing/noise.h"
#include "ops/testing/paged_batch.h"

namespace isotope::ops::testing {

struct RopeModel {
  std::int64_t heads = 4, kv_heads = 2, dim = 16;
  bool norm = false;
  float attention_factor = 1.0f;
  float beta = 0.0f;
  std::int64_t original = 1;
  std::vector<float> frequencies;  ///< empty: theta 10000
  float eps = 1e-6f;

  std::int64_t width() const { return (heads + 2 * kv_heads) * dim; }
  float frequency(std::int64_t i) const {
    if (!frequencies.empty()) return frequencies[std::size_t(i)];
    return float(std::pow(10000.0, -2.0 * double(i) / double(dim)));
  }
  static float weight(std::uint32_t stream, std::int64_t d) {
    return 1.0f + 0.5f * noise(stream, std::uint32_t(d));
  }
};

/// The inputs and outputs of one call over scattered slots; every buffer has a guard behind it.
struct RopeCall {
  static constexpr std::uint8_t kUntouched = 0xa5;
  RopeModel model;
  DType dtype = DType::f32, kv_dtype = DType::bf16;
  std::vector<std::int32_t> positions;
  std::vector<std::int64_t> slots;
  std::int64_t num_slots = 0;
  std::vector<float> qkv, q_norm, k_norm, frequencies;
  std::vector<bfloat16> qkv16;
  std::vector<std::uint8_t> q_out, k, v;
  std::vector<float> k_scale, v_scale;

  RopeCall(RopeModel model_, DType dtype_, DType kv_dtype_, std::vector<std::int32_t> positions_)
      : model(std::move(model_)),
        dtype(dtype_),
        kv_dtype(kv_dtype_),
        positions(std::move(positions_)) {
    const std::int64_t rows = std::int64_t(positions.size());
    num_slots = 2 * rows + 1;
    for (std::int64_t r = 0; r < rows; ++r) slots.push_back(r % 4 == 3 ? -1 : 2 * (rows - r) - 1);
    for (std::int64_t i = 0; i < rows * model.width(); ++i) {
      qkv.push_back(2 * noise(5, std::uint32_t(i)));
      qkv16.push_back(to_bfloat16(qkv.back()));
    }
    for (std::int64_t d = 0; d < model.dim; ++d) {
      q_norm.push_back(RopeModel::weight(6, d));
      k_norm.push_back(RopeModel::weight(7, d));
    }
    for (std::int64_t i = 0; i < model.dim / 2; ++i) frequencies.push_back(model.frequency(i));
    const std::size_t vectors = std::size_t(num_slots * model.kv_heads),
                      size = vectors * std::size_t(model.dim);
    q_out.assign(std::size_t(rows * model.heads * model.dim) * size_of(dtype) + 64, kUntouched);
    k.assign(size * size_of(kv_dtype) + 64, kUntouched);
    v = k;
    k_scale.assign(vectors, -5.0f);
    v_scale = k_scale;
  }

  /// The arguments of the call, in the memory of this object.
  struct Arguments {
    TensorView qkv, q_norm, k_norm, q_out;
    RopeSpec rope;
    Batch batch;
    KvLayer kv;
  };
  Arguments arguments() {
    const std::int64_t rows = std::int64_t(positions.size());
    Arguments a;
    a.batch.rows.total = rows;
    a.batch.positions = TensorView(DType::i32, Shape{rows}, positions.data());
    a.batch.slots = TensorView(DType::i64, Shape{rows}, slots.data());
    a.rope = {.num_heads = model.heads, .num_kv_heads = model.kv_heads, .head_dim = model.dim};
    a.rope.inverse_frequencies = TensorView(DType::f32, Shape{model.dim / 2}, frequencies.data());
    a.rope.attention_factor = model.attention_factor;
    a.rope.query_scale_beta = model.beta;
    a.rope.query_scale_original_max_position = model.original;
    const Shape cache{num_slots, model.kv_heads, model.dim}, scales{num_slots, model.kv_heads};
    a.kv.k = TensorView(kv_dtype, cache, k.data());
    a.kv.v = TensorView(kv_dtype, cache, v.data());
    if (kv_dtype == DType::f8_e4m3) {
      a.kv.k_scale = TensorView(DType::f32, scales, k_scale.data());
      a.kv.v_scale = TensorView(DType::f32, scales, v_scale.data());
    }
    if (model.norm) {
      a.q_norm = TensorView(DType::f32, Shape{model.dim}, q_norm.data());
      a.k_norm = TensorView(DType::f32, Shape{model.dim}, k_norm.data());
    }
    const void* input = dtype == DType::f32 ? (const void*)qkv.data() : (const void*)qkv16.data();
    a.qkv = TensorView(dtype, Shape{rows, model.width()}, input);
    a.q_out = TensorView(dtype, Shape{rows, model.heads, model.dim}, q_out.data());
    return a;
  }

  void run(device::Isa isa, int threads) {
    device::CpuDevice device(threads, isa);
    Context context(device, 0);
    const Arguments a = arguments();
    rope_store(context, a.qkv, a.q_norm, a.k_norm, model.eps, a.rope, a.batch, a.q_out, a.kv);
  }

  float q_value(std::int64_t row, std::int64_t head, std::int64_t d) const {
    return load_float(TensorView(dtype, Shape{1 << 30}, q_out.data()),
                      (row * model.heads + head) * model.dim + d);
  }
  float cached(const std::vector<std::uint8_t>& cache, const std::vector<float>& scale,
               std::int64_t slot, std::int64_t head, std::int64_t d) const {
    const std::int64_t vector = slot * model.kv_heads + head;
    const float raw =
        load_float(TensorView(kv_dtype, Shape{1 << 30}, cache.data()), vector * model.dim + d);
    return kv_dtype == DType::bf16 ? raw : raw * scale[std::size_t(vector)];
  }

  /// Head `head` of the row (q, then k, then v) by definition, in extended precision.
  std::vector<double> want(std::int64_t row, std::int64_t head) const {
    std::vector<double> x, y;
    for (std::int64_t d = 0; d < model.dim; ++d)
      x.push_back(double(qkv[std::size_t(row * model.width() + head * model.dim + d)]));
    if (head >= model.heads + model.kv_heads) return x;
    if (model.norm) {
      long double squares = 0;
      for (double value : x) squares += value * value;
      const long double root = std::sqrt(squares / (long double)model.dim + (long double)model.eps);
      for (std::int64_t d = 0; d < model.dim; ++d)
        x[std::size_t(d)] =
            double(x[std::size_t(d)] / root * RopeModel::weight(head < model.heads ? 6 : 7, d));
    }
    const std::int32_t p = positions[std::size_t(row)];
    const std::int64_t half = model.dim / 2;
    y.resize(x.size());
    const double scale =
        head < model.heads
            ? 1 + double(model.beta) * std::log(1 + std::floor(double(p) / double(model.original)))
            : 1;
    for (std::int64_t i = 0; i < half; ++i) {
      const long double angle = (long double)p * (long double)frequencies[std::size_t(i)];
      const double c = double(std::cos(angle)) * double(model.attention_factor) * scale;
      const double s = double(std::sin(angle)) * double(model.attention_factor) * scale;
      const double a = x[std::size_t(i)], b = x[std::size_t(i + half)];
      y[std::size_t(i)] = a * c - b * s;
      y[std::size_t(i + half)] = b * c + a * s;
    }
    return y;
  }
};

/// FP32 error of a rotated element whose pair has magnitude `pair`: cos and sin are within 2^-23,
/// which the factor and three roundings make 2^-21; the norm's sum adds D/8 + 8 roundings. BF16 has
/// 8 significant bits; E4M3 has 4, or steps of 2^-9 of its scale.
inline double rope_tolerance(const RopeCall& call, double pair, DType dtype, double want,
                             double scale) {
  const double norm = call.model.norm ? (double(call.model.dim) / 8 + 8) * std::ldexp(1.0, -24) : 0;
  double limit = pair * (std::ldexp(1.0, -21) + norm);
  if (dtype == DType::bf16) limit += std::ldexp(std::fabs(want), -8);
  if (dtype == DType::f8_e4m3)
    limit += std::ldexp(std::fabs(want), -4) * 1.0001 + scale * std::ldexp(1.0, -10);
  return limit;
}

inline void expect_definition(const RopeCall& call, const char* what) {
  const RopeModel& model = call.model;
  const std::int64_t half = model.dim / 2;
  for (std::int64_t row = 0; row < std::int64_t(call.positions.size()); ++row) {
    const std::int64_t slot = call.slots[std::size_t(row)];
    for (std::int64_t head = 0; head < model.heads + 2 * model.kv_heads; ++head) {
      const std::vector<double> want = call.want(row, head);
      const bool is_q = head < model.heads, is_k = !is_q && head < model.heads + model.kv_heads;
      if (!is_q && slot < 0) continue;
      const std::int64_t kv_head = is_q ? 0 : (head - model.heads) % model.kv_heads;
      double largest = 0;
      for (double value : want) largest = std::max(largest, std::fabs(value));
      for (std::int64_t d = 0; d < model.dim; ++d) {
        const double value = want[std::size_t(d)];
        const double pair = std::hypot(value, want[std::size_t(d < half ? d + half : d - half)]);
        const DType dtype = is_q ? call.dtype : call.kv_dtype;
        const float got = is_q   ? call.q_value(row, head, d)
                          : is_k ? call.cached(call.k, call.k_scale, slot, kv_head, d)
                                 : call.cached(call.v, call.v_scale, slot, kv_head, d);
        ASSERT_NEAR(got, value, rope_tolerance(call, pair, dtype, value, largest / 448))
            << what << " head " << head << " of " << model.dim << ", element " << d << ", position "
            << call.positions[std::size_t(row)];
      }
    }
  }
}

/// Guards, and slots that no row names, still hold what they held.
inline void expect_untouched(const RopeCall& call) {
  const std::size_t token =
      std::size_t(call.model.kv_heads * call.model.dim) * size_of(call.kv_dtype);
  for (std::int64_t slot = 0; slot < call.num_slots + 1; ++slot) {
    if (std::find(call.slots.begin(), call.slots.end(), slot) != call.slots.end()) continue;
    const std::size_t begin = std::size_t(slot) * token,
                      end = std::min(begin + token, call.k.size());
    for (std::size_t i = begin; i < end; ++i) {
      ASSERT_EQ(call.k[i], RopeCall::kUntouched) << "slot " << slot;
      ASSERT_EQ(call.v[i], RopeCall::kUntouched) << "slot " << slot;
    }
    for (std::int64_t head = 0; slot < call.num_slots && head < call.model.kv_heads; ++head)
      ASSERT_EQ(call.k_scale[std::size_t(slot * call.model.kv_heads + head)], -5.0f);
  }
  for (std::size_t i = call.q_out.size() - 64; i < call.q_out.size(); ++i)
    ASSERT_EQ(call.q_out[i], RopeCall::kUntouched);
}

inline const std::vector<std::int32_t> kPositions = {0, 1, 77, 0, 4095, 16384, 131071, 5, 262143};

}  // namespace isotope::ops::testing
