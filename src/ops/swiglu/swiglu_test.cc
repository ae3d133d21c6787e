// swiglu against double precision.
#include "ops/swiglu/swiglu.h"

#include <gtest/gtest.h>

#include "ops/linear/linear_testing.h"

namespace isotope::ops {
namespace {

using namespace testing;
using device::Isa;

class Swiglu : public ::testing::TestWithParam<Isa> {};

double exact(double gate, double up) { return gate / (1.0 + std::exp(-gate)) * up; }

/// The exponential is good to 2 units in the last place, and four operations round; below e^-87 it
/// may be taken as 0.
double bound(double expected, double up, DType dtype) {
  const double output = dtype == DType::bf16 ? kBf16Unit : 0.0;
  return std::fabs(expected) * (8 * kF32Unit + output) + std::fabs(up) * 1e-35 + 1e-40;
}

void check(Machine& machine, const Owned& gate_up, std::int64_t m, std::int64_t width) {
  const DType dtype = gate_up.view().dtype;
  const Guarded out(dtype, m, width);
  swiglu(machine.context, gate_up.view(), out.view());
  EXPECT_TRUE(out.intact());
  for (std::int64_t r = 0; r < m; ++r)
    for (std::int64_t i = 0; i < width; ++i) {
      const double gate = gate_up.get(r * 2 * width + i),
                   up = gate_up.get(r * 2 * width + width + i);
      const double actual = load_float(out.view(), r * out.view().row_stride + i);
      ASSERT_NEAR(actual, exact(gate, up), bound(exact(gate, up), up, dtype))
          << name_of(dtype) << " " << name_of(machine.device.isa()) << " silu(" << gate << ") * "
          << up << " at row " << r << ", " << i << " of " << width;
    }
}

TEST_P(Swiglu, MatchesDoublePrecision) {
  Machine machine(2, GetParam());
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const auto& [m, width] :
         {std::pair(1, 1), std::pair(3, 7), std::pair(2, 16), std::pair(5, 33), std::pair(2, 172),
          std::pair(1, 1536), std::pair(2, 5003)}) {
      Owned gate_up = random_rows(dtype, m, 2 * width, 2 * width, std::uint64_t(width));
      for (std::int64_t i = 0; i < gate_up.view().shape.elements(); ++i)
        gate_up.set(i, gate_up.get(i) * 6.0f);
      check(machine, gate_up, m, width);
    }
}

TEST_P(Swiglu, WholeRangeOfTheGate) {
  Machine machine(1, GetParam());
  constexpr std::int64_t kWidth = 40'001;
  Owned gate_up(DType::f32, {1, 2 * kWidth});
  for (std::int64_t i = 0; i < kWidth; ++i) {
    gate_up.set(i, float(i - kWidth / 2) / 100.0f);  // -200 to 200
    gate_up.set(kWidth + i, 1.0f);
  }
  check(machine, gate_up, 1, kWidth);
}

TEST_P(Swiglu, ExtremesStayExtremes) {
  Machine machine(1, GetParam());
  Owned gate_up(DType::f32, {1, 8});
  const float gates[] = {1e30f, -1e30f, NAN, 0.0f};
  for (int i = 0; i < 4; ++i) {
    gate_up.set(i, gates[i]);
    gate_up.set(4 + i, 2.0f);
  }
  Owned out(DType::f32, {1, 4});
  swiglu(machine.context, gate_up.view(), out.view());
  EXPECT_EQ(out.get(0), 2e30f);
  EXPECT_EQ(out.get(1), 0.0f);
  EXPECT_TRUE(std::isnan(out.get(2)));
  EXPECT_EQ(out.get(3), 0.0f);
}

TEST_P(Swiglu, AValueHasTheSameBitsAtAnyPlace) {
  Machine machine(2, GetParam());
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const std::int64_t width : {1, 5, 16, 31, 77}) {
      Owned gate_up(dtype, {3, 2 * width});
      for (std::int64_t i = 0; i < gate_up.view().shape.elements(); ++i)
        gate_up.set(i, i / width % 2 ? 0.7f : -1.3f);
      Owned out(dtype, {3, width});
      swiglu(machine.context, gate_up.view(), out.view());
      for (std::int64_t i = 0; i < 3 * width; ++i)
        ASSERT_EQ(out.get(i), out.get(0)) << width << " " << i;
    }
}

TEST_P(Swiglu, RefusesShapesThatDoNotFit) {
  Machine machine(1, GetParam());
  const Owned in(DType::f32, {2, 8}), out(DType::f32, {2, 4}), half(DType::bf16, {2, 4}),
      wide(DType::f32, {2, 5});
  EXPECT_THROW(swiglu(machine.context, in.view(), half.view()), Error);
  EXPECT_THROW(swiglu(machine.context, in.view(), wide.view()), Error);
  EXPECT_NO_THROW(swiglu(machine.context, in.view(), out.view()));
}

INSTANTIATE_TEST_SUITE_P(Isas, Swiglu, ::testing::ValuesIn(all_isas()),
                         [](const auto& isa) { return std::string(name_of(isa.param)); });

}  // namespace
}  // namespace isotope::ops
