#include "models/rope.h"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <cmath>
#include <string>

#include "base/json.h"

namespace isotope::models {
namespace {

using weights::RopeParameters;

RopeParameters standard(double theta) {
  RopeParameters rope;
  rope.theta = theta;
  return rope;
}

RopeParameters llama3(double factor) {
  RopeParameters rope = standard(5e5);
  rope.type = RopeParameters::Type::llama3;
  rope.factor = factor;
  rope.low_freq_factor = 1.0;
  rope.high_freq_factor = 4.0;
  rope.original_max_position = 8192;
  return rope;
}

RopeParameters yarn(double factor, std::int64_t original) {
  RopeParameters rope = standard(1e6);
  rope.type = RopeParameters::Type::yarn;
  rope.factor = factor;
  rope.original_max_position = original;
  return rope;
}

RopeParameters ministral3() {
  RopeParameters rope = yarn(16, 16384);
  rope.mscale = rope.mscale_all_dim = 1.0;
  return rope;
}

struct Case {
  std::string key;  ///< in rope-reference.json
  RopeParameters rope;
};

TEST(Rope, FrequenciesAgreeWithTheReference) {
  const json::value document = parse_json_file(ISOTOPE_TEST_DATA "/rope-reference.json");
  const std::vector<Case> cases = {
      {"qwen3 (theta 1e6, head_dim 128, default)", standard(1e6)},
      {"qwen3 with the optional yarn factor 4 (original 32768)", yarn(4, 32768)},
      {"ministral3 yarn (theta 1e6, head_dim 128, factor 16, original 16384, beta 32/1, mscale 1, "
       "mscale_all_dim 1)",
       ministral3()},
      {"llama-3.1-8b (theta 5e5, head_dim 128, llama3 factor 8, low 1, high 4, original 8192)",
       llama3(8)},
      {"llama-3.2-3b (theta 5e5, head_dim 128, llama3 factor 32, low 1, high 4, original 8192)",
       llama3(32)},
      {"llama default (theta 1e4, head_dim 64)", standard(1e4)},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.key);
    const json::object& expected = document.as_object().at(c.key).as_object();
    const json::array& frequencies = expected.at("inv_freq").as_array();
    const RopeTable table = make_rope_table(c.rope, 2 * std::int64_t(frequencies.size()));
    ASSERT_EQ(table.inverse_frequencies.size(), frequencies.size());
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
      const double reference = frequencies[i].to_number<double>();
      // Both compute in double precision; the powers may differ in the last places.
      EXPECT_NEAR(table.inverse_frequencies[i], reference, 1e-13 * reference) << "pair " << i;
    }
    EXPECT_NEAR(table.attention_factor, expected.at("attention_factor").to_number<double>(), 1e-14);
  }
}

// The values are those of transformers' modeling_rope_utils for these parameters.
TEST(Rope, AttentionFactorOfYarn) {
  RopeParameters rope = yarn(16, 16384);
  EXPECT_NEAR(make_rope_table(rope, 128).attention_factor, 1.2772588722239782, 1e-14);
  rope.mscale = 1.0;  // counts only together with mscale_all_dim
  EXPECT_NEAR(make_rope_table(rope, 128).attention_factor, 1.2772588722239782, 1e-14);
  rope.mscale_all_dim = 0.5;
  EXPECT_NEAR(make_rope_table(rope, 128).attention_factor, 1.2772588722239782 / 1.1386294361119891,
              1e-14);
  rope.attention_factor = 0.75;  // overrides what the scales would give
  EXPECT_EQ(make_rope_table(rope, 128).attention_factor, 0.75);
  rope = yarn(1, 16384);
  EXPECT_EQ(make_rope_table(rope, 128).attention_factor, 1.0);
}

TEST(Rope, LinearDividesEveryFrequency) {
  RopeParameters rope = standard(1e4);
  rope.type = RopeParameters::Type::linear;
  rope.factor = 4;
  const RopeTable table = make_rope_table(rope, 4);
  ASSERT_EQ(table.inverse_frequencies.size(), 2u);
  EXPECT_DOUBLE_EQ(table.inverse_frequencies[0], 0.25);    // 1 / 4
  EXPECT_DOUBLE_EQ(table.inverse_frequencies[1], 0.0025);  // 1e4^(-1/2) / 4
  EXPECT_EQ(table.attention_factor, 1.0);
}

// A ramp whose ends are not whole dimensions: low 20.38…, high 36.44… without truncation.
TEST(Rope, YarnWithoutTruncationBeginsItsRampBetweenDimensions) {
  RopeParameters rope = ministral3();
  rope.truncate = false;
  const RopeTable exact = make_rope_table(rope, 128);
  const double low = 20.3849609879223, high = 36.4398940900013;
  for (const int i : {0, 20, 21, 30, 36, 37, 63}) {
    const double plain = std::pow(1e6, -2.0 * i / 128);
    const double ramp = std::min(1.0, std::max(0.0, (i - low) / (high - low)));
    const double expected = plain / 16 * ramp + plain * (1 - ramp);
    EXPECT_NEAR(exact.inverse_frequencies[std::size_t(i)], expected, 1e-12 * expected) << i;
  }
}

}  // namespace
}  // namespace isotope::models
