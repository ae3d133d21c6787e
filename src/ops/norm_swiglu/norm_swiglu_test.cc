// norm_swiglu on the CPU is norm_linear followed by swiglu.
#include "ops/norm_swiglu/norm_swiglu.h"

#include <gtest/gtest.h>

#include "ops/linear/linear_testing.h"
#include "ops/norm_linear/norm_linear.h"
#include "ops/swiglu/swiglu.h"

namespace isotope::ops {
namespace {

using namespace testing;

TEST(NormSwiglu, IsItsTwoHalvesOneAfterTheOther) {
  for (const device::Isa isa : all_isas())
    for (const Format& format :
         {Format{DType::bf16}, Format{DType::f32, ScaleLayout::none, DType::f32, true}}) {
      Machine machine(2, isa);
      const std::int64_t m = 5, width = 24, k = 100;
      const Matrix gate(format, width, k, 1), up(format, width, k, 2);
      const std::vector<LinearPart> parts = {gate.part(), up.part()};
      const LinearWeight weight =
          pack_linear(machine.context, parts, format.keep_f32,
                      {.row_order = norm_swiglu_row_order(machine.context)});
      const DType dtype = format.x_dtype();
      const Owned x = random_rows(DType::f32, m, k, k, 3), g = random_rows(DType::f32, 1, k, k, 4);
      const TensorView norm(DType::f32, {k}, g.view().data);
      const Owned both(dtype, {m, 2 * width}), expected(dtype, {m, width});
      norm_linear(machine.context, x.view(), {}, norm, 1e-6f, weight, both.view(), {2, m});
      swiglu(machine.context, both.view(), expected.view());
      const Guarded out(dtype, m, width);
      norm_swiglu(machine.context, x.view(), norm, 1e-6f, weight, out.view(), {2, m});
      for (std::int64_t r = 0; r < m; ++r)
        EXPECT_TRUE(same_bits(out.view(), r, expected.view(), r));
      EXPECT_TRUE(out.intact());
      EXPECT_LE(machine.context.workspace().peak(), norm_swiglu_scratch(m, k, width, dtype, false));
      EXPECT_THROW(norm_swiglu(machine.context, x.view(), norm, 0, weight, both.view(), {2, m}),
                   Error);
    }
}

}  // namespace
}  // namespace isotope::ops
