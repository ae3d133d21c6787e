#include "ops/rope_store/rope_store.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/json.h"
#include "ops/rope_store/rope_testing.h"

namespace isotope::ops {
namespace {

using device::Isa;
using testing::expect_definition;
using testing::expect_untouched;
using testing::kPositions;
using Model = testing::RopeModel;
using Call = testing::RopeCall;

TEST(RopeStore, AgreesWithTheDefinitionForEveryShapeAndInstructionSet) {
  std::vector<Model> models;
  for (std::int64_t dim : {2, 8, 16, 64, 80, 100, 128, 256}) {
    models.push_back({.heads = 3, .kv_heads = 1, .dim = dim});
    models.push_back({.heads = 9, .kv_heads = 3, .dim = dim, .norm = true});
    models.push_back({.heads = 2,
                      .kv_heads = 2,
                      .dim = dim,
                      .attention_factor = 1.27726f,
                      .beta = 0.1f,
                      .original = 16384});
  }
  for (const Model& model : models) {
    for (DType dtype : {DType::f32, DType::bf16}) {
      for (DType kv_dtype : {DType::bf16, DType::f8_e4m3}) {
        for (Isa isa : testing::usable_isas()) {
          Call call(model, dtype, kv_dtype, kPositions);
          call.run(isa, 2);
          expect_definition(call, name_of(isa).data());
          expect_untouched(call);
        }
      }
    }
  }
}

TEST(RopeStore, ARowGetsTheSameBitsInAnyBatch) {
  const Model model{.heads = 5, .kv_heads = 2, .dim = 80, .norm = true};
  for (Isa isa : testing::usable_isas()) {
    Call all(model, DType::f32, DType::f8_e4m3, kPositions);
    all.run(isa, 3);
    Call one(model, DType::f32, DType::f8_e4m3, {kPositions[0]});
    one.run(isa, 1);
    const std::size_t q_bytes = one.q_out.size() - 64;
    EXPECT_EQ(std::memcmp(one.q_out.data(), all.q_out.data(), q_bytes), 0);
    const std::size_t token = std::size_t(model.kv_heads * model.dim);
    EXPECT_EQ(std::memcmp(one.k.data() + std::size_t(one.slots[0]) * token,
                          all.k.data() + std::size_t(all.slots[0]) * token, token),
              0);
  }
}

/// V is quantized without arithmetic before it, so codes are those of the scalar conversion
/// exactly.
TEST(RopeStore, QuantizesEveryMagnitudeAsTheScalarConversion) {
  const Model model{.heads = 1, .kv_heads = 1, .dim = 256};
  for (Isa isa : testing::usable_isas()) {
    Call call(model, DType::f32, DType::f8_e4m3, std::vector<std::int32_t>(3, 1));
    for (std::int64_t row = 0; row < 3; ++row) {
      float* v = call.qkv.data() + row * model.width() + 2 * model.dim;
      for (int i = 0; i < 256; ++i) {
        // Row 0: all codes of the type and halves between them (the scale is 1). Row 1: 40 binades.
        // Row 2: zeros.
        const float code = to_float(float8_e4m3{std::uint8_t(i / 2 * 2 % 127)});
        const float next = to_float(float8_e4m3{std::uint8_t((i / 2 * 2 + 1) % 127)});
        v[i] = row == 0   ? (i % 2 ? -(code + next) / 2 : code)
               : row == 1 ? std::ldexp(1.3f, -i / 6)
                          : 0.0f;
      }
      if (row == 0) v[3] = 448.0f;
    }
    call.run(isa, 1);
    for (std::int64_t row = 0; row < 3; ++row) {
      const float* v = call.qkv.data() + row * model.width() + 2 * model.dim;
      const std::int64_t slot = call.slots[std::size_t(row)];
      const float scale = row == 0 ? 1.0f : row == 1 ? 1.3f / 448.0f : 1.0f;
      EXPECT_EQ(call.v_scale[std::size_t(slot)], scale);
      for (int i = 0; i < 256; ++i)
        EXPECT_EQ(call.v[std::size_t(slot * 256 + i)], to_float8_e4m3(v[i] / scale).bits)
            << name_of(isa) << ' ' << v[i];
    }
  }
}

TEST(RopeStore, AnElementThatIsNotFiniteSpoilsItsScaleOnly) {
  const Model model{.heads = 1, .kv_heads = 2, .dim = 64};
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (Isa isa : testing::usable_isas()) {
      Call call(model, DType::f32, DType::f8_e4m3, {3});
      call.qkv[std::size_t(model.dim + 17)] = bad;  // first K head
      call.run(isa, 1);
      const std::size_t first = std::size_t(call.slots[0] * 2);
      EXPECT_TRUE(std::isnan(call.k_scale[first]));
      EXPECT_TRUE(std::isfinite(call.k_scale[first + 1]));
      EXPECT_TRUE(std::isfinite(call.v_scale[first]));
    }
  }
}

TEST(RopeStore, AgreesWithTransformers) {
  const json::value file = parse_json_file(ISOTOPE_TEST_DATA "/ops/rope_store.json");
  for (const json::value& entry : file.as_object().at("cases").as_array()) {
    const JsonFields fields(entry, "rope_store.json");
    Model model{.heads = fields.integer("heads", 1, 99),
                .kv_heads = fields.integer("kv_heads", 1, 99),
                .dim = fields.integer("head_dim", 1, 999)};
    model.norm = fields.boolean("norm", false);
    model.attention_factor = float(fields.number("attention_factor", 0, 9));
    model.beta = float(fields.number("beta", 0, 9));
    model.original = fields.integer("original", 1, 1 << 30);
    for (const json::value& f : fields.find("frequencies")->as_array())
      model.frequencies.push_back(float(f.to_number<double>()));
    std::vector<std::int32_t> positions;
    for (const json::value& p : fields.find("positions")->as_array())
      positions.push_back(std::int32_t(p.to_number<int>()));
    for (Isa isa : testing::usable_isas()) {
      Call call(model, DType::f32, DType::bf16, positions);
      for (std::size_t r = 0; r < positions.size(); ++r) call.slots[r] = std::int64_t(r);
      call.run(isa, 2);
      std::size_t next = 0;
      const json::array& q = fields.find("q")->as_array();
      const json::array& k = fields.find("k")->as_array();
      // transformers takes the angle in FP32: at position p it is off by p·2^-24. Elements are
      // below 4.
      for (std::size_t r = 0; r < positions.size(); ++r) {
        const double limit = 4 * (positions[r] + 16) * std::ldexp(1.0, -23);
        for (std::int64_t i = 0; i < model.heads * model.dim; ++i, ++next)
          ASSERT_NEAR(call.q_value(std::int64_t(r), 0, i), q[next].to_number<double>(), limit) << i;
      }
      next = 0;
      for (std::size_t r = 0; r < positions.size(); ++r) {
        for (std::int64_t i = 0; i < model.kv_heads * model.dim; ++i, ++next) {
          const double want = k[next].to_number<double>();
          const double limit =
              4 * (positions[r] + 16) * std::ldexp(1.0, -23) + std::ldexp(std::fabs(want), -8);
          ASSERT_NEAR(call.cached(call.k, call.k_scale, std::int64_t(r), 0, i), want, limit) << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace isotope::ops
