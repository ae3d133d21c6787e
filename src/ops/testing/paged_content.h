// Test support: what the sequences of a paged batch hold, and attention over it by definition.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "ops/kv_cache.h"
#include "ops/testing/noise.h"
#include "ops/testing/paged_batch.h"

namespace isotope::ops::testing {

struct Heads {
  std::int64_t num = 4, kv = 2, dim = 16;
};

/// The sequences' keys, values and queries as functions of (sequence, position, head, element).
struct Content {
  Heads heads;
  DType kv_dtype = DType::bf16;

  std::uint32_t index(std::int64_t position, std::int64_t head, std::int64_t n,
                      std::int64_t d) const {
    return std::uint32_t((position * n + head) * heads.dim + d);
  }
  float q(std::int64_t seq, std::int64_t p, std::int64_t h, std::int64_t d) const {
    return 2.0f * noise(std::uint32_t(3 * seq), index(p, h, heads.num, d));
  }
  float k(std::int64_t seq, std::int64_t p, std::int64_t h, std::int64_t d) const {
    return stored(noise(std::uint32_t(3 * seq + 1), index(p, h, heads.kv, d)), scale(p, h));
  }
  float v(std::int64_t seq, std::int64_t p, std::int64_t h, std::int64_t d) const {
    return stored(noise(std::uint32_t(3 * seq + 2), index(p, h, heads.kv, d)), scale(p, h + 1));
  }
  /// FP8 only: a different power-free factor for every token and head.
  static float scale(std::int64_t p, std::int64_t h) {
    return 0.002f + 0.0001f * float((p * 7 + h * 3) % 11);
  }
  static float8_e4m3 code(float value, float scale) { return to_float8_e4m3(value / scale); }
  float stored(float value, float s) const {
    return kv_dtype == DType::bf16 ? value : to_float(code(value, s)) * s;
  }
};

/// A layer of the cache filled with what the sequences have; NaN wherever nobody stored.
struct Cache {
  std::vector<std::uint16_t> k16, v16;
  std::vector<std::uint8_t> k8, v8;
  std::vector<float> k_scale, v_scale;
  KvLayer layer;

  Cache(const Content& content, const PagedBatch& batch) {
    const std::int64_t heads = content.heads.kv, dim = content.heads.dim, slots = batch.num_slots();
    const std::size_t size = std::size_t(slots * heads * dim);
    const Shape values{slots, heads, dim}, scales{slots, heads};
    const float nan = std::numeric_limits<float>::quiet_NaN();
    if (content.kv_dtype == DType::bf16) {
      k16.assign(size, 0x7fc0);
      v16.assign(size, 0x7fc0);
      layer.k = TensorView(DType::bf16, values, k16.data());
      layer.v = TensorView(DType::bf16, values, v16.data());
    } else {
      k8.assign(size, 0x7f);
      v8.assign(size, 0x7f);
      k_scale.assign(std::size_t(slots * heads), nan);
      v_scale = k_scale;
      layer.k = TensorView(DType::f8_e4m3, values, k8.data());
      layer.v = TensorView(DType::f8_e4m3, values, v8.data());
      layer.k_scale = TensorView(DType::f32, scales, k_scale.data());
      layer.v_scale = TensorView(DType::f32, scales, v_scale.data());
    }
    for (std::int64_t seq = 0; seq < batch.batch.num_seqs; ++seq) {
      for (std::int64_t p = 0; p < batch.context_lens[std::size_t(seq)]; ++p)
        for (std::int64_t h = 0; h < heads; ++h)
          fill(content, seq, p, h, batch.slot(seq, p) * heads + h);
    }
  }

  void fill(const Content& content, std::int64_t seq, std::int64_t p, std::int64_t h,
            std::int64_t head) {
    const std::int64_t dim = content.heads.dim;
    if (!k8.empty()) {
      k_scale[std::size_t(head)] = Content::scale(p, h);
      v_scale[std::size_t(head)] = Content::scale(p, h + 1);
    }
    for (std::int64_t d = 0; d < dim; ++d) {
      const std::size_t i = std::size_t(head * dim + d);
      const float k = content.k(seq, p, h, d), v = content.v(seq, p, h, d);
      if (k8.empty()) {
        k16[i] = to_bfloat16(k).bits;
        v16[i] = to_bfloat16(v).bits;
      } else {
        k8[i] = Content::code(k, Content::scale(p, h)).bits;
        v8[i] = Content::code(v, Content::scale(p, h + 1)).bits;
      }
    }
  }
};

/// The definition in double precision, on dense arrays.
inline std::vector<double> definition(const Content& content, std::int64_t seq,
                                      std::int64_t position) {
  const Heads& heads = content.heads;
  std::vector<double> out;
  for (std::int64_t h = 0; h < heads.num; ++h) {
    const std::int64_t kv_head = h / (heads.num / heads.kv);
    std::vector<double> total(std::size_t(heads.dim), 0.0);
    double sum = 0;
    for (std::int64_t p = 0; p <= position; ++p) {
      double s = 0;
      for (std::int64_t d = 0; d < heads.dim; ++d)
        s += double(content.q(seq, position, h, d)) * double(content.k(seq, p, kv_head, d));
      const double e = std::exp(s / std::sqrt(double(heads.dim)));  // |s| is far below overflow
      sum += e;
      for (std::int64_t d = 0; d < heads.dim; ++d)
        total[std::size_t(d)] += e * double(content.v(seq, p, kv_head, d));
    }
    for (double x : total) out.push_back(x / sum);
  }
  return out;
}

}  // namespace isotope::ops::testing
