// Who else is in the batch must not change an answer: the same bits for a row alone, in any batch,
// at any place in it, and with any number of threads.
#include <gtest/gtest.h>

#include "ops/linear/linear_testing.h"

namespace isotope::ops {
namespace {

using namespace testing;
using device::Isa;

constexpr std::int64_t kN = 141, kK = 300, kPaddedK = 320, kRows = 131;

std::vector<Format> formats() {
  return {{DType::bf16},
          {DType::f32, ScaleLayout::none, DType::f32, true},
          {DType::f8_e4m3, ScaleLayout::per_row, DType::f32},
          {DType::f8_e4m3, ScaleLayout::block_128x128, DType::bf16}};
}

struct Product {
  Guarded y;
  Product(int threads, Isa isa, const Matrix& matrix, const TensorView& x, std::int64_t decode,
          bool batch_invariant = true)
      : y(DType::f32, x.shape[0], kN) {
    Machine machine(threads, isa, Path::fast, batch_invariant);
    const LinearPart part = matrix.part();
    const LinearWeight weight = pack_linear(machine.context, {&part, 1}, matrix.format().keep_f32);
    matmul(machine.context, x, weight, y.view(), {decode, x.shape[0]}, false);
  }
};

class BatchInvariance : public ::testing::TestWithParam<Isa> {};

TEST_P(BatchInvariance, RowsAloneAndTogether) {
  for (const Format& format : formats()) {
    const Matrix matrix(format, kN, kK, 11);
    const Owned x = random_rows(format.x_dtype(), kRows, kK, kPaddedK, 12);
    for (const bool decoding : {true, false}) {
      const auto phase = [decoding](std::int64_t m) { return decoding ? m : 0; };
      const Product all(2, GetParam(), matrix, x.view(), phase(kRows));
      for (std::int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 16, 17, 31, 33, 64, 70, 96, 97}) {
        for (const std::int64_t first : {std::int64_t(0), kRows - m, (kRows - m) / 2}) {
          const Product some(1, GetParam(), matrix, x.view().rows(first, m), phase(m));
          for (std::int64_t r = 0; r < m; ++r)
            ASSERT_TRUE(same_bits(some.y.view(), r, all.y.view(), first + r))
                << format.name() << ": row " << first + r << " among " << m
                << (decoding ? " decoding" : " prompt") << " rows";
        }
      }
    }
  }
}

TEST_P(BatchInvariance, PhaseDecidesAndNotTheSplit) {
  for (const Format& format : formats()) {
    const Matrix matrix(format, kN, kK, 13);
    const Owned x = random_rows(format.x_dtype(), 40, kK, kPaddedK, 14);
    const Product decode(1, GetParam(), matrix, x.view(), 40),
        prompt(1, GetParam(), matrix, x.view(), 0);
    for (const std::int64_t split : {1, 2, 7, 20, 39}) {
      const Product mixed(2, GetParam(), matrix, x.view(), split);
      for (std::int64_t r = 0; r < 40; ++r)
        ASSERT_TRUE(same_bits(mixed.y.view(), r, (r < split ? decode : prompt).y.view(), r))
            << format.name() << ": row " << r << " with " << split << " decoding";
    }
  }
}

TEST_P(BatchInvariance, Threads) {
  for (const Format& format : formats()) {
    const Matrix matrix(format, kN, kK, 15);
    for (const std::int64_t m : {1, 5, 100}) {
      const Owned x = random_rows(format.x_dtype(), m, kK, kPaddedK, 16);
      const Product one(1, GetParam(), matrix, x.view(), m / 2);
      for (const int threads : {2, 3, 7}) {
        const Product more(threads, GetParam(), matrix, x.view(), m / 2);
        for (std::int64_t r = 0; r < m; ++r)
          ASSERT_TRUE(same_bits(one.y.view(), r, more.y.view(), r))
              << format.name() << " " << threads;
      }
    }
  }
}

TEST_P(BatchInvariance, TheFastModeDiffersByRoundingOnly) {
  const Matrix matrix({DType::f8_e4m3, ScaleLayout::block_128x128, DType::bf16}, kN, kK, 17);
  for (const std::int64_t m : {1, 4, 9, 40}) {
    const Owned x = random_rows(DType::bf16, m, kK, kPaddedK, 18);
    const Product fast(2, GetParam(), matrix, x.view(), m, false);
    const Worst worst = worst_error(fast.y.view(), Reference(x, {&matrix}), 0.0);
    EXPECT_LE(worst.ratio, 1.0) << worst.where;
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, BatchInvariance, ::testing::ValuesIn(fast_isas()),
                         [](const auto& isa) { return std::string(name_of(isa.param)); });

}  // namespace
}  // namespace isotope::ops
