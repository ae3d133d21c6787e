#include "ops/rope_store/rope_store.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "ops/rope_store/rope_cases.h"

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
    testing::expect_same_first_row(one, all);
  }
}

TEST(RopeStore, QuantizesEveryMagnitudeAsTheScalarConversion) {
  for (Isa isa : testing::usable_isas()) {
    Call call = testing::magnitudes_call();
    call.run(isa, 1);
    testing::expect_scalar_conversion(call, name_of(isa));
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
  for (Isa isa : testing::usable_isas()) {
    for (testing::RopeReference& reference : testing::read_references()) {
      reference.call.run(isa, 2);
      testing::expect_reference(reference);
    }
  }
}

}  // namespace
}  // namespace isotope::ops
