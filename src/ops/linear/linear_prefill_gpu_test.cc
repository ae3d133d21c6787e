// The prefill product against double precision: all formats, odd sizes, all epilogues; rows that do
// not depend on their company to the bit; NaN that stays where it is.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/checked.h"
#include "ops/linear/linear_gpu.h"
#include "ops/linear/linear_prefill_gpu.h"
#include "ops/linear/linear_testing.h"
#include "ops/testing/gpu_machine.h"

namespace isotope::ops::testing {
namespace {

using gpu::Epilogue;
using gpu::LinearCall;

constexpr double kE4m3Unit = 0x1p-4;       ///< largest relative error of rounding to E4M3
constexpr double kE4m3Smallest = 0x1p-10;  ///< largest error of rounding to a subnormal
constexpr double kE4m3Max = 448;

/// One product: what it is made of, and what it should give.
struct Problem {
  Format format;
  std::int64_t m = 1, n = 1, k = 1;
  Epilogue epilogue = Epilogue::store;
  DType y_dtype = DType::f32;
  bool norm = false, gather = false;
  std::int64_t parts = 1;  ///< of unequal size, so that block scales may end inside 8 rows
  std::int64_t x_gap = 0;  ///< between rows of x

  std::string name() const {
    return fmt::format("{}, m {} n {} k {}, epilogue {} {}, {} part(s){}{}", format.name(), m, n, k,
                       int(epilogue), name_of(y_dtype), parts, norm ? ", norm" : "",
                       gather ? ", gather" : "");
  }
  std::int64_t outputs() const { return epilogue == Epilogue::swiglu ? n / 2 : n; }
};

std::vector<Matrix> matrices(const Problem& problem, std::uint64_t seed) {
  std::vector<Matrix> parts;
  if (problem.parts == 1 && problem.epilogue != Epilogue::swiglu) {
    parts.emplace_back(problem.format, problem.n, problem.k, seed);
  } else if (problem.epilogue == Epilogue::swiglu) {
    parts.emplace_back(problem.format, problem.n / 2, problem.k, seed);
    parts.emplace_back(problem.format, problem.n / 2, problem.k, seed + 1);
  } else {
    const std::int64_t first = problem.n / 3;
    parts.emplace_back(problem.format, first, problem.k, seed);
    parts.emplace_back(problem.format, problem.n - first, problem.k, seed + 1);
  }
  return parts;
}

LinearWeight pack(Context& context, const Problem& problem, const std::vector<Matrix>& parts) {
  std::vector<LinearPart> list;
  for (const Matrix& part : parts) list.push_back(part.part());
  PackOptions options;
  if (problem.epilogue == Epilogue::swiglu) options.row_order = RowOrder::interleaved_halves;
  return pack_linear(context, list, problem.format.keep_f32, options);
}

/// Everything about a problem that is on the host.
struct Host {
  Owned x;  ///< [rows, k + gap]: f32 with a norm, else as the weights take it
  std::vector<float> g;
  std::vector<std::int32_t> rows;  ///< which row of x is row m
  std::vector<float> before;       ///< what y holds for Epilogue::add
  std::vector<double> inputs;      ///< [m, k] as the product should see them, exactly

  Host(const Problem& problem, std::uint64_t seed) {
    const std::int64_t source = problem.m + (problem.gather ? 3 : 0);
    x = random_rows(problem.norm ? DType::f32 : problem.format.x_dtype(), source, problem.k,
                    problem.k + problem.x_gap, seed);
    for (std::int64_t r = 0; r < source; ++r)  // what is between rows must not be read
      for (std::int64_t i = problem.k; i < problem.k + problem.x_gap; ++i)
        x.set(r * (problem.k + problem.x_gap) + i, NAN);
    std::mt19937_64 random(seed + 1);
    std::normal_distribution<float> normal;
    for (std::int64_t i = 0; i < problem.k; ++i) g.push_back(1.0f + 0.2f * normal(random));
    rows.resize(std::size_t(problem.m));
    std::iota(rows.begin(), rows.end(), 0);
    if (problem.gather)
      for (auto& row : rows) row = std::int32_t(random() % std::uint64_t(source));
    before.resize(std::size_t(problem.m * problem.outputs()));
    for (float& value : before) value = normal(random);
    inputs.resize(std::size_t(problem.m * problem.k));
    for (std::int64_t m = 0; m < problem.m; ++m) fill_row(problem, m);
  }

