// norm_swiglu on a GPU against double precision.
#include <gtest/gtest.h>

#include <cmath>

#include "ops/linear/linear_testing.h"
#include "ops/norm_swiglu/norm_swiglu.h"
#include "ops/testing/gpu_machine.h"

namespace isotope::ops {
namespace {

using namespace testing;

/// Σ and Σ|·| of a row's normed input with a feature, in double precision.
struct Dot {
  double sum = 0, magnitude = 0;
};
Dot dot(const std::vector<double>& x, const Matrix& matrix, std::int64_t feature) {
  Dot d;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double term = x[i] * matrix.at(feature, std::int64_t(i));
    d.sum += term;
    d.magnitude += std::fabs(term);
  }
  return d;
}

double silu(double v) { return v / (1.0 + std::exp(-v)); }

TEST(NormSwigluGpu, MatchesDoublePrecision) {
  ISOTOPE_REQUIRE_GPU();
  for (const Format& format : {Format{DType::f8_e4m3, ScaleLayout::block_128x128},
                               Format{DType::f8_e4m3, ScaleLayout::per_row}, Format{DType::bf16},
                               Format{DType::f32, ScaleLayout::none, DType::f32, true}})
    for (const auto& [m, width, k] :
         {std::tuple(1, 16, 64), std::tuple(3, 21, 300), std::tuple(20, 80, 140)}) {
      GpuMachine machine;
      const Matrix gate(format, width, k, 1), up(format, width, k, 2);
      const std::vector<LinearPart> parts = {gate.part(), up.part()};
      const LinearWeight weight =
          pack_linear(machine.context(), parts, format.keep_f32,
                      {.row_order = norm_swiglu_row_order(machine.context())});
      const Owned x = random_rows(DType::f32, m, k, k, 3);
      Owned g(DType::f32, {k});
      for (std::int64_t i = 0; i < k; ++i) g.set(i, 0.3f + 0.001f * float(i % 11));
      const DType dtype = format.x_dtype();
      const TensorView out = machine.allocate(dtype, {m, width});
      norm_swiglu(machine.context(), machine.upload(x.view()), machine.upload(g.view()), 1e-5f,
                  weight, out, {m, m});
      const std::vector<std::byte> bytes = machine.download(out);
      const TensorView result(dtype, {m, width}, bytes.data());
      EXPECT_TRUE(machine.intact());
      // As in linear_gpu_test.cc; the exponential of e^-g carries |g| · 2^-23 and a few ulp.
      const double input_error = (double(k) / 2 + 12) * kF32Unit + (double(k) + 8) * kF32Unit +
                                 0x1p-14 + (dtype == DType::bf16 ? 1.01 * kBf16Unit : 0.0);
      const double output_error = dtype == DType::bf16 ? kBf16Unit : 4 * kF32Unit;
      for (std::int64_t r = 0; r < m; ++r) {
        double squares = 0;
        for (std::int64_t i = 0; i < k; ++i) squares += std::pow(double(x.get(r * k + i)), 2);
        std::vector<double> normed;
        for (std::int64_t i = 0; i < k; ++i)
          normed.push_back(x.get(r * k + i) / std::sqrt(squares / double(k) + 1e-5) * g.get(i));
        for (std::int64_t j = 0; j < width; ++j) {
          const Dot a = dot(normed, gate, j), b = dot(normed, up, j);
          const double expected = silu(a.sum) * b.sum;
          // The slope of silu is below 1.1.
          const double gate_error = a.magnitude * input_error * 1.1 +
                                    std::fabs(silu(a.sum)) * (std::fabs(a.sum) + 8) * 0x1p-22;
          const double bound = gate_error * (std::fabs(b.sum) + b.magnitude * input_error) +
                               std::fabs(silu(a.sum)) * b.magnitude * input_error +
                               std::fabs(expected) * output_error + 1e-30;
          ASSERT_NEAR(load_float(result, r * width + j), expected, bound)
              << format.name() << " row " << r << " of " << m << ", " << j << " of " << width;
        }
      }
    }
}

TEST(NormSwigluGpu, ARowHasTheSameBitsAmongAnyNumberOfRows) {
  ISOTOPE_REQUIRE_GPU();
  GpuMachine machine;
  const Format format{DType::f8_e4m3, ScaleLayout::block_128x128};
  const std::int64_t width = 72, k = 520, most = 40;
  const Matrix gate(format, width, k, 1), up(format, width, k, 2);
  const std::vector<LinearPart> parts = {gate.part(), up.part()};
  const LinearWeight weight =
      pack_linear(machine.context(), parts, false, {.row_order = RowOrder::interleaved_halves});
  const Owned x = random_rows(DType::f32, most, k, k, 3), g = random_rows(DType::f32, 1, k, k, 4);
  const TensorView rows = machine.upload(x.view()),
                   norm(DType::f32, {k}, machine.upload(g.view()).data);
  std::vector<std::vector<std::byte>> results;
  for (const std::int64_t count : {most, std::int64_t(17), std::int64_t(9), std::int64_t(1)}) {
    const TensorView out = machine.allocate(DType::bf16, {count, width});
    norm_swiglu(machine.context(), rows.rows(0, count), norm, 1e-5f, weight, out, {count, count});
    results.push_back(machine.download(out));
    EXPECT_TRUE(std::equal(results.back().begin(), results.back().end(), results[0].begin()))
        << count;
  }
}

}  // namespace
}  // namespace isotope::ops
