// swiglu on a GPU against double precision.
#include <gtest/gtest.h>

#include <cmath>

#include "ops/linear/linear_testing.h"
#include "ops/swiglu/swiglu.h"
#include "ops/testing/gpu_machine.h"

namespace isotope::ops {
namespace {

using namespace testing;

double exact(double gate, double up) { return gate / (1.0 + std::exp(-gate)) * up; }

/// The exponential's argument is rounded once as a product and the exponential is good to 4 units
/// in the last place; four operations round; below e^-87 it may be taken as 0.
double bound(double gate, double up, double expected, DType dtype) {
  const double output = dtype == DType::bf16 ? kBf16Unit : 0.0;
  return std::fabs(expected) * ((std::fabs(gate) + 12) * kF32Unit + output) +
         std::fabs(up) * 1e-35 + 1e-38;
}

/// Runs rows of `gap` more elements than they need, which must stay as they are.
std::vector<float> run(const Owned& in, std::int64_t m, std::int64_t width, std::int64_t gap) {
  GpuMachine machine(0);
  const DType dtype = in.view().dtype;
  TensorView gate_up = machine.upload(in.view());
  gate_up.shape = Shape{m, 2 * width};
  const TensorView whole = machine.allocate(dtype, {m, width + gap});
  TensorView out = whole;
  out.shape = Shape{m, width};
  swiglu(machine.context(), gate_up, out);
  EXPECT_TRUE(machine.intact());
  const std::vector<std::byte> bytes = machine.download(whole);
  const TensorView host(dtype, {m * (width + gap)}, bytes.data());
  std::vector<float> values;
  for (std::int64_t r = 0; r < m; ++r)
    for (std::int64_t i = 0; i < width + gap; ++i) {
      const std::int64_t at = r * (width + gap) + i;
      if (i < width) values.push_back(load_float(host, at));
      for (std::size_t b = 0; i >= width && b < size_of(dtype); ++b)
        EXPECT_EQ(bytes[std::size_t(at) * size_of(dtype) + b], std::byte(0xff)) << r << ' ' << i;
    }
  return values;
}

void check(const Owned& in, std::int64_t m, std::int64_t width, std::int64_t in_gap,
           std::int64_t gap) {
  const DType dtype = in.view().dtype;
  const std::vector<float> out = run(in, m, width, gap);
  for (std::int64_t r = 0; r < m; ++r)
    for (std::int64_t i = 0; i < width; ++i) {
      const std::int64_t at = r * (2 * width + in_gap) + i;
      const double gate = in.get(at), up = in.get(at + width), want = exact(gate, up);
      ASSERT_NEAR(out[std::size_t(r * width + i)], want, bound(gate, up, want, dtype))
          << name_of(dtype) << " silu(" << gate << ") * " << up << " at row " << r << ", " << i
          << " of " << width;
    }
}

TEST(SwigluGpu, MatchesDoublePrecision) {
  ISOTOPE_REQUIRE_GPU();
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const auto& [m, width, in_gap, gap] :
         {std::tuple(1, 1, 0, 0), std::tuple(3, 7, 0, 2), std::tuple(2, 16, 0, 0),
          std::tuple(5, 33, 3, 0), std::tuple(2, 172, 8, 4), std::tuple(1, 1536, 0, 0),
          std::tuple(2, 1027, 1, 1)}) {
      Owned in =
          random_rows(dtype, m, 2 * width + in_gap, 2 * width + in_gap, std::uint64_t(width));
      for (std::int64_t i = 0; i < in.view().shape.elements(); ++i) in.set(i, in.get(i) * 6.0f);
      check(in, m, width, in_gap, gap);
    }
}

TEST(SwigluGpu, WholeRangeOfTheGate) {
  ISOTOPE_REQUIRE_GPU();
  constexpr std::int64_t kWidth = 4001;
  Owned in(DType::f32, {1, 2 * kWidth});
  for (std::int64_t i = 0; i < kWidth; ++i) {
    in.set(i, float(i - kWidth / 2) / 10.0f);  // -200 to 200
    in.set(kWidth + i, 1.0f);
  }
  check(in, 1, kWidth, 0, 0);
}

TEST(SwigluGpu, ExtremesStayExtremes) {
  ISOTOPE_REQUIRE_GPU();
  Owned in(DType::f32, {1, 8});
  const float gates[] = {1e30f, -1e30f, NAN, 0.0f};
  for (int i = 0; i < 4; ++i) {
    in.set(i, gates[i]);
    in.set(4 + i, 2.0f);
  }
  const std::vector<float> out = run(in, 1, 4, 0);
  EXPECT_EQ(out[0], 2e30f);
  EXPECT_EQ(out[1], 0.0f);
  EXPECT_TRUE(std::isnan(out[2]));
  EXPECT_EQ(out[3], 0.0f);
}

TEST(SwigluGpu, AValueHasTheSameBitsAtAnyPlace) {
  ISOTOPE_REQUIRE_GPU();
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const std::int64_t width : {1, 5, 16, 77}) {
      Owned in(dtype, {3, 2 * width});
      for (std::int64_t i = 0; i < in.view().shape.elements(); ++i)
        in.set(i, i / width % 2 ? 0.7f : -1.3f);
      const std::vector<float> out = run(in, 3, width, 0);
      for (const float value : out) ASSERT_EQ(value, out[0]) << width;
    }
}

}  // namespace
}  // namespace isotope::ops
