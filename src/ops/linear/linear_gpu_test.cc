// The decode-phase product on a GPU against double precision, and its bits across numbers of rows.
#include "ops/linear/linear_gpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ops/gpu/kernel_library.h"
#include "ops/linear/linear_testing.h"
#include "ops/linear_add/linear_add.h"
#include "ops/norm_linear/norm_linear.h"
#include "ops/testing/gpu_machine.h"
#include "ops/testing/planted_fault.h"

namespace isotope::ops {
namespace {

using namespace testing;

bool on_amd() { return GpuMachine::device().properties().arch.starts_with("gfx"); }

/// What bringing BF16 inputs into the kernel's format may cost, relative to Σ|x·w|. NVIDIA keeps
/// F16 of a scaled row: exact but for values 2^-31 below the row's largest. gfx12 keeps FP8
/// weights' inputs as two E4M3 terms: an error of 2^-10 where the largest of 128 values lies in
/// (224, 448], so 2^-17.8 of that; in normal noise the largest is below eight times the mean
/// magnitude.
double format_error(const Format& format) {
  if (format.dtype != DType::f8_e4m3) return 0.0;
  return on_amd() ? 0x1p-14 : 0x1p-26;
}

LinearWeight pack(GpuMachine& machine, const std::vector<const Matrix*>& matrices, bool keep_f32,
                  const PackOptions& options = {}) {
  std::vector<LinearPart> parts;
  for (const Matrix* matrix : matrices) parts.push_back(matrix->part());
  return pack_linear(machine.context(), parts, keep_f32, options);
}

/// Rows with a gap behind them that no kernel may touch.
struct Rows2d {
  GpuMachine& machine;
  TensorView wide, view;
  static constexpr std::int64_t kGap = 5;

