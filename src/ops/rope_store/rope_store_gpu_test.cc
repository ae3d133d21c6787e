#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/json.h"
#include "ops/rope_store/rope_testing.h"
#include "ops/testing/gpu_batch.h"

namespace isotope::ops {
namespace {

using testing::expect_definition;
using testing::expect_untouched;
using testing::GpuMachine;
using testing::kPositions;
using Model = testing::RopeModel;
using Call = testing::RopeCall;

/// Runs a call on the GPU, with its outputs as they are before, and brings them back. `padding`
/// elements follow each row of qkv, NaN.
void run(Call& call, std::int64_t padding = 0) {
  GpuMachine machine;
  Call::Arguments a = call.arguments();
  const Call::Arguments host = a;
  const TensorView wide =
      machine.allocate(a.qkv.dtype, Shape{a.qkv.shape[0], a.qkv.shape[1] + padding});
  for (std::int64_t row = 0; row < a.qkv.shape[0]; ++row) {
    const std::size_t bytes = std::size_t(a.qkv.shape[1]) * size_of(a.qkv.dtype);
    const std::size_t stride = std::size_t(wide.row_stride) * size_of(a.qkv.dtype);
    GpuMachine::device().stream().copy_to_device(
        static_cast<std::byte*>(wide.data) + std::size_t(row) * stride,
        static_cast<const std::byte*>(host.qkv.data) + std::size_t(row) * bytes, bytes);
  }
  a.qkv.data = wide.data;
  a.qkv.row_stride = wide.row_stride;
  TensorView* const moved[] = {&a.q_norm,
                               &a.k_norm,
                               &a.rope.inverse_frequencies,
                               &a.batch.positions,
                               &a.batch.slots,
                               &a.q_out,
                               &a.kv.k,
                               &a.kv.v,
                               &a.kv.k_scale,
                               &a.kv.v_scale};
  for (TensorView* tensor : moved)
    if (!tensor->empty()) *tensor = machine.upload(*tensor);
  rope_store(machine.context(), a.qkv, a.q_norm, a.k_norm, call.model.eps, a.rope, a.batch, a.q_out,
             a.kv);
  const auto back = [&machine](const TensorView& from, const TensorView& to) {
    if (from.empty()) return;
    const std::vector<std::byte> bytes = machine.download(from);
    std::memcpy(to.data, bytes.data(), bytes.size());
  };
  back(a.q_out, host.q_out);
  back(a.kv.k, host.kv.k);
  back(a.kv.v, host.kv.v);
  back(a.kv.k_scale, host.kv.k_scale);
  back(a.kv.v_scale, host.kv.v_scale);
  EXPECT_TRUE(machine.intact());
}

TEST(RopeStoreGpu, AgreesWithTheDefinitionForEveryShape) {
  ISOTOPE_REQUIRE_GPU();
  std::vector<Model> models;
  for (const std::int64_t dim : {2, 16, 64, 80, 100, 128, 256, 512}) {
    models.push_back({.heads = 3, .kv_heads = 1, .dim = dim, .norm = dim % 64 == 0});
    models.push_back({.heads = 2,
                      .kv_heads = 2,
                      .dim = dim,
                      .norm = dim % 64 != 0,
                      .attention_factor = 1.27726f,
                      .beta = 0.1f,
                      .original = 16384});
  }
  for (const Model& model : models) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const DType kv_dtype : {DType::bf16, DType::f8_e4m3}) {
        Call call(model, dtype, kv_dtype, kPositions);
        run(call);
        expect_definition(call, "GPU");
        expect_untouched(call);
      }
    }
  }
}

TEST(RopeStoreGpu, RowsMayBeStrided) {
  ISOTOPE_REQUIRE_GPU();
  for (const std::int64_t padding : {1, 16}) {  // with and without whole vectors
    Call call({.heads = 2, .kv_heads = 1, .dim = 64, .norm = true}, DType::bf16, DType::bf16,
              kPositions);
    run(call, padding);
    expect_definition(call, "strided");
  }
}

