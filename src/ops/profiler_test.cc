#include "ops/profiler.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "ops/context.h"

namespace isotope::ops {
namespace {

using namespace std::chrono_literals;

void run_step(Context& context, Profiler& profiler, std::chrono::milliseconds time) {
  profiler.begin_step(context.device(), 3, 1);
  context.profiler = &profiler;
  context.mark("first");
  std::this_thread::sleep_for(time);
  context.mark("second");
  std::this_thread::sleep_for(2 * time);
  profiler.end_parts();
  context.profiler = nullptr;
  std::this_thread::sleep_for(time);
  profiler.end_step();
}

TEST(Profiler, PartsFollowEachOtherWithoutGaps) {
  const auto device = device::open_device("cpu", 1);
  Context context(*device, 0);
  Profiler profiler;
  run_step(context, profiler, 4ms);
  run_step(context, profiler, 4ms);
  const std::vector<ProfiledStep> steps = profiler.take();
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_FALSE(steps[0].idle_before);
  EXPECT_GE(steps[1].idle_before.value(), 0.004);
  double at = 0;
  for (const ProfiledStep& step : steps) {
    EXPECT_EQ(step.rows, 3);
    EXPECT_EQ(step.decode_rows, 1);
    ASSERT_EQ(step.parts.size(), 2u);
    EXPECT_EQ(step.parts[0].part, "first");
    EXPECT_EQ(step.parts[1].part, "second");
    EXPECT_GE(step.parts[0].seconds, 0.004);
    EXPECT_GE(step.parts[1].seconds, 0.008);
    EXPECT_DOUBLE_EQ(step.seconds, step.parts[0].seconds + step.parts[1].seconds);
    at += step.idle_before.value_or(0);
    for (const ProfiledPart& part : step.parts) {
      EXPECT_NEAR(part.begin, at, 1e-9);
      at += part.seconds;
    }
  }
  EXPECT_TRUE(profiler.take().empty());
}

TEST(Profiler, AStepThatFailedLeavesNothing) {
  const auto device = device::open_device("cpu", 1);
  Context context(*device, 0);
  Profiler profiler;
  run_step(context, profiler, 1ms);
  profiler.begin_step(*device, 1, 1);
  profiler.mark("lost");
  profiler.abandon();
  run_step(context, profiler, 1ms);
  const std::vector<ProfiledStep> steps = profiler.take();
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_FALSE(steps[1].idle_before);
  EXPECT_EQ(steps[1].parts.size(), 2u);
}

TEST(Profiler, MayOutliveItsDeviceAndGoOnWithAnother) {
  Profiler profiler;
  for (int i = 0; i < 2; ++i) {
    const auto device = device::open_device("cpu", 1);
    Context context(*device, 0);
    run_step(context, profiler, 1ms);
    profiler.leave_device();
  }
  const std::vector<ProfiledStep> steps = profiler.take();
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_FALSE(steps[1].idle_before);
}

TEST(Profiler, AContextThatIsNotProfiledTakesMarks) {
  const auto device = device::open_device("cpu", 1);
  Context context(*device, 0);
  context.mark("nothing happens");
}

}  // namespace
}  // namespace isotope::ops