 private:
  void fill_row(const Problem& problem, std::int64_t m) {
    double* const row = inputs.data() + m * problem.k;
    double squares = 0;
    for (std::int64_t i = 0; i < problem.k; ++i) {
      row[i] = x.get(rows[std::size_t(m)] * (problem.k + problem.x_gap) + i);
      squares += row[i] * row[i];
    }
    if (!problem.norm) return;
    const double inverse = 1.0 / std::sqrt(squares / double(problem.k) + 1e-6);
    for (std::int64_t i = 0; i < problem.k; ++i) row[i] *= inverse * double(g[std::size_t(i)]);
  }
};

/// Σ x·w of one row and feature, and what its error may be.
struct Sum {
  double value = 0, bound = 0;
};

/// The bound of a sum: every input may be off by
///   BF16 weights:  2^-8 of it if it was rounded (after a norm);
///   FP8, one term: 2^-4 of it, or 2^-10 of its block's scale if that is more (subnormals); with
///   one scale = absmax / 448; FP8, two terms: the second rounds what the first left over, so 2^-8
///   of it, or 2^-10 of the scale; after a norm also a few FP32 roundings;
/// and the sum of products by (k + 8)·2^-23 of Σ|x·w| (matrix units cut instead of rounding). FP8
/// products of Hopper keep 13 bits behind the largest product's within 128 of k: 2^-11 of Σ|x·w|.
class Oracle {
 public:
  Oracle(const Problem& problem, const Host& host, const std::vector<Matrix>& parts)
      : problem_(problem), host_(host), parts_(&parts) {
    fp8_ = problem.format.dtype == DType::f8_e4m3;
    terms_ = problem.k < gpu::kPrefillOneTermK ? 2 : 1;
    for (const Matrix& part : parts)
      for (std::int64_t j = 0; j < part.n(); ++j)
        for (std::int64_t i = 0; i < problem.k; ++i) weights_.push_back(part.at(j, i));
  }

  Sum sum(std::int64_t m, std::int64_t feature) const {
    const std::int64_t k = problem_.k;
    const double* const x = host_.inputs.data() + m * k;
    const double* const w = weights_.data() + feature * k;
    Sum result;
    double magnitude = 0;
    for (std::int64_t first = 0; first < k; first += 128) {
      const std::int64_t end = std::min(first + 128, k);
      double largest = 0;
      for (std::int64_t i = first; i < end; ++i) largest = std::max(largest, std::fabs(x[i]));
      for (std::int64_t i = first; i < end; ++i) {
        result.value += x[i] * w[i];
        magnitude += std::fabs(x[i] * w[i]);
        result.bound += std::fabs(w[i]) * input_error(std::fabs(x[i]), largest / kE4m3Max);
      }
    }
    const double sums = double(k + 8) * 2 * kF32Unit + (fp8_ ? 0x1p-11 : 0.0);
    result.bound += magnitude * (sums + problem_.format.weight_error()) + 1e-30;
    return result;
  }

  /// Output of a row, from its sums, and its bound.
  Sum output(std::int64_t m, std::int64_t i) const {
    Sum y;
    if (problem_.epilogue == Epilogue::swiglu) {
      const Sum gate = sum(m, i), up = sum(m, problem_.n / 2 + i);
      const double silu = gate.value / (1 + std::exp(-gate.value));
      y.value = silu * up.value;
      // |silu'| ≤ 1.1; exp and the reciprocal are good to a few units of FP32, times the exponent's
      // argument.
      const double silu_bound =
          1.1 * gate.bound + std::fabs(silu) * (8 + std::fabs(gate.value)) * 4 * kF32Unit;
      y.bound = silu_bound * (std::fabs(up.value) + up.bound) + std::fabs(silu) * up.bound + 1e-30;
    } else {
      y = sum(m, i);
      if (problem_.epilogue == Epilogue::add)
        y.value += double(host_.before[std::size_t(m * problem_.n + i)]);
    }
    const double unit = problem_.y_dtype == DType::bf16 ? kBf16Unit : kF32Unit;
    y.bound += (std::fabs(y.value) + y.bound) * 2 * unit;
    return y;
  }

 private:
  double input_error(double x, double scale) const {
    const double normed = problem_.norm ? x * 16 * kF32Unit : 0.0;
    if (problem_.format.x_dtype() == DType::f32) return normed;
    if (!fp8_) return normed + (problem_.norm ? x * kBf16Unit : 0.0);
    const double unit = terms_ == 2 ? kE4m3Unit * kE4m3Unit : kE4m3Unit;
    return normed + std::max(x * unit, scale * kE4m3Smallest) * 1.001;
  }