TEST(RopeStoreGpu, ARowGetsTheSameBitsInAnyBatch) {
  ISOTOPE_REQUIRE_GPU();
  const Model model{.heads = 5, .kv_heads = 2, .dim = 80, .norm = true};
  Call all(model, DType::f32, DType::f8_e4m3, kPositions);
  run(all);
  Call one(model, DType::f32, DType::f8_e4m3, {kPositions[0]});
  run(one);
  EXPECT_EQ(std::memcmp(one.q_out.data(), all.q_out.data(), one.q_out.size() - 64), 0);
  const std::size_t token = std::size_t(model.kv_heads * model.dim);
  EXPECT_EQ(std::memcmp(one.k.data() + std::size_t(one.slots[0]) * token,
                        all.k.data() + std::size_t(all.slots[0]) * token, token),
            0);
}

/// V is quantized without arithmetic before it, so codes are those of the scalar conversion
/// exactly.
TEST(RopeStoreGpu, QuantizesEveryMagnitudeAsTheScalarConversion) {
  ISOTOPE_REQUIRE_GPU();
  const Model model{.heads = 1, .kv_heads = 1, .dim = 256};
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
  run(call);
  for (std::int64_t row = 0; row < 3; ++row) {
    const float* v = call.qkv.data() + row * model.width() + 2 * model.dim;
    const std::int64_t slot = call.slots[std::size_t(row)];
    const float scale = row == 1 ? 1.3f / 448.0f : 1.0f;
    EXPECT_EQ(call.v_scale[std::size_t(slot)], scale);
    for (int i = 0; i < 256; ++i)
      EXPECT_EQ(call.v[std::size_t(slot * 256 + i)], to_float8_e4m3(v[i] / scale).bits) << v[i];
  }
}

TEST(RopeStoreGpu, AnElementThatIsNotFiniteSpoilsItsScaleOnly) {
  ISOTOPE_REQUIRE_GPU();
  const Model model{.heads = 1, .kv_heads = 2, .dim = 64};
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Call call(model, DType::f32, DType::f8_e4m3, {3});
    call.qkv[std::size_t(model.dim + 17)] = bad;  // first K head
    run(call);
    const std::size_t first = std::size_t(call.slots[0] * 2);
    EXPECT_TRUE(std::isnan(call.k_scale[first]));
    EXPECT_TRUE(std::isfinite(call.k_scale[first + 1]));
    EXPECT_TRUE(std::isfinite(call.v_scale[first]));
    for (std::int64_t d = 0; d < model.dim; ++d) EXPECT_TRUE(std::isfinite(call.q_value(0, 0, d)));
  }
}

TEST(RopeStoreGpu, AgreesWithTransformers) {
  ISOTOPE_REQUIRE_GPU();
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
    Call call(model, DType::f32, DType::bf16, positions);
    for (std::size_t r = 0; r < positions.size(); ++r) call.slots[r] = std::int64_t(r);
    run(call);
    const json::array& q = fields.find("q")->as_array();
    const json::array& k = fields.find("k")->as_array();
    // transformers takes the angle in FP32: at position p it is off by p·2^-24. Elements are
    // below 4.
    std::size_t next_q = 0, next_k = 0;
    for (std::size_t r = 0; r < positions.size(); ++r) {
      const double limit = 4 * (positions[r] + 16) * std::ldexp(1.0, -23);
      for (std::int64_t i = 0; i < model.heads * model.dim; ++i)
        ASSERT_NEAR(call.q_value(std::int64_t(r), 0, i), q[next_q++].to_number<double>(), limit)
            << i;
      for (std::int64_t i = 0; i < model.kv_heads * model.dim; ++i) {
        const double want = k[next_k++].to_number<double>();
        ASSERT_NEAR(call.cached(call.k, call.k_scale, std::int64_t(r), 0, i), want,
                    limit + std::ldexp(std::fabs(want), -8))
            << i;
      }
    }
  }
}

}  // namespace
}  // namespace isotope::ops
