// Packing: what it allocates, when it lets go of its source, and what it refuses.
#include <gtest/gtest.h>

#include <algorithm>

#include "ops/linear/linear_testing.h"

namespace isotope::ops {
namespace {

using namespace testing;
using device::Isa;
using ::testing::AssertionResult;

std::string error_of(const std::vector<LinearPart>& parts) {
  Machine machine(2, fast_isas().back());
  std::string message;
  for (const Path path : {Path::fast, Path::oracle}) {
    Context context(machine.device, 0, path);
    try {
      pack_linear(context, parts, false);
      return "";
    } catch (const Error& error) {
      message = error.what();
    }
  }
  return message;
}

TEST(PackLinear, AllocatesWhatThePlanSays) {
  Machine machine(1, fast_isas().back());
  for (const Format& format : all_formats())
    for (const auto& [n, k] : {std::pair(1, 1), std::pair(144, 300), std::pair(129, 64)}) {
      const Matrix matrix(format, n, k, 1);
      const LinearPart part = matrix.part();
      const LinearWeight weight = pack_linear(machine.context, {&part, 1}, true);
      const ScaleLayout layout =
          format.scales == ScaleLayout::per_tensor ? ScaleLayout::per_row : format.scales;
      EXPECT_EQ(weight.bytes(), packed_bytes(n, k, format.dtype, layout)) << format.name();
      EXPECT_EQ(weight.scale_layout, layout);
      EXPECT_FALSE(weight.scales_per_feature);
    }
}

TEST(PackLinear, PlacesFp8AsTheLayoutSays) {
  Matrix matrix({DType::f8_e4m3}, 16, 32, 1);
  for (int j = 0; j < 16; ++j)
    for (int i = 0; i < 32; ++i) matrix.weight().bytes()[j * 32 + i] = std::byte((j * 7 + i) % 127);
  Machine machine(1, fast_isas().back());
  const LinearPart part = matrix.part();
  const LinearWeight weight = pack_linear(machine.context, {&part, 1}, false);
  const auto* packed = weight.data.as<const std::uint8_t>();
  for (int j = 0; j < 16; ++j)
    for (int i = 0; i < 32; ++i) {
      const int offset = i / 4 * 64 + j / 4 * 16 + i / 2 % 2 * 8 + j % 4 * 2 + i % 2;
      EXPECT_EQ(packed[offset], (j * 7 + i) % 127) << j << " " << i;
    }
}

TEST(PackLinear, ReleasesEachPartOnceAfterItsLastRead) {
  const Format format{DType::f8_e4m3, ScaleLayout::per_row, DType::f32};
  Matrix a(format, 20, 64, 1), b(format, 3, 64, 2), c(format, 50, 64, 3);
  const Matrix a_copy(format, 20, 64, 1), b_copy(format, 3, 64, 2), c_copy(format, 50, 64, 3);
  Machine machine(2, fast_isas().back());
  std::vector<int> released;
  // Overwriting the source shows whether it is read again.
  const auto part = [&released](Matrix& matrix, int number) {
    return matrix.part([&, number] {
      released.push_back(number);
      std::fill_n(matrix.weight().bytes(), matrix.weight().size(), std::byte(0x01));
    });
  };
  const std::vector<LinearPart> parts = {part(a, 0), part(b, 1), part(c, 2)};
  const LinearWeight weight = pack_linear(machine.context, parts, false);
  EXPECT_EQ(released, (std::vector{0, 1, 2}));
  const std::vector<LinearPart> copies = {a_copy.part(), b_copy.part(), c_copy.part()};
  const LinearWeight expected = pack_linear(machine.context, copies, false);
  ASSERT_EQ(weight.data.size(), expected.data.size());
  EXPECT_EQ(std::memcmp(weight.data.data(), expected.data.data(), weight.data.size()), 0);
}

TEST(PackLinear, RefusesFp8NaNByPosition) {
  Matrix a({DType::f8_e4m3}, 20, 70, 1), b({DType::f8_e4m3}, 20, 70, 2);
  b.weight().bytes()[13 * 70 + 69] = std::byte(0xff);
  const std::string message = error_of({a.part(), b.part()});
  EXPECT_NE(message.find("weight 2 of 2"), std::string::npos) << message;
  EXPECT_NE(message.find("0xff"), std::string::npos) << message;
  EXPECT_NE(message.find("row 13, column 69"), std::string::npos) << message;
}

TEST(PackLinear, RefusesWhatDoesNotFitTogether) {
  const Format row{DType::f8_e4m3, ScaleLayout::per_row, DType::f32};
  const Matrix a(row, 16, 64, 1), narrow(row, 16, 32, 2), other({DType::bf16}, 16, 64, 3);
  EXPECT_NE(error_of({a.part(), narrow.part()}).find("weight 2 of 2"), std::string::npos);
  EXPECT_NE(error_of({a.part(), other.part()}).find("dtype and k must agree"), std::string::npos);
  EXPECT_NE(error_of({}).find("at least one"), std::string::npos);

  LinearPart short_scale = a.part();
  short_scale.tensor.scale = TensorView(DType::f32, {15}, short_scale.tensor.scale.data);
  EXPECT_NE(error_of({short_scale}).find("needs 16 values"), std::string::npos);
  LinearPart no_scale = a.part();
  no_scale.tensor.scale = {};
  EXPECT_NE(error_of({no_scale}).find("needs 16 values"), std::string::npos);
  Matrix infinite(row, 16, 64, 4);
  infinite.scale().set(7, INFINITY);
  EXPECT_NE(error_of({infinite.part()}).find("scale value 7 is inf"), std::string::npos);
  LinearPart vector = a.part();
  vector.tensor.weight.shape = Shape{64};
  EXPECT_NE(error_of({vector}).find("not a matrix"), std::string::npos);
}

TEST(PackLinear, RefusesSizesThatOverflow) {
  EXPECT_THROW(
      packed_bytes(std::int64_t(1) << 40, std::int64_t(1) << 40, DType::bf16, ScaleLayout::none),
      Error);
}

}  // namespace
}  // namespace isotope::ops
