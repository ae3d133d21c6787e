#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "ops/rope_store/rope_cases.h"
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
  testing::expect_same_first_row(one, all);
}

TEST(RopeStoreGpu, QuantizesEveryMagnitudeAsTheScalarConversion) {
  ISOTOPE_REQUIRE_GPU();
  Call call = testing::magnitudes_call();
  run(call);
  testing::expect_scalar_conversion(call, "GPU");
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
  for (testing::RopeReference& reference : testing::read_references()) {
    run(reference.call);
    testing::expect_reference(reference);
  }
}

}  // namespace
}  // namespace isotope::ops