  Rows2d(GpuMachine& m, DType dtype, std::int64_t rows, std::int64_t columns)
      : machine(m), wide(m.allocate(dtype, {rows, columns + kGap})) {
    view = TensorView(dtype, {rows, columns}, wide.data);
    view.row_stride = columns + kGap;
  }
  /// The rows on the host; fails the test if a gap was written.
  Owned read() const {
    const std::vector<std::byte> bytes = machine.download(wide);
    const std::int64_t rows = view.shape[0], columns = view.shape[1];
    const std::size_t size = size_of(view.dtype), row = std::size_t(columns) * size;
    Owned result(view.dtype, {rows, columns});
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::byte* from = bytes.data() + std::size_t(r * (columns + kGap)) * size;
      std::memcpy(result.bytes() + std::size_t(r) * row, from, row);
      for (std::size_t i = row; i < row + kGap * size; ++i)
        EXPECT_EQ(from[i], std::byte(0xff)) << "behind row " << r;
    }
    EXPECT_TRUE(machine.intact());
    return result;
  }
};

gpu::LinearCall call_of(const TensorView& x, const LinearWeight& weight, const TensorView& y) {
  gpu::LinearCall call;
  call.x = x;
  call.weight = &weight;
  call.y = y;
  return call;
}

Owned multiply(const Owned& x, const std::vector<const Matrix*>& matrices, bool keep_f32,
               DType y_dtype) {
  GpuMachine machine;
  const LinearWeight weight = pack(machine, matrices, keep_f32);
  const std::int64_t rows = x.view().shape[0];
  const Rows2d y(machine, y_dtype, rows, weight.n);
  const gpu::LinearCall call = call_of(machine.upload(x.view()), weight, y.view);
  gpu::linear_decode(machine.context(), call, 0, rows);
  EXPECT_LE(machine.context().workspace().peak(), gpu::linear_decode_scratch(rows, weight.k));
  return y.read();
}

void expect_close(const Owned& y, const Reference& reference, double input_error,
                  const std::string& what, const std::vector<double>& before = {}) {
  const Worst worst = worst_error(y.view(), reference, input_error, before);
  EXPECT_LE(worst.ratio, 1.0) << what << ": " << worst.where;
}

TEST(LinearGpu, EveryFormatMatchesDoublePrecision) {
  ISOTOPE_REQUIRE_GPU();
  std::uint64_t seed = 1;
  for (const Format& format : all_formats())
    for (const auto& [m, n, k] :
         {std::tuple(1, 33, 64), std::tuple(2, 130, 300), std::tuple(11, 17, 1),
          std::tuple(20, 140, 1100), std::tuple(1, 7, 2500)}) {
      const Matrix matrix(format, n, k, ++seed);
      const Owned x = random_rows(format.x_dtype(), m, k, k, ++seed);
      const DType y_dtype = seed % 4 == 1 ? DType::bf16 : DType::f32;
      expect_close(multiply(x, {&matrix}, format.keep_f32, y_dtype), Reference(x, {&matrix}),
                   format.weight_error() + format_error(format), format.name());
    }
}

TEST(LinearGpu, EveryNumberOfRowsMatchesDoublePrecision) {
  ISOTOPE_REQUIRE_GPU();
  for (const Format& format : {Format{DType::f8_e4m3, ScaleLayout::block_128x128, DType::bf16},
                               Format{DType::f8_e4m3, ScaleLayout::per_row}, Format{DType::bf16}})
    for (const std::int64_t m : {3, 8, 9, 16, 31, 33, 64, 65, 129}) {
      const Matrix matrix(format, 150, 700, std::uint64_t(m));
      const Owned x = random_rows(DType::bf16, m, 700, 700, 2);
      expect_close(multiply(x, {&matrix}, false, DType::f32), Reference(x, {&matrix}),
                   format_error(format), format.name());
    }
}

// A part of k that nobody multiplies is far outside of what rounding explains.
TEST(LinearGpu, ASkippedPartOfKWouldBeNoticed) {
  ISOTOPE_REQUIRE_GPU();
  const Matrix matrix(Format{DType::f8_e4m3, ScaleLayout::block_128x128}, 150, 1100, 3);
  const Owned x = random_rows(DType::bf16, 1, 1100, 1100, 4);
  const PlantedFault fault(
      "ops/linear/linear_decode.cu",
      "walk.count = max(0, min(walk.per_part, p.k_tiles - walk.first));",
      "walk.count = warp_index() == 3 ? 0 : max(0, min(walk.per_part, p.k_tiles - walk.first));");
  const Owned y = multiply(x, {&matrix}, false, DType::f32);
  EXPECT_GT(
      worst_error(y.view(), Reference(x, {&matrix}), format_error(Format{DType::f8_e4m3})).ratio,
      100.0);
}

TEST(LinearGpu, PartsOfAStackMayEndAnywhere) {
  ISOTOPE_REQUIRE_GPU();
  using enum ScaleLayout;
  const Format block{DType::f8_e4m3, block_128x128}, row{DType::f8_e4m3, per_row},
      tensor{DType::f8_e4m3, per_tensor};
  for (const auto& formats :
       {std::array{block, block, block}, std::array{block, tensor, row},
        std::array{row, tensor, tensor}, std::array{Format{}, Format{}, Format{}}})
    for (const auto& sizes : {std::array{136, 8, 16}, std::array{130, 5, 20}}) {
      std::vector<Matrix> matrices;
      for (std::size_t i = 0; i < 3; ++i) matrices.emplace_back(formats[i], sizes[i], 260, i + 5);
      const std::vector<const Matrix*> parts = {&matrices[0], &matrices[1], &matrices[2]};
      for (const std::int64_t m : {2, 18}) {
        const Owned x = random_rows(DType::bf16, m, 260, 260, 9);
        expect_close(multiply(x, parts, false, DType::f32), Reference(x, parts),
                     format_error(formats[0]), formats[0].name() + " and others");
      }
    }
}

/// Computes the last rows of a batch in batches of many sizes.
void expect_same_bits(const Format& format) {
  GpuMachine machine;
  // 17 tiles of k for FP8: parts of unequal length, one of them empty.
  const std::int64_t n = 200, k = 2100, most = 129;
  const Matrix matrix(format, n, k, 1);
  const LinearWeight weight = pack(machine, {&matrix}, format.keep_f32);
  const Owned x = random_rows(DType::f32, most, k, k, 2), g = random_rows(DType::f32, 1, k, k, 3);
  const TensorView rows = machine.upload(x.view());
  gpu::LinearCall call = call_of(rows, weight, {});
  call.norm = static_cast<const float*>(machine.upload(g.view()).data);
  call.norm_eps = 1e-6f;
  const auto compute = [&](std::int64_t begin, std::int64_t count) {
    const Rows2d y(machine, DType::f32, count, n);
    gpu::LinearCall part = call;
    part.x = rows.rows(begin, count);
    part.y = y.view;
    gpu::linear_decode(machine.context(), part, 0, count);
    return y.read();
  };
  const Owned all = compute(0, most);
  for (const std::int64_t count : {1, 2, 5, 8, 9, 16, 17, 32, 33, 64, 65, 128}) {
    const std::int64_t begin = most - count;
    const Owned some = compute(begin, count);
    for (const std::int64_t r : {std::int64_t(0), count / 2, count - 1})
      EXPECT_TRUE(same_bits(some.view(), r, all.view(), begin + r))
          << format.name() << ": row " << r << " of " << count;
  }
}

const Format kBlocks{DType::f8_e4m3, ScaleLayout::block_128x128};

TEST(LinearGpu, ARowHasTheSameBitsAmongAnyNumberOfRows) {
  ISOTOPE_REQUIRE_GPU();
  for (const Format& format : {kBlocks, Format{DType::f8_e4m3}, Format{DType::bf16},
                               Format{DType::f32, ScaleLayout::none, DType::f32, true}})
    expect_same_bits(format);
}

TEST(LinearGpu, SoItHasUnderATuningTable) {
  ISOTOPE_REQUIRE_GPU();
  Tuning& tuning = GpuMachine::library()->tuning();
  const Tuning before = tuning;
  tuning.add(
      "[[linear_decode]]\nrows = [1, 4]\ndepth = 3\nblocks = 1\n"
      "[[linear_wide]]\ngroups = 2\n[[linear_wide]]\nrows = [32, 64]\ntile_rows = 64\n",
      "a table");
  expect_same_bits(kBlocks);
  tuning = before;
}

TEST(LinearGpu, NanStaysInItsRow) {
  ISOTOPE_REQUIRE_GPU();
  for (const Format& format :
       {Format{DType::f8_e4m3, ScaleLayout::block_128x128}, Format{DType::bf16}})
    for (const std::int64_t m : {3, 16, 40}) {
      const Matrix matrix(format, 40, 300, 1);
      Owned x = random_rows(DType::bf16, m, 300, 300, 2);
      const Owned clean = multiply(x, {&matrix}, false, DType::f32);
      for (const std::int64_t i : {7, 299}) x.set(300 + i, i == 7 ? NAN : INFINITY);
      const Owned y = multiply(x, {&matrix}, false, DType::f32);
      for (std::int64_t r = 0; r < m; ++r)
        for (std::int64_t j = 0; j < 40; ++j)
          if (r == 1)
            EXPECT_TRUE(std::isnan(y.get(r * 40 + j))) << format.name() << ' ' << j;
          else
            EXPECT_EQ(y.get(r * 40 + j), clean.get(r * 40 + j)) << format.name() << ' ' << r;
    }
}

TEST(LinearGpu, ExtremeInputsKeepTheirPrecision) {
  ISOTOPE_REQUIRE_GPU();
  const Format format{DType::f8_e4m3, ScaleLayout::per_row};
  const Matrix matrix(format, 20, 128, 1);
  Owned x = random_rows(DType::bf16, 4, 128, 128, 2);
  for (std::int64_t i = 0; i < 128; ++i) {
    x.set(i, x.get(i) * 0x1p100f);
    x.set(128 + i, x.get(128 + i) * 0x1p-100f);
    x.set(256 + i, 0.0f);
  }
  expect_close(multiply(x, {&matrix}, false, DType::f32), Reference(x, {&matrix}),
               format_error(format), "extremes");
}

/// x rounded to what the product multiplies: rmsnorm(x) ⊙ g in double precision.
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

TEST(LinearGpu, NormsIndexedRowsOnEveryPath) {
  ISOTOPE_REQUIRE_GPU();
  const std::vector<std::int32_t> index = {6, 0, 6, 3, 1, 5, 4, 2, 2, 1, 0};
  for (const Format& format :
       {Format{DType::f8_e4m3, ScaleLayout::block_128x128}, Format{DType::bf16},
        Format{DType::f32, ScaleLayout::none, DType::f32, true}})
    for (const auto& [n, k] : {std::pair(33, 576), std::pair(20, 75)})
      for (const std::int64_t count : {std::int64_t(1), std::int64_t(index.size())}) {
        GpuMachine machine;
        const Matrix matrix(format, n, k, 1);
        const LinearWeight weight = pack(machine, {&matrix}, format.keep_f32);
        const Owned x = random_rows(DType::f32, 7, k, k, 2);
        Owned g(DType::f32, {k});
        for (std::int64_t i = 0; i < k; ++i) g.set(i, 0.5f + 0.01f * float(i % 97));
        const std::vector<std::int32_t> rows(index.begin(), index.begin() + count);
        const Rows2d y(machine, DType::f32, count, n);
        norm_linear(machine.context(), machine.upload(x.view()), machine.upload(rows, {count}),
                    machine.upload(g.view()), 1e-5f, weight, y.view, {count, count});
        // k roundings in the sum of squares, halved by the root; the reciprocal root is good to 2
        // ulp.
        const double arithmetic = (double(k) / 2 + 12) * kF32Unit;
        const double rounding = format.x_dtype() == DType::bf16 ? kBf16Unit : 0.0;
        expect_close(y.read(), Reference(norm_rows(x, rows, g, 1e-5), {&matrix}),
                     arithmetic + 1.01 * rounding + format_error(format), format.name());
      }
}

TEST(LinearGpu, AddsIntoTheResidualStream) {
  ISOTOPE_REQUIRE_GPU();
  for (const Format& format : {Format{DType::f8_e4m3, ScaleLayout::per_row}, Format{DType::bf16},
                               Format{DType::f32, ScaleLayout::none, DType::f32, true}})
    for (const DType x_dtype : {DType::bf16, DType::f32})
      for (const auto& [m, n, k] : {std::tuple(1, 33, 64), std::tuple(19, 50, 172)}) {
        GpuMachine machine;
        const Matrix matrix(format, n, k, 3);
        const LinearWeight weight = pack(machine, {&matrix}, format.keep_f32);
        const Owned x = random_rows(x_dtype, m, k, k, 2);
        std::vector<float> residual;
        for (std::int64_t i = 0; i < m * n; ++i) residual.push_back(float(i % 13 - 6));
        const TensorView y = machine.upload(residual, {m, n});
        linear_add(machine.context(), machine.upload(x.view()), weight, y, {m, m});
        Owned result(DType::f32, {m, n});
        const std::vector<std::byte> bytes = machine.download(y);
        std::memcpy(result.bytes(), bytes.data(), bytes.size());
        const bool rounds = x_dtype == DType::f32 && format.x_dtype() == DType::bf16;
        expect_close(result, Reference(x, {&matrix}),
                     format_error(format) + (rounds ? 1.01 * kBf16Unit : 0.0), format.name(),
                     {residual.begin(), residual.end()});
        EXPECT_TRUE(machine.intact());
      }
}

TEST(LinearGpu, RefusesNanCodesAndShapesThatDoNotFit) {
  ISOTOPE_REQUIRE_GPU();
  GpuMachine machine;
  Matrix damaged({DType::f8_e4m3, ScaleLayout::per_row}, 300, 200, 1);
  damaged.weight().bytes()[299 * 200 + 199] = std::byte(0x7f);
  try {
    pack(machine, {&damaged}, false);
    ADD_FAILURE() << "a NaN code was packed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::corrupt_data);
    EXPECT_NE(std::string(error.what()).find("row 299, column 199"), std::string::npos)
        << error.what();
  }
  const Matrix matrix({DType::bf16}, 16, 32, 1), other({DType::bf16}, 17, 32, 1);
  EXPECT_THROW(pack(machine, {&matrix, &other}, false, {.row_order = RowOrder::interleaved_halves}),
               Error);
  const LinearWeight weight = pack(machine, {&matrix}, false);
  const TensorView x = machine.allocate(DType::bf16, {2, 32}),
                   narrow = machine.allocate(DType::bf16, {2, 31}),
                   y = machine.allocate(DType::f32, {2, 16});
  auto& context = machine.context();
  EXPECT_THROW(gpu::linear_decode(context, call_of(narrow, weight, y), 0, 2), Error);
  EXPECT_THROW(gpu::linear_decode(context, call_of(x, weight, y), 0, 3), Error);
  EXPECT_THROW(gpu::linear_decode(context, call_of(x, weight, x), 0, 2), Error);
}

TEST(LinearGpu, PackedBytesAreWhatPackingAllocates) {
  ISOTOPE_REQUIRE_GPU();
  GpuMachine machine;
  for (const Format& format : all_formats())
    for (const bool gathered : {false, true}) {
      const Matrix matrix(format, 150, 77, 1);
      const LinearWeight weight = pack(machine, {&matrix}, true, {.gathered_only = gathered});
      const DType dtype = format.dtype;
      const ScaleLayout scales =
          format.scales == ScaleLayout::per_tensor ? ScaleLayout::per_row : format.scales;
      EXPECT_EQ(weight.bytes(), packed_bytes(150, 77, dtype, scales, weight.layout))
          << format.name();
    }
}

}  // namespace
}  // namespace isotope::ops
