// linear_add against double precision, with inputs that need converting or padding and such that do
// not.
#include "ops/linear_add/linear_add.h"

#include <gtest/gtest.h>

#include "ops/linear/linear_testing.h"

namespace isotope::ops {
namespace {

using namespace testing;
using device::Isa;

class LinearAdd : public ::testing::TestWithParam<Isa> {};

TEST_P(LinearAdd, MatchesDoublePrecision) {
  for (const Format& format : all_formats())
    for (const DType x_dtype : {DType::bf16, DType::f32})
      for (const auto& [m, n, k] :
           {std::tuple(1, 33, 64), std::tuple(7, 50, 172), std::tuple(30, 16, 1)}) {
        Machine machine(2, GetParam());
        const Matrix matrix(format, n, k, std::uint64_t(n));
        const LinearPart part = matrix.part();
        const LinearWeight weight = pack_linear(machine.context, {&part, 1}, format.keep_f32);
        const Owned x = random_rows(x_dtype, m, k, k, 2);
        const Guarded y(DType::f32, m, n);
        std::vector<double> before;
        for (int r = 0; r < m; ++r)
          for (int j = 0; j < n; ++j)
            before.push_back(y.view().row<float>(r)[j] = float(j - 3 * r));
        linear_add(machine.context, x.view(), weight, y.view(), {m / 2, m});

        const bool rounds_x = x_dtype == DType::f32 && format.x_dtype() == DType::bf16;
        const double input_error = format.weight_error() + (rounds_x ? 1.01 * kBf16Unit : 0.0);
        const Worst worst = worst_error(y.view(), Reference(x, {&matrix}), input_error, before);
        EXPECT_LE(worst.ratio, 1.0)
            << format.name() << " x " << name_of(x_dtype) << ": " << worst.where;
        EXPECT_TRUE(y.intact());
        EXPECT_LE(machine.context.workspace().peak(), linear_add_scratch(m, k));
      }
}

TEST_P(LinearAdd, TakesStridedInput) {
  Machine machine(2, GetParam());
  const Matrix matrix({DType::bf16}, 20, 64, 1);
  const LinearPart part = matrix.part();
  const LinearWeight weight = pack_linear(machine.context, {&part, 1}, false);
  const Owned dense = random_rows(DType::bf16, 4, 64, 64, 2);
  Owned wide(DType::bf16, {4, 100});
  for (int r = 0; r < 4; ++r)
    for (int i = 0; i < 64; ++i) wide.set(r * 100 + i, dense.get(r * 64 + i));
  TensorView strided(DType::bf16, {4, 64}, wide.bytes());
  strided.row_stride = 100;
  Owned a(DType::f32, {4, 20}), b(DType::f32, {4, 20});
  linear_add(machine.context, dense.view(), weight, a.view(), {4, 4});
  linear_add(machine.context, strided, weight, b.view(), {4, 4});
  for (int r = 0; r < 4; ++r) EXPECT_TRUE(same_bits(a.view(), r, b.view(), r));
  EXPECT_NE(a.get(0), 0.0f);
}

TEST_P(LinearAdd, RefusesShapesThatDoNotFit) {
  Machine machine(1, GetParam());
  const Matrix matrix({DType::bf16}, 16, 32, 1);
  const LinearPart part = matrix.part();
  const LinearWeight weight = pack_linear(machine.context, {&part, 1}, false);
  const Owned x(DType::bf16, {2, 32}), narrow(DType::bf16, {2, 31}), y(DType::f32, {2, 16}),
      half(DType::bf16, {2, 16});
  EXPECT_THROW(linear_add(machine.context, narrow.view(), weight, y.view(), {0, 2}), Error);
  EXPECT_THROW(linear_add(machine.context, x.view(), weight, half.view(), {0, 2}), Error);
  EXPECT_THROW(linear_add(machine.context, x.view(), weight, y.view(), {0, 1}), Error);
}

INSTANTIATE_TEST_SUITE_P(Isas, LinearAdd, ::testing::ValuesIn(all_isas()),
                         [](const auto& isa) { return std::string(name_of(isa.param)); });

}  // namespace
}  // namespace isotope::ops
