#include "engine/request.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <thread>

#include "base/error.h"
#include "engine/answer.h"

namespace isotope::engine {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

template <typename Change>
void expect_refused(const char* field, Change change) {
  SamplingParams params;
  change(params);
  try {
    validate(params, 100);
    ADD_FAILURE() << field << " was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_EQ(std::string(error.what()).find(std::string("'") + field + "' "), 0u) << error.what();
  }
}

TEST(SamplingParams, OutOfRangeFieldsAreNamed) {
  for (const float value : {-0.1f, 101.0f, kNan, kInf})
    expect_refused("temperature", [=](SamplingParams& p) { p.temperature = value; });
  for (const float value : {0.0f, -0.1f, 1.01f, kNan})
    expect_refused("top_p", [=](SamplingParams& p) { p.top_p = value; });
  expect_refused("top_k", [](SamplingParams& p) { p.top_k = -2; });
  for (const float value : {-0.1f, 1.1f, kNan})
    expect_refused("min_p", [=](SamplingParams& p) { p.min_p = value; });
  for (const float value : {0.0f, -1.0f, kNan, kInf})
    expect_refused("repetition_penalty", [=](SamplingParams& p) { p.repetition_penalty = value; });
  for (const float value : {-2.1f, 2.1f, kNan}) {
    expect_refused("presence_penalty", [=](SamplingParams& p) { p.presence_penalty = value; });
    expect_refused("frequency_penalty", [=](SamplingParams& p) { p.frequency_penalty = value; });
  }
  for (const std::int64_t value : {std::int64_t(-1), std::numeric_limits<std::int64_t>::max()})
    expect_refused("max_tokens", [=](SamplingParams& p) { p.max_tokens = value; });
  for (const std::int64_t value : {-1, 17})  // max_tokens is 16
    expect_refused("min_tokens", [=](SamplingParams& p) { p.min_tokens = value; });
  for (const TokenId id : {-1, 100}) {
    expect_refused("stop_token_ids", [=](SamplingParams& p) { p.stop_token_ids = {5, id}; });
    expect_refused("logit_bias", [=](SamplingParams& p) { p.logit_bias = {{id, 1.0f}}; });
  }
  for (const float value : {-100.5f, 101.0f, kNan, kInf})
    expect_refused("logit_bias", [=](SamplingParams& p) { p.logit_bias = {{3, value}}; });
  expect_refused("stop_token_ids", [](SamplingParams& p) { p.stop_token_ids.assign(1025, 1); });
  expect_refused("logit_bias", [](SamplingParams& p) { p.logit_bias.assign(1025, {1, 1.0f}); });
  for (const std::int32_t value : {-1, 21}) {
    expect_refused("logprobs", [=](SamplingParams& p) { p.logprobs = value; });
    expect_refused("prompt_logprobs", [=](SamplingParams& p) { p.prompt_logprobs = value; });
  }
}

TEST(SamplingParams, TheEdgesOfRangesAreAccepted) {
  SamplingParams params;
  params.temperature = 0;
  params.top_p = 1;
  params.top_k = -1;
  params.min_p = 1;
  params.presence_penalty = params.frequency_penalty = -2;
  params.max_tokens = params.min_tokens = 0;
  params.stop_token_ids = {0, 99};
  params.logit_bias = {{0, -100}, {99, 100}};
  params.logprobs = 0;
  params.prompt_logprobs = 20;
  EXPECT_NO_THROW(validate(params, 100));
}

Progress token(TokenId id) {
  Progress progress;
  progress.tokens.push_back({id, std::nullopt});
  return progress;
}

TEST(Answer, CollectsWhatWasWrittenBetweenTakes) {
  AnswerWriter writer;
  const auto answer = writer.answer();
  EXPECT_TRUE(answer->take().tokens.empty());
  writer.write(token(1));
  writer.write(token(2));
  EXPECT_EQ(answer->wait().tokens.size(), 2u);
  Progress last = token(3);
  last.finished = FinishReason::stop;
  writer.write(last);
  const Progress taken = answer->take();
  ASSERT_EQ(taken.tokens.size(), 1u);
  EXPECT_EQ(taken.tokens[0].id, 3);
  EXPECT_EQ(taken.finished, FinishReason::stop);
  // Nothing follows, and nobody waits for it.
  EXPECT_TRUE(answer->wait().tokens.empty());
}

TEST(Answer, WaitWakesUp) {
  AnswerWriter writer;
  const auto answer = writer.answer();
  std::thread other([&writer] { writer.write(token(7)); });
  EXPECT_EQ(answer->wait().tokens.at(0).id, 7);
  other.join();
}

TEST(Answer, CallsBackForWhatIsThereAndWhatComes) {
  AnswerWriter writer;
  const auto answer = writer.answer();
  int calls = 0;
  answer->on_ready([&calls] { ++calls; });
  EXPECT_EQ(calls, 0);
  writer.write(token(1));
  EXPECT_EQ(calls, 1);
  answer->on_ready([&calls] { calls += 10; });  // token 1 is still there
  EXPECT_EQ(calls, 11);
  writer.write(token(2));
  EXPECT_EQ(calls, 21);
  answer->on_ready(nullptr);
  writer.write(token(3));
  EXPECT_EQ(calls, 21);
}

TEST(Answer, ACallbackMayTakeReplaceItselfAndThrow) {
  AnswerWriter writer;
  const auto answer = writer.answer();
  std::string log;
  answer->on_ready([&] {
    log += std::to_string(answer->take().tokens.size());
    answer->on_ready([&log] {
      log += "x";
      throw Error(ErrorCode::internal, "from a callback");
    });
  });
  writer.write(token(1));
  writer.write(token(2));
  EXPECT_EQ(log, "1x");
}

TEST(Answer, ARemovedCallbackIsNotRunning) {
  for (int i = 0; i < 200; ++i) {
    AnswerWriter writer;
    const auto answer = writer.answer();
    auto value = std::make_unique<int>(0);
    answer->on_ready([&value] { ++*value; });
    std::thread other([&writer] {
      for (int k = 0; k < 20; ++k) writer.write(token(k));
    });
    answer->on_ready(nullptr);
    value.reset();  // a use after this would be reported by the sanitizers
    other.join();
  }
}

}  // namespace
}  // namespace isotope::engine
