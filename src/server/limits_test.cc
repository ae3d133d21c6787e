// Who may queue, what is counted, and how it is shown.
#include <gtest/gtest.h>

#include "server/admission.h"
#include "server/answer_fields.h"
#include "server/api_error.h"
#include "server/endpoints.h"
#include "server/metrics_text.h"
#include "server/process_stats.h"
#include "server/request_stats.h"
#include "server/trace_context.h"

namespace isotope::server {
namespace {

using namespace std::chrono_literals;

ApiError refusal(const QueueLimits& limits, const engine::EngineStats& stats,
                 const QueueNeed& need) {
  try {
    check_queue(limits, stats, 8, need);
  } catch (const ApiError& error) {
    return error;
  }
  return {0, "accepted"};
}

std::string retry_after(const ApiError& error) {
  for (const auto& [name, value] : error.headers())
    if (name == "Retry-After") return value;
  return "none";
}

TEST(Admission, CountsPlacesAndTheQueue) {
  const QueueLimits limits{.requests = 10, .tokens = 0};
  engine::EngineStats stats;
  stats.running = 8;
  stats.waiting = 9;
  EXPECT_EQ(refusal(limits, stats, {.requests = 1}).status(), 0);
  EXPECT_EQ(refusal(limits, stats, {.requests = 2}).status(), 429);
  stats.running = 4;  // the others come next
  EXPECT_EQ(refusal(limits, stats, {.requests = 5}).status(), 0);
  EXPECT_EQ(refusal({.requests = 0, .tokens = 0}, stats, {.requests = 10'000}).status(), 0);
}

TEST(Admission, RetryAfterFollowsTheRateOfEnds) {
  const QueueLimits limits{.requests = 10, .tokens = 0};
  engine::EngineStats stats;
  stats.running = 8;
  stats.waiting = 10;
  EXPECT_EQ(retry_after(refusal(limits, stats, {.requests = 6})), "1");  // nothing is known yet
  stats.ends_per_second = 0.5;
  EXPECT_EQ(retry_after(refusal(limits, stats, {.requests = 6})), "12");
  stats.ends_per_second = 100;
  EXPECT_EQ(retry_after(refusal(limits, stats, {.requests = 6})), "1");
  stats.ends_per_second = 1e-6;
  EXPECT_EQ(retry_after(refusal(limits, stats, {.requests = 6})), "600");
}

TEST(Admission, WhatCanNeverBeServedIsNoMatterOfTime) {
  const QueueLimits limits{.requests = 10, .tokens = 0};
  EXPECT_EQ(refusal(limits, {}, {.requests = 19}).status(), 400);
  engine::EngineStats own;
  own.waiting = 10;
  EXPECT_EQ(refusal(limits, own, {.requests = 9, .own = 10}).status(), 400);
  EXPECT_EQ(refusal(limits, own, {.requests = 9}).status(), 429);
  EXPECT_EQ(refusal(limits, {}, {.requests = 18}).status(), 0);
}

TEST(Admission, TokensAreLimitedOnlyWhileSomethingWaits) {
  const QueueLimits limits{.requests = 0, .tokens = 1000};
  engine::EngineStats stats;
  EXPECT_EQ(refusal(limits, stats, {.requests = 1, .tokens = 5000}).status(), 0);
  stats.waiting = 4;
  stats.waiting_tokens = 800;
  stats.ends_per_second = 2;
  EXPECT_EQ(refusal(limits, stats, {.requests = 1, .tokens = 200}).status(), 0);
  const ApiError error = refusal(limits, stats, {.requests = 3, .tokens = 1000});
  EXPECT_EQ(error.status(), 429);
  EXPECT_EQ(retry_after(error), "2");  // 800 tokens too many are four requests
}

std::optional<double> seconds_left(std::string_view body, double limit) {
  ModelLimits limits;
  limits.names = {"m"};
  limits.request_timeout = limit;
  const json::value value = parse_body(body);
  const AnswerFields answer = read_answer_fields(RequestFields(value), limits);
  if (!answer.deadline) return std::nullopt;
  return std::chrono::duration<double>(*answer.deadline - engine::RequestTimes::Clock::now())
      .count();
}

TEST(Deadline, IsTheShorterOfTheRequestsAndTheServers) {
  EXPECT_FALSE(seconds_left("{}", 0));
  EXPECT_NEAR(*seconds_left("{}", 30), 30, 1);
  EXPECT_NEAR(*seconds_left(R"({"timeout": 10.5})", 0), 10.5, 1);
  EXPECT_NEAR(*seconds_left(R"({"timeout": 10})", 30), 10, 1);
  EXPECT_NEAR(*seconds_left(R"({"timeout": 50})", 30), 30, 1);
  for (const char* bad : {"0", "-1", "1e9", "\"5\""})
    EXPECT_THROW(seconds_left(fmt::format("{{\"timeout\": {}}}", bad), 0), ApiError) << bad;
}

TEST(Readiness, BeginsWithTheModelAndEndsWithShutdown) {
  ServerState state;
  EXPECT_EQ(show_ready(state).status, 503);
  EXPECT_EQ(show_health(state).status, 200);
  state.phase = ServerState::Phase::serving;
  EXPECT_EQ(show_ready(state).status, 200);
  state.phase = ServerState::Phase::draining;
  EXPECT_EQ(show_ready(state).status, 503);
  EXPECT_EQ(show_health(state).status, 200);
}

TEST(MetricsText, EscapesAndSumsUp) {
  MetricsText out(MetricLabels{{"model_name", "a\"b\\c\nd"}});
  out.gauge("g", "a \"b\" \\ c\nd", 1.5);
  static constexpr std::array kBounds{1.0, 2.0, 5.0};
  Histogram<kBounds> histogram;
  for (const double value : {0.5, 1.0, 1.5, 4.0, 9.0}) histogram.observe(value);
  out.histogram("h", "x", histogram, 2);
  out.plain_counter("c_total", "x", 12345678901.0);
  const std::string label = R"({model_name="a\"b\\c\nd")";
  EXPECT_EQ(out.take(), "# HELP g a \"b\" \\\\ c\\nd\n# TYPE g gauge\ng" + label + "} 1.5\n" +
                            "# HELP h x\n# TYPE h histogram\n" + "h_bucket" + label +
                            ",le=\"1\"} 2\nh_bucket" + label + ",le=\"2\"} 3\nh_bucket" + label +
                            ",le=\"+Inf\"} 5\nh_sum" + label + "} 16\nh_count" + label +
                            "} 5\n# HELP c_total x\n# TYPE c_total counter\nc_total 12345678901\n");
}

TEST(RequestStats, EveryEndIsCountedAndOnlyWholeAnswersAreTimed) {
  RequestStats stats;
  const auto start = engine::RequestTimes::Clock::now() - 10s;
  const engine::RequestTimes times{start, start + 1s, start + 3s, start + 7s};
  using engine::FinishReason;
  for (const auto reason : {FinishReason::stop, FinishReason::length, FinishReason::length,
                            FinishReason::cancelled, FinishReason::timed_out, FinishReason::error})
    stats.note_end({reason, 7, 5, 100, times});
  const RequestCounts counts = stats.counts();
  EXPECT_EQ(counts.ends, (std::array<std::uint64_t, 4>{1, 2, 2, 1}));
  EXPECT_EQ(counts.timeouts, 1u);
  EXPECT_EQ(counts.queue.sum(), 3);
  EXPECT_EQ(counts.prefill.sum(), 6);
  EXPECT_EQ(counts.decode.sum(), 12);
  EXPECT_EQ(counts.inference.sum(), 18);
  EXPECT_EQ(counts.token.sum(), 3);  // 4 s for four tokens after the first, three times
  EXPECT_NEAR(counts.whole.sum(), 30, 0.5);
  EXPECT_EQ(counts.generated_tokens.sum(), 15);
}

TEST(ProcessStats, SpeakOfThisProcess) {
  const ProcessStats stats = process_stats();
  ASSERT_TRUE(stats.cpu_seconds && stats.start_seconds && stats.resident_bytes &&
              stats.open_descriptors && stats.max_descriptors);
  EXPECT_GE(*stats.open_descriptors, 3);
  EXPECT_GT(*stats.resident_bytes, 1 << 20);
  EXPECT_GT(*stats.virtual_bytes, *stats.resident_bytes);
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_NEAR(*stats.start_seconds, now, 600);
}

// The examples of W3C Trace Context, section 3.2, and what breaks each of its rules.
TEST(TraceContext, TakesWhatTheSpecificationAllows) {
  const std::string trace = "0af7651916cd43dd8448eb211c80319c", parent = "b7ad6b7169203331";
  const auto context =
      read_trace_context("00-" + trace + "-" + parent + "-01", "congo=t61rcWkgMzE");
  ASSERT_TRUE(context);
  EXPECT_EQ(context->trace_id, trace);
  EXPECT_EQ(context->parent_id, parent);
  EXPECT_EQ(context->state, "congo=t61rcWkgMzE");
  EXPECT_EQ(context->span_id.size(), 16u);
  EXPECT_NE(context->span_id, parent);
  EXPECT_EQ(context->response(), "00-" + trace + "-" + context->span_id + "-01");
  EXPECT_TRUE(read_trace_context("cc-" + trace + "-" + parent + "-01-what-later-versions-add", ""));
  EXPECT_EQ(read_trace_context("00-" + trace + "-" + parent + "-01", std::string(513, 'a'))->state,
            "");
  EXPECT_EQ(read_trace_context("00-" + trace + "-" + parent + "-01", "a=\x01")->state, "");
}

TEST(TraceContext, IgnoresEverythingElse) {
  const std::string trace = "0af7651916cd43dd8448eb211c80319c", parent = "b7ad6b7169203331";
  for (const std::string& bad :
       {std::string(), std::string("00"), "00-" + trace + "-" + parent + "-0",
        "ff-" + trace + "-" + parent + "-01", "00-" + trace + "-" + parent + "-01-more",
        "cc-" + trace + "-" + parent + "-01.more", "00_" + trace + "-" + parent + "-01",
        "00-" + std::string(32, '0') + "-" + parent + "-01",
        "00-" + trace + "-" + std::string(16, '0') + "-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" + parent + "-01",
        "0x-" + trace + "-" + parent + "-01", "00-" + trace + "-" + parent + "-zz"})
    EXPECT_FALSE(read_trace_context(bad, "")) << bad;
}

}  // namespace
}  // namespace isotope::server
