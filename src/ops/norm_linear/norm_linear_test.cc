// norm_linear against double precision.
#include "ops/norm_linear/norm_linear.h"

#include <gtest/gtest.h>

#include "ops/linear/linear_testing.h"

namespace isotope::ops {
namespace {

using namespace testing;
using device::Isa;

/// rmsnorm(x) ⊙ g of the indexed rows, in double precision; FP32 holds it to within an error that
/// norm_error() includes.
Owned norm_rows(const Owned& x, const std::vector<std::int32_t>& index, const Owned& g,
                double eps) {
  const std::int64_t k = g.view().shape[0], stride = x.view().shape[1];
  Owned normed(DType::f32, {std::int64_t(index.size()), k});
  for (std::size_t m = 0; m < index.size(); ++m) {
    double squares = 0;
    for (std::int64_t i = 0; i < k; ++i)
      squares += std::pow(double(x.get(index[m] * stride + i)), 2);
    const double root = std::sqrt(squares / double(k) + eps);
    for (std::int64_t i = 0; i < k; ++i)
      normed.set(std::int64_t(m) * k + i, float(x.get(index[m] * stride + i) / root * g.get(i)));
  }
  return normed;
}

/// Relative error of an element of the normed row: k roundings in the sum of squares (halved by the
/// root), a few operations, and rounding to BF16 for all but F32 weights.
double norm_error(const Format& format, std::int64_t k) {
  const double arithmetic = (double(k) / 2 + 8) * kF32Unit;
  return arithmetic + (format.x_dtype() == DType::bf16 ? kBf16Unit * (1 + arithmetic) : 0.0);
}

struct Case {
  std::int64_t n, k, source_rows;
  std::vector<std::int32_t> index;
};

const Case kCases[] = {
    {40, 64, 1, {0}},
    {19, 33, 3, {0, 1, 2}},
    {130, 576, 7, {6, 0, 6, 3}},
    {5, 1, 2, {0, 1}},
    {64, 1021, 20, {19, 18, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
};

class NormLinear : public ::testing::TestWithParam<Isa> {};

TEST_P(NormLinear, MatchesDoublePrecision) {
  for (const Format& format : all_formats())
    for (const Case& c : kCases) {
      Machine machine(2, GetParam());
      const Matrix matrix(format, c.n, c.k, std::uint64_t(c.n));
      const std::int64_t stride = c.k + 7, m = std::int64_t(c.index.size());
      Owned x = random_rows(DType::f32, c.source_rows, c.k, stride, 2);
      const Owned g = random_rows(DType::f32, 1, c.k, c.k, 3);
      TensorView source = TensorView(DType::f32, {c.source_rows, c.k}, x.bytes());
      source.row_stride = stride;
      const TensorView weights = TensorView(DType::f32, {c.k}, g.view().data);
      const LinearPart part = matrix.part();
      const LinearWeight weight = pack_linear(machine.context, {&part, 1}, format.keep_f32);
      const TensorView index(DType::i32, {m}, c.index.data());
      const Guarded y(DType::f32, m, c.n);
      norm_linear(machine.context, source, index, weights, 1e-5f, weight, y.view(), {m / 2, m});

      Owned flat_g(DType::f32, {c.k});
      for (std::int64_t i = 0; i < c.k; ++i) flat_g.set(i, g.get(i));
      const Reference reference(norm_rows(x, c.index, flat_g, 1e-5), {&matrix});
      const Worst worst =
          worst_error(y.view(), reference, format.weight_error() + norm_error(format, c.k));
      EXPECT_LE(worst.ratio, 1.0) << format.name() << ": " << worst.where;
      EXPECT_TRUE(y.intact());
      EXPECT_LE(machine.context.workspace().peak(), norm_linear_scratch(m, c.k));
    }
}

TEST_P(NormLinear, WithoutIndexRowsAreTakenInOrder) {
  Machine machine(2, GetParam());
  const Matrix matrix({DType::bf16}, 24, 100, 1);
  const LinearPart part = matrix.part();
  const LinearWeight weight = pack_linear(machine.context, {&part, 1}, false);
  const Owned x = random_rows(DType::f32, 5, 100, 100, 2), g(DType::f32, {100});
  Owned ones(DType::f32, {100});
  for (int i = 0; i < 100; ++i) ones.set(i, 1.0f);
  const std::vector<std::int32_t> order = {0, 1, 2, 3, 4};
  const Guarded a(DType::bf16, 5, 24), b(DType::bf16, 5, 24);
  norm_linear(machine.context, x.view(), {}, ones.view(), 1e-6f, weight, a.view(), {0, 5});
  norm_linear(machine.context, x.view(), TensorView(DType::i32, {5}, order.data()), ones.view(),
              1e-6f, weight, b.view(), {0, 5});
  for (int r = 0; r < 5; ++r) EXPECT_TRUE(same_bits(a.view(), r, b.view(), r));
  const Worst worst = worst_error(a.view(), Reference(norm_rows(x, order, ones, 1e-6), {&matrix}),
                                  norm_error(matrix.format(), 100));
  EXPECT_LE(worst.ratio, 1.0) << worst.where;
}

TEST_P(NormLinear, ARowHasTheSameBitsInAnyBatch) {
  Machine one(1, GetParam()), three(3, GetParam());
  const Matrix matrix({DType::f8_e4m3, ScaleLayout::block_128x128, DType::bf16}, 50, 300, 1);
  const LinearPart part = matrix.part();
  const LinearWeight weight = pack_linear(one.context, {&part, 1}, false);
  const Owned x = random_rows(DType::f32, 30, 300, 300, 2),
              g = random_rows(DType::f32, 1, 300, 300, 3);
  const TensorView flat_g(DType::f32, {300}, g.view().data);
  const Guarded all(DType::f32, 30, 50);
  norm_linear(three.context, x.view(), {}, flat_g, 1e-6f, weight, all.view(), {30, 30});
  for (std::int32_t r = 0; r < 30; ++r) {
    const Guarded alone(DType::f32, 1, 50);
    norm_linear(one.context, x.view(), TensorView(DType::i32, {1}, &r), flat_g, 1e-6f, weight,
                alone.view(), {1, 1});
    EXPECT_TRUE(same_bits(alone.view(), 0, all.view(), r)) << r;
  }
}

TEST_P(NormLinear, ARowOfZerosStaysFinite) {
  Machine machine(1, GetParam());
  const Matrix matrix({DType::bf16}, 16, 32, 1);
  const LinearPart part = matrix.part();
  const LinearWeight weight = pack_linear(machine.context, {&part, 1}, false);
  const Owned x(DType::f32, {1, 32}), g(DType::f32, {32});
  const Guarded y(DType::f32, 1, 16);
  norm_linear(machine.context, x.view(), {}, g.view(), 1e-6f, weight, y.view(), {0, 1});
  for (int j = 0; j < 16; ++j) EXPECT_EQ(y.view().row<float>(0)[j], 0.0f);
}

TEST_P(NormLinear, RefusesShapesThatDoNotFit) {
  Machine machine(1, GetParam());
  const Matrix matrix({DType::bf16}, 16, 32, 1);
  const LinearPart part = matrix.part();
  const LinearWeight weight = pack_linear(machine.context, {&part, 1}, false);
  const Owned x(DType::f32, {2, 32}), narrow(DType::f32, {2, 31}), g(DType::f32, {32}),
      short_g(DType::f32, {31});
  const Owned index(DType::i32, {3});
  const Guarded y(DType::f32, 2, 16);
  auto& context = machine.context;
  EXPECT_THROW(norm_linear(context, narrow.view(), {}, g.view(), 0, weight, y.view(), {0, 2}),
               Error);
  EXPECT_THROW(norm_linear(context, x.view(), {}, short_g.view(), 0, weight, y.view(), {0, 2}),
               Error);
  EXPECT_THROW(norm_linear(context, x.view(), index.view(), g.view(), 0, weight, y.view(), {0, 2}),
               Error);
  EXPECT_THROW(norm_linear(context, x.view(), {}, g.view(), 0, weight, y.view(), {0, 1}), Error);
}

INSTANTIATE_TEST_SUITE_P(Isas, NormLinear, ::testing::ValuesIn(all_isas()),
                         [](const auto& isa) { return std::string(name_of(isa.param)); });

}  // namespace
}  // namespace isotope::ops
