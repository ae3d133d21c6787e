#include "weights/quantization.h"

#include <limits>

#include "weights/test_support.h"

namespace isotope::weights {
namespace {

using Codes = std::vector<float8_e4m3>;

Codes codes(std::int64_t count) { return Codes(std::size_t(count), float8_e4m3{0x38}); }  // 1.0

ScaledTensor find(const TensorSource& source, std::int64_t n, std::int64_t k) {
  std::vector<std::string> used;
  return find_linear(source, "x", n, k, used);
}

/// A source with an FP8 "x.weight" [n, k] and a scale of the given shape, filled with 0.5.
MemorySource with_scale(std::int64_t n, std::int64_t k, Shape scale,
                        const std::string& name = "x.weight_scale_inv") {
  MemorySource source;
  source.add("x.weight", {n, k}, codes(n * k));
  source.add(name, scale, std::vector<float>(std::size_t(scale.elements()), 0.5f));
  return source;
}

TEST(FindLinear, RecognisesEveryLayoutByTheScalesShape) {
  struct Case {
    std::int64_t n, k;
    Shape stored;
    ScaleLayout layout;
    Shape normal;
  };
  const std::vector<Case> cases = {
      {256, 384, {2, 3}, ScaleLayout::block_128x128, {2, 3}},
      {129, 257, {2, 3}, ScaleLayout::block_128x128, {2, 3}},  // partial blocks at both edges
      {64, 300, {1, 3}, ScaleLayout::block_128x128, {1, 3}},
      {300, 64, {3, 1}, ScaleLayout::block_128x128, {3, 1}},
      {64, 96, {1, 1}, ScaleLayout::block_128x128, {1, 1}},
      {300, 300, {1, 1}, ScaleLayout::per_tensor, {}},
      {300, 64, {}, ScaleLayout::per_tensor, {}},
      {300, 64, {1}, ScaleLayout::per_tensor, {}},
      {300, 64, {300}, ScaleLayout::per_row, {300}},
      {300, 64, {300, 1}, ScaleLayout::per_row, {300}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(fmt::format("[{}, {}] with scale {}", c.n, c.k, c.stored.to_string()));
    for (const char* name : {"x.weight_scale_inv", "x.weight_scale"}) {
      const MemorySource source = with_scale(c.n, c.k, c.stored, name);
      std::vector<std::string> used;
      const ScaledTensor linear = find_linear(source, "x", c.n, c.k, used);
      EXPECT_EQ(linear.scale_layout, c.layout);
      EXPECT_EQ(linear.scale.shape, c.normal);
      EXPECT_TRUE(linear.input_scale.empty());
      EXPECT_EQ(used, (std::vector<std::string>{"x.weight", name}));
    }
  }
}

TEST(FindLinear, ScalesMayBeBf16F16OrF32) {
  for (int kind = 0; kind < 3; ++kind) {
    MemorySource source;
    source.add("x.weight", {2, 3}, codes(6));
    if (kind == 0) source.add("x.weight_scale_inv", {2}, std::vector<float>{0.5f, 0.25f});
    if (kind == 1) source.add("x.weight_scale_inv", {2}, std::vector<bfloat16>{{0x3f00}, {0x3e80}});
    if (kind == 2) source.add("x.weight_scale_inv", {2}, std::vector<float16>{{0x3800}, {0x3400}});
    const ScaledTensor linear = find(source, 2, 3);
    EXPECT_EQ(load_float(linear.scale, 0), 0.5f);
    EXPECT_EQ(load_float(linear.scale, 1), 0.25f);
  }
}

TEST(FindLinear, KeepsTheActivationScale) {
  for (const char* name : {"x.activation_scale", "x.input_scale"}) {
    for (const Shape& shape : {Shape{}, Shape{1}}) {
      MemorySource source = with_scale(300, 64, {});
      source.add(name, shape, std::vector<bfloat16>{{0x3d00}});
      std::vector<std::string> used;
      const ScaledTensor linear = find_linear(source, "x", 300, 64, used);
      EXPECT_EQ(load_float(linear.input_scale, 0), 0.03125f);
      EXPECT_EQ(used.back(), name);
    }
  }
}

TEST(FindLinear, PlainWeightsNeedNoScale) {
  MemorySource source;
  source.add("x.weight", {2, 2}, std::vector<float>{1, 2, 3, 4});
  const ScaledTensor linear = find(source, 2, 2);
  EXPECT_EQ(linear.scale_layout, ScaleLayout::none);
  EXPECT_TRUE(linear.scale.empty());
}

TEST(FindLinear, RefusesWhatDoesNotFit) {
  const auto refuses = [](const MemorySource& source, std::int64_t n, std::int64_t k,
                          std::vector<std::string> says) {
    says.push_back("tensors in memory");
    expect_error(ErrorCode::corrupt_data, says, [&] { find(source, n, k); });
  };
  expect_error(ErrorCode::not_found, {"'x.weight'"}, [] { find(MemorySource(), 2, 2); });
  refuses(with_scale(4, 4, {}), 4, 5, {"f8_e4m3 [4, 4]", "[4, 5]"});
  refuses(with_scale(300, 300, {2, 3}), 300, 300, {"[2, 3]", "[3, 3]"});
  refuses(with_scale(300, 300, {1, 300}), 300, 300, {"[1, 300]"});
  refuses(with_scale(300, 300, {3, 3, 1}), 300, 300, {"[3, 3, 1]"});
  {
    MemorySource source;
    source.add("x.weight", {2, 2}, codes(4));
    refuses(source, 2, 2, {"'x.weight' is f8_e4m3", "x.weight_scale_inv"});
    source.add("x.weight_scale", {}, std::vector<std::int32_t>{1});
    refuses(source, 2, 2, {"'x.weight_scale' is i32"});
  }
  {
    MemorySource source = with_scale(2, 2, {});
    source.add("x.weight_scale", {}, std::vector<float>{1});
    refuses(source, 2, 2, {"'x.weight_scale_inv'", "'x.weight_scale'"});
  }
  {
    MemorySource source = with_scale(2, 2, {});
    source.add("x.weight", {2, 2}, std::vector<float>{1, 2, 3, 4});
    refuses(source, 2, 2, {"'x.weight' is f32", "yet there is a scale"});
  }
  {
    MemorySource source;
    source.add("x.weight", {2, 2}, std::vector<std::int32_t>{1, 2, 3, 4});
    refuses(source, 2, 2, {"'x.weight' is i32"});
  }
  {
    MemorySource source = with_scale(2, 2, {});
    source.add("x.activation_scale", {2}, std::vector<float>{1, 1});
    refuses(source, 2, 2, {"'x.activation_scale'", "[2]"});
  }
}

TEST(FindLinear, ScalesMustBeFiniteAndPositive) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float value : {0.0f, -0.5f, kInfinity, -kInfinity, std::nanf("")}) {
    MemorySource source;
    source.add("x.weight", {3, 2}, codes(6));
    source.add("x.weight_scale_inv", {3}, std::vector<float>{1, 1, value});
    expect_error(ErrorCode::corrupt_data, {"'x.weight_scale_inv'", "element 2", "positive"},
                 [&] { find(source, 3, 2); });
    MemorySource input = with_scale(2, 2, {});
    input.add("x.input_scale", {}, std::vector<float>{value});
    expect_error(ErrorCode::corrupt_data, {"'x.input_scale'"}, [&] { find(input, 2, 2); });
  }
}

}  // namespace
}  // namespace isotope::weights
