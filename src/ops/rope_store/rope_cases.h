// Test support: cases with answers of their own, which every form of rope_store must give.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "ops/rope_store/rope_testing.h"

namespace isotope::ops::testing {

/// V is quantized without arithmetic before it, so its codes are exactly those of the scalar
/// conversion. Row 0: all codes of the type and halves between them (the scale is 1). Row 1: 40
/// binades. Row 2: zeros.
inline RopeCall magnitudes_call() {
  RopeCall call({.heads = 1, .kv_heads = 1, .dim = 256}, DType::f32, DType::f8_e4m3,
                std::vector<std::int32_t>(3, 1));
  const RopeModel& model = call.model;
  for (std::int64_t row = 0; row < 3; ++row) {
    float* v = call.qkv.data() + row * model.width() + 2 * model.dim;
    for (int i = 0; i < 256; ++i) {
      const float code = to_float(float8_e4m3{std::uint8_t(i / 2 * 2 % 127)});
      const float next = to_float(float8_e4m3{std::uint8_t((i / 2 * 2 + 1) % 127)});
      v[i] = row == 0   ? (i % 2 ? -(code + next) / 2 : code)
             : row == 1 ? std::ldexp(1.3f, -i / 6)
                        : 0.0f;
    }
    if (row == 0) v[3] = 448.0f;
  }
  return call;
}

inline void expect_scalar_conversion(const RopeCall& call, std::string_view what) {
  const RopeModel& model = call.model;
  for (std::int64_t row = 0; row < 3; ++row) {
    const float* v = call.qkv.data() + row * model.width() + 2 * model.dim;
    const std::int64_t slot = call.slots[std::size_t(row)];
    const float scale = row == 1 ? 1.3f / 448.0f : 1.0f;
    EXPECT_EQ(call.v_scale[std::size_t(slot)], scale) << what;
    for (int i = 0; i < 256; ++i)
      EXPECT_EQ(call.v[std::size_t(slot * 256 + i)], to_float8_e4m3(v[i] / scale).bits)
          << what << ' ' << v[i];
  }
}

/// The first row's outputs, which must not depend on the rows behind it.
inline void expect_same_first_row(const RopeCall& one, const RopeCall& all) {
  const std::size_t token = std::size_t(one.model.kv_heads * one.model.dim) * size_of(one.kv_dtype);
  EXPECT_EQ(std::memcmp(one.q_out.data(), all.q_out.data(), one.q_out.size() - 64), 0);
  EXPECT_EQ(std::memcmp(one.k.data() + std::size_t(one.slots[0]) * token,
                        all.k.data() + std::size_t(all.slots[0]) * token, token),
            0);
}

/// A call and what transformers' functions give for it.
struct RopeReference {
  RopeCall call;
  std::vector<double> q, k;  ///< row by row
};

inline std::vector<RopeReference> read_references() {
  std::vector<RopeReference> references;
  const json::value file = parse_json_file(ISOTOPE_TEST_DATA "/ops/rope_store.json");
  for (const json::value& entry : file.as_object().at("cases").as_array()) {
    const JsonFields fields(entry, "rope_store.json");
    RopeModel model{.heads = fields.integer("heads", 1, 99),
                    .kv_heads = fields.integer("kv_heads", 1, 99),
                    .dim = fields.integer("head_dim", 1, 999)};
    model.norm = fields.boolean("norm", false);
    model.attention_factor = float(fields.number("attention_factor", 0, 9));
    model.beta = float(fields.number("beta", 0, 9));
    model.original = fields.integer("original", 1, 1 << 30);
    const auto numbers = [&](const char* name) {
      std::vector<double> all;
      for (const json::value& number : fields.find(name)->as_array())
        all.push_back(number.to_number<double>());
      return all;
    };
    for (const double f : numbers("frequencies")) model.frequencies.push_back(float(f));
    std::vector<std::int32_t> positions;
    for (const double p : numbers("positions")) positions.push_back(std::int32_t(p));
    RopeCall call(model, DType::f32, DType::bf16, positions);
    for (std::size_t r = 0; r < positions.size(); ++r) call.slots[r] = std::int64_t(r);
    references.push_back({std::move(call), numbers("q"), numbers("k")});
  }
  return references;
}

/// transformers takes the angle in FP32: at position p it is off by p·2^-24. Elements are below 4.
inline void expect_reference(const RopeReference& reference) {
  const RopeCall& call = reference.call;
  std::size_t next_q = 0, next_k = 0;
  for (std::size_t r = 0; r < call.positions.size(); ++r) {
    const double limit = 4 * (call.positions[r] + 16) * std::ldexp(1.0, -23);
    for (std::int64_t i = 0; i < call.model.heads * call.model.dim; ++i)
      ASSERT_NEAR(call.q_value(std::int64_t(r), 0, i), reference.q[next_q++], limit) << i;
    for (std::int64_t i = 0; i < call.model.kv_heads * call.model.dim; ++i) {
      const double want = reference.k[next_k++];
      ASSERT_NEAR(call.cached(call.k, call.k_scale, std::int64_t(r), 0, i), want,
                  limit + std::ldexp(std::fabs(want), -8))
          << i;
    }
  }
}

}  // namespace isotope::ops::testing
