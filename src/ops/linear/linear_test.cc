// matmul against double precision, for everything that a checkpoint may hold and every instruction
// set at hand.
#include "ops/linear/linear_weight.h"

#include <gtest/gtest.h>

#include <cstring>

#include "ops/linear/linear_testing.h"

namespace isotope::ops {
namespace {

using namespace testing;
using device::Isa;

struct Dims {
  std::int64_t m, n, k;
};

// Ones, primes, and one off the sizes of tiles, blocks and row groups; 576 and 172 are sizes of
// real small models.
constexpr Dims kDims[] = {
    {1, 1, 1},     {1, 16, 32},    {2, 17, 33},    {3, 15, 31},    {4, 129, 127}, {5, 31, 129},
    {6, 64, 128},  {7, 65, 256},   {8, 127, 172},  {13, 128, 300}, {16, 172, 64}, {17, 7, 576},
    {33, 19, 257}, {31, 113, 576}, {48, 33, 1021}, {70, 80, 160},  {97, 23, 131}, {1, 576, 576},
};

LinearWeight pack(Context& context, const std::vector<const Matrix*>& parts) {
  std::vector<LinearPart> stack;
  for (const Matrix* part : parts) stack.push_back(part->part());
  return pack_linear(context, stack, parts[0]->format().keep_f32);
}

/// x with the same values and the padding that `weight` wants.
Owned pad(const Owned& x, const LinearWeight& weight) {
  const std::int64_t m = x.view().shape[0], k = x.view().shape[1];
  Owned padded(x.view().dtype, {m, weight.padded_k});
  for (std::int64_t r = 0; r < m; ++r)
    for (std::int64_t i = 0; i < k; ++i) padded.set(r * weight.padded_k + i, x.get(r * k + i));
  return padded;
}

/// One product with guards around y, compared with the reference.
void check_product(Machine& machine, const std::vector<const Matrix*>& parts, const Owned& x,
                   const Reference& reference, DType y_dtype, Rows rows) {
  const LinearWeight weight = pack(machine.context, parts);
  const Owned padded = pad(x, weight);
  const Guarded y(y_dtype, reference.m, reference.n);
  matmul(machine.context, padded.view(), weight, y.view(), rows, false);
  const Worst worst = worst_error(y.view(), reference, parts[0]->format().weight_error());
  EXPECT_LE(worst.ratio, 1.0) << parts[0]->format().name() << " " << name_of(machine.device.isa())
                              << " decode rows " << rows.decode << ": " << worst.where;
  EXPECT_TRUE(y.intact()) << parts[0]->format().name() << " " << name_of(machine.device.isa());
}

void check_all_forms(const std::vector<const Matrix*>& parts, std::int64_t m, std::uint64_t seed) {
  const Owned x = random_rows(parts[0]->format().x_dtype(), m, parts[0]->k(), parts[0]->k(), seed);
  const Reference reference(x, parts);
  Machine oracle(1, Isa::scalar);
  check_product(oracle, parts, x, reference, DType::f32, {m, m});
  for (const Isa isa : fast_isas()) {
    Machine machine(2, isa);
    check_product(machine, parts, x, reference, DType::f32, {0, m});
    check_product(machine, parts, x, reference, DType::f32, {m, m});
    check_product(machine, parts, x, reference, DType::bf16, {m / 3, m});
  }
}

TEST(Linear, EveryFormatAndInstructionSet) {
  std::uint64_t seed = 1;
  for (const Format& format : all_formats())
    for (const Dims& dims : kDims) {
      const Matrix matrix(format, dims.n, dims.k, ++seed);
      check_all_forms({&matrix}, dims.m, seed + 1000);
    }
}

TEST(Linear, EveryNumberOfRows) {
  const Format fp8{DType::f8_e4m3, ScaleLayout::block_128x128, DType::bf16};
  const Matrix matrix(fp8, 77, 160, 5);
  for (std::int64_t m = 1; m <= 70; ++m) check_all_forms({&matrix}, m, std::uint64_t(m));
}

TEST(Linear, StacksOfPartsThatEndInsideTiles) {
  constexpr std::int64_t kFeatures[][3] = {{128, 64, 64}, {16, 32, 129}, {1, 1, 1},
                                           {130, 7, 40},  {15, 17, 33},  {100, 172, 3}};
  std::uint64_t seed = 100;
  for (const Format& format : all_formats())
    for (const auto& n : kFeatures) {
      const Matrix a(format, n[0], 290, ++seed), b(format, n[1], 290, ++seed),
          c(format, n[2], 290, ++seed);
      check_all_forms({&a, &b, &c}, 9, ++seed);
    }
}

TEST(Linear, StacksOfDifferentScaleLayouts) {
  const Format none{DType::f8_e4m3};
  const Format tensor{DType::f8_e4m3, ScaleLayout::per_tensor, DType::bf16};
  const Format row{DType::f8_e4m3, ScaleLayout::per_row, DType::f32};
  const Format block{DType::f8_e4m3, ScaleLayout::block_128x128, DType::f16};
  std::uint64_t seed = 500;
  for (const auto& formats :
       {std::pair(tensor, row), std::pair(none, tensor), std::pair(block, row),
        std::pair(tensor, block), std::pair(block, none)}) {
    const Matrix a(formats.first, 144, 257, ++seed), b(formats.second, 35, 257, ++seed);
    check_all_forms({&a, &b}, 5, ++seed);
  }
}

TEST(Linear, AddsIntoY) {
  const Matrix matrix({DType::f8_e4m3, ScaleLayout::per_row, DType::f32}, 53, 96, 7);
  const Owned x = random_rows(DType::bf16, 11, 96, 96, 8);
  const Reference reference(x, {&matrix});
  std::vector<Isa> isas = fast_isas();
  isas.push_back(Isa::scalar);
  for (const Isa isa : isas) {
    Machine machine(2, isa);
    const LinearWeight weight = pack(machine.context, {&matrix});
    const Guarded y(DType::f32, 11, 53);
    std::vector<double> before;
    for (std::int64_t r = 0; r < 11; ++r)
      for (std::int64_t j = 0; j < 53; ++j) {
        y.view().row<float>(r)[j] = float(r) - float(j) / 7.0f;
        before.push_back(y.view().row<float>(r)[j]);
      }
    matmul(machine.context, pad(x, weight).view(), weight, y.view(), {4, 11}, true);
    const Worst worst = worst_error(y.view(), reference, 0.0, before);
    EXPECT_LE(worst.ratio, 1.0) << name_of(isa) << ": " << worst.where;
    EXPECT_TRUE(y.intact());
  }
}

TEST(Linear, WidensEveryFp8CodeExactly) {
  // One-hot rows pick single weights, which powers of two keep exact through every rounding.
  constexpr std::int64_t kCodes = 256;
  const Format format{DType::f8_e4m3, ScaleLayout::per_tensor, DType::f32};
  Matrix matrix(format, 16, kCodes, 3);
  for (std::int64_t j = 0; j < 16; ++j)
    for (std::int64_t i = 0; i < kCodes; ++i) {
      const std::int64_t code = (i + 37 * j) % kCodes;
      matrix.weight().bytes()[j * kCodes + i] = std::byte((code & 0x7f) == 0x7f ? 0 : code);
    }
  matrix.scale().set(0, 0.25f);
  for (const Isa isa : fast_isas())
    for (const std::int64_t m : {std::int64_t(1), std::int64_t(16)}) {
      Machine machine(1, isa);
      const LinearWeight weight = pack(machine.context, {&matrix});
      for (std::int64_t i = 0; i < kCodes; ++i) {
        Owned x(DType::bf16, {m, kCodes});
        for (std::int64_t r = 0; r < m; ++r) x.set(r * kCodes + i, 2.0f);
        const Guarded y(DType::f32, m, 16);
        matmul(machine.context, x.view(), weight, y.view(), {0, m}, false);
        for (std::int64_t j = 0; j < 16; ++j)
          ASSERT_EQ(y.view().row<float>(m - 1)[j], float(2.0 * matrix.at(j, i)))
              << name_of(isa) << " code " << int(matrix.weight().bytes()[j * kCodes + i]);
      }
    }
}

TEST(Linear, RoundsToBf16AsTheScalarConversion) {
  // y = x · 1: values half way between BF16 neighbours, infinities, NaN, subnormals.
  const float values[] = {1.00390625f, 1.01171875f, -1.00390625f, 3.0f,
                          INFINITY,    -INFINITY,   NAN,          0x1p-126f};
  Matrix identity({DType::f32, ScaleLayout::none, DType::f32, true}, 16, 1, 1);
  for (std::int64_t j = 0; j < 16; ++j) identity.weight().set(j, 1.0f);
  for (const Isa isa : fast_isas()) {
    Machine machine(1, isa);
    const LinearWeight weight = pack(machine.context, {&identity});
    for (const float value : values) {
      Owned x(DType::f32, {1, weight.padded_k});
      x.set(0, value);
      const Guarded y(DType::bf16, 1, 16);
      matmul(machine.context, x.view(), weight, y.view(), {1, 1}, false);
      EXPECT_EQ(y.view().row<bfloat16>(0)[5].bits, to_bfloat16(value).bits)
          << name_of(isa) << " " << value;
    }
  }
}

TEST(Linear, ASwappedScaleExceedsTheBound) {
  for (const ScaleLayout layout : {ScaleLayout::per_row, ScaleLayout::block_128x128}) {
    Matrix matrix({DType::f8_e4m3, layout, DType::f32}, 160, 1024, 21);
    const Owned x = random_rows(DType::bf16, 3, 1024, 1024, 22);
    const Reference reference(x, {&matrix});
    const float first = matrix.scale().get(0);
    matrix.scale().set(0, matrix.scale().get(1));
    matrix.scale().set(1, first);
    for (const Isa isa : fast_isas()) {
      Machine machine(1, isa);
      const LinearWeight weight = pack(machine.context, {&matrix});
      const Guarded y(DType::f32, 3, 160);
      matmul(machine.context, x.view(), weight, y.view(), {0, 3}, false);
      EXPECT_GT(worst_error(y.view(), reference, 0.0).ratio, 10.0) << name_of(layout);
    }
  }
}

TEST(Linear, AMissingBlockExceedsTheBound) {
  Matrix matrix({DType::f8_e4m3, ScaleLayout::block_128x128, DType::f32}, 160, 1024, 31);
  const Owned x = random_rows(DType::bf16, 3, 1024, 1024, 32);
  const Reference reference(x, {&matrix});
  matrix.scale().set(9, 0.0f);
  Machine machine(1, fast_isas().back());
  const LinearWeight weight = pack(machine.context, {&matrix});
  const Guarded y(DType::f32, 3, 160);
  matmul(machine.context, x.view(), weight, y.view(), {0, 3}, false);
  EXPECT_GT(worst_error(y.view(), reference, 0.0).ratio, 10.0);
}

TEST(Linear, RefusesShapesThatDoNotFit) {
  Machine machine(1, fast_isas().back());
  const Matrix matrix({DType::bf16}, 32, 64, 1);
  const LinearWeight weight = pack(machine.context, {&matrix});
  const Owned x(DType::bf16, {2, 64}), narrow(DType::bf16, {2, 32}), floats(DType::f32, {2, 64});
  const Guarded y(DType::f32, 2, 32), half(DType::bf16, 2, 32), wrong(DType::f32, 2, 31);
  auto& context = machine.context;
  EXPECT_THROW(matmul(context, narrow.view(), weight, y.view(), {0, 2}, false), Error);
  EXPECT_THROW(matmul(context, floats.view(), weight, y.view(), {0, 2}, false), Error);
  EXPECT_THROW(matmul(context, x.view(), weight, wrong.view(), {0, 2}, false), Error);
  EXPECT_THROW(matmul(context, x.view(), weight, half.view(), {0, 2}, true), Error);
  EXPECT_THROW(matmul(context, x.view(), weight, y.view(), {3, 2}, false), Error);
  EXPECT_NO_THROW(matmul(context, x.view(), weight, y.view(), {1, 2}, false));
}

}  // namespace
}  // namespace isotope::ops
