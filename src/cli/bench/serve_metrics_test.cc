#include "cli/bench/serve_metrics.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace isotope::cli {
namespace {

LoadRecord record(double start, std::vector<double> events) {
  return {.start = start, .events = std::move(events), .sent = true};
}

LoadRecord failed(std::string error) { return {.error = std::move(error), .sent = true}; }

TEST(ServeMetrics, ByHand) {
  LoadResult load{.records = {record(0, {1, 1.5, 3}), record(2, {4}), failed("x"), failed("x")},
                  .duration = 8};
  load.records[0].first_text = 1.5;
  load.records[1].first_text = 4;
  const TokenCounts tokens{.input = {10, 20, 99, 99}, .output = {5, 1, 0, 0}};
  const ServeMetrics metrics =
      compute_metrics(load, tokens, std::vector<double>{99}, {.ttft = 1000});
  EXPECT_EQ(metrics.sent, 4);
  EXPECT_EQ(metrics.completed, 2);
  EXPECT_EQ(metrics.failed, 2);
  EXPECT_EQ(metrics.success_rate(), 0.5);
  EXPECT_EQ(metrics.errors.at("x"), 2);
  EXPECT_EQ(metrics.total_input, 30);
  EXPECT_EQ(metrics.total_output, 6);
  EXPECT_DOUBLE_EQ(metrics.request_throughput, 0.25);
  EXPECT_DOUBLE_EQ(metrics.output_throughput, 0.75);
  EXPECT_DOUBLE_EQ(metrics.total_throughput, 4.5);
  EXPECT_DOUBLE_EQ(metrics.ttft.mean, 1500);  // 1 s, 2 s
  EXPECT_DOUBLE_EQ(metrics.e2el.mean, 2500);  // 3 s, 2 s
  EXPECT_DOUBLE_EQ(metrics.tpot.mean, 500);   // 2 s over 4 tokens; one token has none
  EXPECT_EQ(metrics.tpot.count, 1u);
  EXPECT_DOUBLE_EQ(metrics.itl.mean, 1000);  // 0.5 s, 1.5 s
  EXPECT_DOUBLE_EQ(metrics.request_goodput.value(), 0.125);
  EXPECT_DOUBLE_EQ(metrics.first_text_delay, 250);
  EXPECT_EQ(metrics.peak_concurrency, 2);
  EXPECT_EQ(metrics.max_output_tokens_per_s, 2);
}

TEST(ServeMetrics, AnEndMakesPlaceForAStartAtTheSameTime) {
  const LoadResult load{.records = {record(0, {1}), record(1, {2})}, .duration = 2};
  EXPECT_EQ(compute_metrics(load, {{1, 1}, {1, 1}}, {}, {}).peak_concurrency, 1);
}

TEST(ServeMetrics, WhatAnInterruptionCutIsNotCounted) {
  LoadResult load{.records = {record(0, {1}), failed("interrupted"), {}}, .duration = 2};
  load.records[1].interrupted = true;
  const ServeMetrics metrics = compute_metrics(load, {{1, 1, 1}, {1, 0, 0}}, {}, {});
  EXPECT_EQ(metrics.sent, 1);
  EXPECT_EQ(metrics.cut, 1);
  EXPECT_EQ(metrics.failed, 0);
  EXPECT_EQ(metrics.success_rate(), 1);
  EXPECT_FALSE(metrics.request_goodput);
}

TEST(ServeMetrics, NothingAtAll) {
  const ServeMetrics metrics = compute_metrics({}, {}, std::vector<double>{99}, {});
  EXPECT_EQ(metrics.success_rate(), 0);
  EXPECT_EQ(metrics.request_throughput, 0);
}

TEST(Goodput, IsParsed) {
  const Goodput goodput = parse_goodput({"ttft:500", "e2el:0.5"});
  EXPECT_EQ(goodput.ttft, 500);
  EXPECT_EQ(goodput.e2el, 0.5);
  EXPECT_FALSE(goodput.tpot);
  EXPECT_TRUE(goodput.any());
  EXPECT_FALSE(parse_goodput({}).any());
  for (const char* pair :
       {"", "ttft", "ttft:", "ttft:x", "ttft:-1", "itl:5", "ttft:5x", "ttft:nan"})
    EXPECT_THROW(parse_goodput({pair}), Error) << pair;
}

}  // namespace
}  // namespace isotope::cli
