#include "cli/profile_report.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace isotope::cli {
namespace {

ops::ProfiledStep step(double first, double second, std::optional<double> idle) {
  ops::ProfiledStep step;
  step.rows = step.decode_rows = 2;
  step.idle_before = idle;
  step.parts = {{"qkv", 0, first, 100},
                {"attention", first, second, 40},
                {"qkv", first + second, first, 100}};
  step.seconds = 2 * first + second;
  return step;
}

const std::vector<models::PartWork> kWork = {{"qkv", 2, 1000, 4000}, {"attention", 1, 50, 10}};

TEST(ProfileReport, PartsAndIdleTimeAddUpToTheStep) {
  const std::vector<ops::ProfiledStep> steps = {step(1, 2, std::nullopt), step(2, 3, 0.5),
                                                step(3, 4, 1.0)};
  const Profile profile = make_profile("decode", steps, kWork);
  ASSERT_EQ(profile.rows.size(), 3u);
  EXPECT_EQ(profile.rows[0].part, "qkv");
  EXPECT_DOUBLE_EQ(profile.rows[0].seconds, 4);  // 2, 4 and 6
  EXPECT_DOUBLE_EQ(profile.rows[0].loaded_bytes, 200);
  EXPECT_EQ(profile.rows[0].calls, 2);
  EXPECT_DOUBLE_EQ(profile.rows[1].seconds, 3);
  EXPECT_EQ(profile.rows[2].part, "between steps");
  EXPECT_DOUBLE_EQ(profile.rows[2].seconds, 0.5);  // 0, 0.5 and 1
  EXPECT_DOUBLE_EQ(profile.seconds, 7.5);
}

TEST(ProfileReport, APartIsHeldAgainstItsNearerCeiling) {
  const std::vector<ops::ProfiledStep> steps = {step(1, 2, 0.5)};
  const json::object report =
      to_json(make_profile("decode", steps, kWork), {.read_bytes = 1000, .flops = 2000});
  const json::array& parts = report.at("parts").as_array();
  // 4000 operations take 2 s at 2000 a second, 1000 bytes 1 s; the part took 2 s.
  EXPECT_DOUBLE_EQ(parts[0].at("ceiling_part").as_double(), 1.0);
  EXPECT_DOUBLE_EQ(parts[1].at("ceiling_part").as_double(), 0.05 / 2);
  EXPECT_DOUBLE_EQ(parts[2].at("ceiling_part").as_double(), 0.0);
}

TEST(ProfileReport, TheTraceHoldsEveryPartInMicroseconds) {
  const std::vector<ops::ProfiledStep> steps = {step(1, 2, 0.5), step(2, 3, 0.5)};
  const json::value trace = json::parse(chrome_trace(steps, "a \"device\""));
  const json::array& events = trace.at("traceEvents").as_array();
  ASSERT_EQ(events.size(), 2u + 6u);
  const json::value& attention = events[3];
  EXPECT_EQ(attention.at("name").as_string(), "attention");
  EXPECT_EQ(attention.at("ph").as_string(), "X");
  EXPECT_DOUBLE_EQ(attention.at("ts").as_double(), 1e6);
  EXPECT_DOUBLE_EQ(attention.at("dur").as_double(), 2e6);
  EXPECT_EQ(events[5].at("args").at("step").as_int64(), 1);
}

}  // namespace
}  // namespace isotope::cli