  const Problem& problem_;
  const Host& host_;
  const std::vector<Matrix>* parts_;
  std::vector<double> weights_;
  bool fp8_ = false;
  int terms_ = 1;
};

/// A problem on the device; y is made afresh by every run.
class Runner {
 public:
  Runner(GpuMachine& machine, const Problem& problem, const Host& host,
         const std::vector<Matrix>& parts)
      : machine_(machine), problem_(problem), host_(host) {
    weight_ = pack(machine.context(), problem, parts);
    call_.x = machine.upload(host.x.view());
    call_.x.shape = {host.x.view().shape[0], problem.k};
    call_.x.row_stride = problem.k + problem.x_gap;
    if (problem.gather) call_.row_index = machine.upload(host.rows, {problem.m});
    if (problem.norm) {
      call_.norm = machine.upload(host.g, {problem.k}).as<const float>();
      call_.norm_eps = 1e-6f;
    }
    call_.weight = &weight_;
    call_.epilogue = problem.epilogue;
  }

  const LinearWeight& weight() const { return weight_; }
  const TensorView& x() const { return call_.x; }

  /// All of y after computing rows [begin, begin + count); other rows keep what they had. tiling
  /// -1: linear_prefill.
  std::vector<std::byte> run(std::int64_t begin, std::int64_t count, int tiling = -1) {
    const Shape shape{problem_.m, problem_.outputs()};
    call_.y = problem_.epilogue == Epilogue::add ? machine_.upload(host_.before, shape)
                                                 : machine_.allocate(problem_.y_dtype, shape);
    if (tiling < 0)
      gpu::linear_prefill(machine_.context(), call_, begin, count);
    else
      gpu::linear_prefill_tiled(machine_.context(), call_, begin, count, tiling);
    return machine_.download(call_.y);
  }

