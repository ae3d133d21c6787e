#include "cli/bench/answer_event.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace isotope::cli {
namespace {

TEST(AnswerEvent, Completion) {
  const AnswerEvent event = parse_answer_event(
      R"({"choices":[{"index":0,"text":" hi","finish_reason":null}],"usage":null})");
  EXPECT_TRUE(event.has_choice);
  EXPECT_FALSE(event.finished);
  EXPECT_EQ(event.text, " hi");
  EXPECT_FALSE(event.completion_tokens);
}

TEST(AnswerEvent, ChatWithReasoningAndTools) {
  EXPECT_EQ(parse_answer_event(R"({"choices":[{"delta":{"content":"a"}}]})").text, "a");
  EXPECT_EQ(parse_answer_event(R"({"choices":[{"delta":{"reasoning_content":"b"}}]})").text, "b");
  EXPECT_EQ(
      parse_answer_event(R"({"choices":[{"delta":{"reasoning":"b","reasoning_content":"b"}}]})")
          .text,
      "b");
  EXPECT_EQ(parse_answer_event(R"({"choices":[{"delta":{"tool_calls":[{"index":0,"function":
      {"name":"f","arguments":"{"}}]}}]})")
                .text,
            "f{");
  const AnswerEvent role = parse_answer_event(
      R"({"choices":[{"delta":{"role":"assistant","content":null},"finish_reason":"stop"}]})");
  EXPECT_TRUE(role.has_choice);
  EXPECT_TRUE(role.finished);
  EXPECT_EQ(role.text, "");
}

TEST(AnswerEvent, Usage) {
  const AnswerEvent event = parse_answer_event(
      R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"ttft_ms":12.5,"tpot_ms":4,
          "prompt_tokens_details":{"cached_tokens":2}}})");
  EXPECT_FALSE(event.has_choice);
  EXPECT_EQ(event.prompt_tokens, 7);
  EXPECT_EQ(event.completion_tokens, 3);
  EXPECT_EQ(event.cached_tokens, 2);
  EXPECT_EQ(event.server_ttft_ms, 12.5);
  EXPECT_EQ(event.server_tpot_ms, 4);
}

TEST(AnswerEvent, LlamaCppsTimings) {
  const AnswerEvent event = parse_answer_event(
      R"({"choices":[{"delta":{},"finish_reason":"stop"}],
          "timings":{"prompt_ms":30.0,"predicted_per_token_ms":2.5}})");
  EXPECT_TRUE(event.finished);
  EXPECT_EQ(event.server_ttft_ms, 30);
  EXPECT_EQ(event.server_tpot_ms, 2.5);
}

TEST(AnswerEvent, WhatIsOfNoUseIsSkipped) {
  const AnswerEvent event = parse_answer_event(
      R"({"choices":"x","usage":{"prompt_tokens":-1,"completion_tokens":"3","ttft_ms":"x"},"timings":[]})");
  EXPECT_FALSE(event.has_choice);
  EXPECT_FALSE(event.prompt_tokens || event.completion_tokens || event.server_ttft_ms);
  EXPECT_TRUE(parse_answer_event(R"({"choices":[null]})").has_choice);
  EXPECT_TRUE(parse_answer_event("[DONE]").done);
}

TEST(AnswerEvent, Errors) {
  EXPECT_EQ(parse_answer_event(R"({"error":{"message":"no","code":500}})").error, "no");
  EXPECT_EQ(parse_answer_event(R"({"error":"no"})").error, "no");
  EXPECT_EQ(parse_answer_event(R"({"error":{"code":500}})").error, R"({"code":500})");
  EXPECT_THROW(parse_answer_event("[1]"), Error);
  EXPECT_THROW(parse_answer_event("{"), Error);
}

TEST(AnswerEvent, MessagesFitOnALine) {
  EXPECT_EQ(error_message(R"({"detail":"a\nb"})"), "a b");
  EXPECT_EQ(error_message(R"({"message":"m"})"), "m");
  EXPECT_EQ(error_message("<html>"), "<html>");
  std::string umlauts;
  for (int i = 0; i < 200; ++i) umlauts += "ü";
  EXPECT_EQ(error_message("x" + umlauts), "x" + umlauts.substr(0, 158) + "…");
}

}  // namespace
}  // namespace isotope::cli