 private:
  GpuMachine& machine_;
  const Problem& problem_;
  const Host& host_;
  LinearWeight weight_;
  LinearCall call_;
};

void expect_close(const Problem& problem, const Oracle& oracle, const std::vector<std::byte>& y) {
  const TensorView view(problem.y_dtype, {problem.m, problem.outputs()}, y.data());
  double worst = 0;
  std::string where;
  for (std::int64_t m = 0; m < problem.m; ++m)
    for (std::int64_t i = 0; i < problem.outputs(); ++i) {
      const Sum expected = oracle.output(m, i);
      const double actual = load_float(view, m * problem.outputs() + i);
      const double ratio = std::fabs(actual - expected.value) / expected.bound;
      if (ratio <= worst) continue;
      worst = std::isnan(ratio) ? INFINITY : ratio;
      where = fmt::format("row {}, output {}: {} instead of {} ± {}", m, i, actual, expected.value,
                          expected.bound);
    }
  EXPECT_LE(worst, 1.0) << problem.name() << ": " << where;
}

std::vector<std::byte> solve(const Problem& problem, std::uint64_t seed) {
  GpuMachine machine;
  const std::vector<Matrix> parts = matrices(problem, seed);
  const Host host(problem, seed + 7);
  Runner runner(machine, problem, host, parts);
  const std::vector<std::byte> y = runner.run(0, problem.m);
  expect_close(problem, Oracle(problem, host, parts), y);
  EXPECT_TRUE(machine.intact()) << problem.name();
  return y;
}

Format fp8_blocks() { return {DType::f8_e4m3, ScaleLayout::block_128x128}; }

TEST(LinearPrefill, EveryFormatAgreesWithTheDefinition) {
  ISOTOPE_REQUIRE_GPU();
  std::uint64_t seed = 1;
  for (const Format& format : all_formats()) solve({format, 5, 136, 320}, seed += 10);
}

TEST(LinearPrefill, OneFp8TermKeepsItsBound) {
  ISOTOPE_REQUIRE_GPU();
  for (const ScaleLayout scales : {ScaleLayout::none, ScaleLayout::per_tensor, ScaleLayout::per_row,
                                   ScaleLayout::block_128x128})
    solve({{DType::f8_e4m3, scales}, 3, 130, 1100}, 100 + int(scales));
}

TEST(LinearPrefill, OddSizes) {
  ISOTOPE_REQUIRE_GPU();
  std::uint64_t seed = 200;
  for (const Format& format : {Format{DType::bf16}, fp8_blocks()})
    for (const auto& [m, n, k] : {std::array<std::int64_t, 3>{1, 1, 1},
                                  {1, 7, 129},
                                  {2, 127, 15},
                                  {63, 129, 127},
                                  {65, 9, 257},
                                  {129, 37, 64},
                                  {130, 257, 130}})
      solve({.format = format, .m = m, .n = n, .k = k, .x_gap = k % 3}, seed += 10);
}

TEST(LinearPrefill, EveryEpilogueAfterANormAndAGather) {
  ISOTOPE_REQUIRE_GPU();
  std::uint64_t seed = 400;
  for (const Format& format :
       {Format{DType::bf16}, fp8_blocks(), Format{DType::f8_e4m3, ScaleLayout::per_row}})
    for (const bool norm : {false, true})
      for (const std::int64_t n : {std::int64_t(272), std::int64_t(150)}) {
        Problem problem{.format = format, .m = 19, .n = n, .k = 160, .norm = norm, .gather = true};
        solve(problem, seed += 10);
        problem.y_dtype = DType::bf16;
        solve(problem, seed += 10);
        problem.epilogue = Epilogue::swiglu;
        solve(problem, seed += 10);
        problem.y_dtype = DType::f32;
        solve(problem, seed += 10);
        problem.epilogue = Epilogue::add;
        solve(problem, seed += 10);
      }
}

TEST(LinearPrefill, BlocksThatEndInsideEightRows) {
  ISOTOPE_REQUIRE_GPU();
  // The second part begins at feature 100: packed rows 96 to 103 have two scales.
  Problem problem{.format = fp8_blocks(), .m = 9, .n = 300, .k = 270, .parts = 2};
  solve(problem, 600);
  problem.k = 1030;
  solve(problem, 610);
  problem.n = 288;  // at feature 96
  solve(problem, 620);
}

TEST(LinearPrefill, F32Weights) {
  ISOTOPE_REQUIRE_GPU();
  Problem problem{
      .format = {DType::f32, ScaleLayout::none, DType::f32, true}, .m = 131, .n = 20, .k = 70};
  solve(problem, 700);
  problem.norm = true;
  solve(problem, 710);
}

/// Rows of y, byte by byte.
bool same_rows(const Problem& problem, const std::vector<std::byte>& a,
               const std::vector<std::byte>& b, std::int64_t begin, std::int64_t count) {
  const auto row = std::size_t(problem.outputs()) * size_of(problem.y_dtype);
  return std::equal(a.begin() + std::ptrdiff_t(row) * begin,
                    a.begin() + std::ptrdiff_t(row) * (begin + count),
                    b.begin() + std::ptrdiff_t(row) * begin);
}

TEST(LinearPrefill, ARowsBitsDependOnNeitherItsCompanyNorTheTiling) {
  ISOTOPE_REQUIRE_GPU();
  std::vector<Problem> problems;
  for (const Format& format : {Format{DType::bf16}, fp8_blocks()}) {
    problems.push_back(
        {.format = format, .m = 150, .n = 264, .k = 300, .norm = true, .gather = true});
    problems.push_back({.format = format, .m = 40, .n = 256, .k = 1100, .epilogue = Epilogue::add});
    problems.push_back({.format = format, .m = 20, .n = 300, .k = 200, .parts = 2});
  }
  std::uint64_t seed = 800;
  for (const Problem& problem : problems) {
    GpuMachine machine;
    const std::vector<Matrix> parts = matrices(problem, seed += 10);
    const Host host(problem, seed + 7);
    Runner runner(machine, problem, host, parts);
    const std::vector<std::byte> all = runner.run(0, problem.m);
    const auto tilings = gpu::prefill_tilings(machine.context(), runner.weight());
    EXPECT_GE(tilings.size(), 2u);
    for (std::size_t tiling = 0; tiling < tilings.size(); ++tiling)
      EXPECT_TRUE(same_rows(problem, all, runner.run(0, problem.m, int(tiling)), 0, problem.m))
          << problem.name() << " by " << tilings[tiling];
    for (const auto& [begin, count] : {std::pair<std::int64_t, std::int64_t>{0, 1},
                                       {problem.m - 1, 1},
                                       {3, 7},
                                       {1, problem.m - 1}}) {
      const std::vector<std::byte> some = runner.run(begin, count);
      EXPECT_TRUE(same_rows(problem, all, some, begin, count))
          << problem.name() << ": rows from " << begin << ", " << count;
      const std::vector<std::byte> untouched = runner.run(0, 0);
      EXPECT_TRUE(same_rows(problem, untouched, some, 0, begin)) << problem.name();
      EXPECT_TRUE(same_rows(problem, untouched, some, begin + count, problem.m - begin - count))
          << problem.name();
    }
    EXPECT_TRUE(machine.intact());
  }
}

TEST(LinearPrefill, NanAndInfinityStayInTheirRow) {
  ISOTOPE_REQUIRE_GPU();
  for (const Format& format : {Format{DType::bf16}, fp8_blocks()})
    for (const std::int64_t k : {std::int64_t(200), std::int64_t(1100)})
      for (const bool norm : {false, true}) {
        const Problem problem{.format = format, .m = 21, .n = 140, .k = k, .norm = norm};
        GpuMachine machine;
        const std::vector<Matrix> parts = matrices(problem, 900);
        Host host(problem, 907);
        for (std::int64_t i = 0; i < k; ++i)
          host.x.set(7 * k + i, i < 128 || i % 3 == 0 ? 0.0f : 1e-37f);
        const std::vector<std::byte> clean =
            Runner(machine, problem, host, parts).run(0, problem.m);
        host.x.set(4 * k + 77, NAN);
        host.x.set(11 * k + 150, INFINITY);
        const std::vector<std::byte> dirty =
            Runner(machine, problem, host, parts).run(0, problem.m);
        for (std::int64_t m = 0; m < problem.m; ++m) {
          if (m == 4 || m == 11) continue;
          EXPECT_TRUE(same_rows(problem, clean, dirty, m, 1)) << problem.name() << ", row " << m;
        }
        const TensorView view(DType::f32, {problem.m, problem.n}, dirty.data());
        for (std::int64_t i = 0; i < problem.n; ++i) {
          EXPECT_TRUE(std::isnan(load_float(view, 4 * problem.n + i)))
              << problem.name() << ", " << i;
          // Zeros, and values so small that 448 / absmax overflows.
          EXPECT_LT(std::fabs(load_float(view, 7 * problem.n + i)), 1e-28f) << problem.name();
        }
      }
}

/// Codes of E4M3 are exact in both operands here, and products small integers: every format of tile
/// must be exact. This is the self-check of how operands lie in memory.
TEST(LinearPrefill, SmallIntegersAreExact) {
  ISOTOPE_REQUIRE_GPU();
  for (const Format& format : {Format{DType::bf16}, Format{DType::f8_e4m3}}) {
    const Problem problem{.format = format, .m = 130, .n = 260, .k = 1152};
    GpuMachine machine;
    std::vector<Matrix> parts = matrices(problem, 1000);
    std::mt19937_64 random(1001);
    for (std::int64_t i = 0; i < problem.n * problem.k; ++i)
      parts[0].weight().set(i, random() % 16 == 0 ? float(int(random() % 5) - 2) : 0.0f);
    Host host(problem, 1007);
    // 7 in every block of 128: its scale is 7 / 448 = 2^-6.
    for (std::int64_t m = 0; m < problem.m; ++m)
      for (std::int64_t i = 0; i < problem.k; ++i) {
        const float value = i % 128 == m % 128 ? 7.0f : float(int(random() % 15) - 7);
        host.x.set(m * problem.k + i, value);
      }
    Runner runner(machine, problem, host, parts);
    const auto tilings = gpu::prefill_tilings(machine.context(), runner.weight());
    for (std::size_t tiling = 0; tiling < tilings.size(); ++tiling) {
      const std::vector<std::byte> y = runner.run(0, problem.m, int(tiling));
      const TensorView view(DType::f32, {problem.m, problem.n}, y.data());
      std::int64_t wrong = 0;
      for (std::int64_t m = 0; m < problem.m; ++m)
        for (std::int64_t j = 0; j < problem.n; ++j) {
          double expected = 0;
          for (std::int64_t i = 0; i < problem.k; ++i)
            expected += double(host.x.get(m * problem.k + i)) * parts[0].at(j, i);
          if (expected != load_float(view, m * problem.n + j) && wrong++ < 5)
            ADD_FAILURE() << format.name() << " by " << tilings[tiling] << ", row " << m
                          << ", feature " << j << ": " << load_float(view, m * problem.n + j)
                          << " instead of " << expected;
        }
      EXPECT_EQ(wrong, 0) << format.name() << " by " << tilings[tiling];
    }
  }
}

TEST(LinearPrefill, ScratchCoversWhatIsTaken) {
  ISOTOPE_REQUIRE_GPU();
  for (const Format& format :
       {Format{DType::bf16}, fp8_blocks(), Format{DType::f32, ScaleLayout::none, DType::f32, true}})
    for (const std::int64_t k : {std::int64_t(129), std::int64_t(1200)}) {
      const Problem problem{.format = format, .m = 70, .n = 8, .k = k};
      GpuMachine machine(gpu::linear_prefill_scratch(problem.m, k));
      const std::vector<Matrix> parts = matrices(problem, 1100);
      const Host host(problem, 1107);
      Runner(machine, problem, host, parts).run(0, problem.m);
    }
}

}  // namespace
}  // namespace isotope::ops::testing
