// What a request asks of its tokens: log-probabilities, ends, bans, seeds, constraints.
#include "engine/engine_core.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <set>

#include "engine/testing/fake_core.h"
#include "engine/testing/logprobs.h"

namespace isotope::engine {
namespace {

using namespace testing;

TEST(EngineCore, LogprobsOfAnswerAndPrompt) {
  const auto core = make_core({});
  const Tokens prompt = random_tokens(150, 3);  // more than one chunk, and more than 64 logits
  Request request = greedy(prompt, 4);
  request.params.logprobs = 20;
  request.params.prompt_logprobs = 3;
  for (int repeat = 0; repeat < 2; ++repeat) {  // the second could, but must not, use the cache
    const Whole whole = read(core->submit(request));
    EXPECT_EQ(whole.last.num_cached_prompt_tokens, 0);
    ASSERT_EQ(whole.tokens(), expected_greedy(prompt, 4));
    for (std::size_t t = 0; t < 4; ++t) {
      const Tokens before = expected_greedy(prompt, std::int64_t(t));
      expect_logprobs(whole.outputs[t].logprobs, fake_logits(prompt, before), whole.outputs[t].id,
                      20);
    }
    ASSERT_EQ(whole.prompt_logprobs.size(), prompt.size());
    EXPECT_TRUE(whole.prompt_logprobs[0].top.empty());
    for (std::size_t t = 1; t < prompt.size(); ++t)
      expect_logprobs(whole.prompt_logprobs[t],
                      fake_logits({prompt.begin(), prompt.begin() + long(t)}, {}), prompt[t], 3);
  }
}

TEST(EngineCore, NoNewTokensStillComputesThePrompt) {
  const auto core = make_core({});
  Request request = greedy(random_tokens(40, 4), 0);
  request.params.prompt_logprobs = 0;
  const Whole whole = read(core->submit(request));
  EXPECT_TRUE(whole.outputs.empty());
  EXPECT_EQ(whole.last.finished, FinishReason::length);
  EXPECT_EQ(whole.prompt_logprobs.size(), 40u);
  EXPECT_EQ(read(core->submit(greedy({1}, 0))).last.finished, FinishReason::length);
}

TEST(EngineCore, StopsAtEndOfSequenceAndStopTokens) {
  const Tokens prompt = random_tokens(12, 9);
  const Tokens free = expected_greedy(prompt, 40);
  // Tokens of the free answer serve as end-of-sequence (the fifth) and stop token (the third).
  ASSERT_EQ(std::set<TokenId>(free.begin(), free.begin() + 5).size(), 5u);
  CoreSetup setup;
  setup.eos_ids = {free[4]};
  const auto core = make_core(setup);

  Whole whole = read(core->submit(greedy(prompt, 40)));
  EXPECT_EQ(whole.tokens(), Tokens(free.begin(), free.begin() + 5));  // its token is reported
  EXPECT_EQ(whole.last.finished, FinishReason::stop);
  ASSERT_FALSE(whole.last.tokens.empty()) << "the last token comes with the end";
  EXPECT_EQ(whole.last.tokens.back().id, free[4]);

  Request request = greedy(prompt, 40);
  request.params.stop_token_ids = {free[2]};
  whole = read(core->submit(request));
  EXPECT_EQ(whole.tokens(), Tokens(free.begin(), free.begin() + 3));
  EXPECT_EQ(whole.last.finished, FinishReason::stop);

  request = greedy(prompt, 40);
  request.params.ignore_eos = true;
  whole = read(core->submit(request));
  EXPECT_EQ(whole.tokens(), free);
  EXPECT_EQ(whole.last.finished, FinishReason::length);

  request = greedy(prompt, 3);  // the stop token comes just at the limit
  request.params.stop_token_ids = {free[2]};
  EXPECT_EQ(read(core->submit(request)).last.finished, FinishReason::stop);
}

TEST(EngineCore, MinTokensBansWhatWouldStop) {
  const Tokens prompt = random_tokens(12, 9);
  const Tokens free = expected_greedy(prompt, 3);
  CoreSetup setup;
  setup.eos_ids = {free[1]};
  const auto core = make_core(setup);
  Request request = greedy(prompt, 30);
  request.params.min_tokens = 8;
  request.params.stop_token_ids = {free[2]};

  Tokens expected;
  while (expected.size() < 30) {
    auto logits = fake_logits(prompt, expected);
    if (expected.size() < 8)
      logits[std::size_t(free[1])] = logits[std::size_t(free[2])] = -INFINITY;
    expected.push_back(argmax(logits));
    if (expected.back() == free[1] || expected.back() == free[2]) break;
  }
  EXPECT_EQ(read(core->submit(request)).tokens(), expected);
}

TEST(EngineCore, LogitBiasAndVocabularyLimit) {
  const auto core = make_core({});
  core->limit_vocab(40);
  const Tokens prompt = random_tokens(6, 2);
  Tokens expected;
  while (expected.size() < 20) {
    auto logits = fake_logits(prompt, expected);
    logits[7] += 100;  // wins always
    logits.resize(40);
    expected.push_back(argmax(logits));
  }
  Request request = greedy(prompt, 20);
  request.params.logit_bias = {{7, 100.0f}};
  EXPECT_EQ(read(core->submit(request)).tokens(), expected);
  request.params.logit_bias.clear();
  for (const TokenId id : read(core->submit(request)).tokens()) EXPECT_LT(id, 40);
  EXPECT_THROW(core->limit_vocab(98), Error);
}

TEST(EngineCore, SeedsDecideAndNothingElse) {
  const auto sampled = [](std::optional<std::uint64_t> seed, unsigned prompt) {
    Request request = greedy(random_tokens(5, prompt), 30);
    request.params.temperature = 1;
    request.params.seed = seed;
    return request;
  };
  CoreSetup setup;
  setup.seed = 11;
  const auto core = make_core(setup);
  const Tokens alone = read(core->submit(sampled(42, 1))).tokens();
  EXPECT_NE(read(core->submit(sampled(43, 1))).tokens(), alone);
  std::vector<Engine::Ticket> others;
  for (unsigned i = 0; i < 5; ++i) others.push_back(core->submit(sampled({}, i)));
  EXPECT_EQ(read(core->submit(sampled(42, 1))).tokens(), alone);  // in a batch
  // Requests without a seed differ from each other, but not from run to run.
  EXPECT_NE(read(core->submit(sampled({}, 1))).tokens(), read(others[1]).tokens());
  const auto again = make_core(setup);
  const auto other_seed = make_core({});
  const Tokens first = read(again->submit(sampled({}, 1))).tokens();
  EXPECT_EQ(read(make_core(setup)->submit(sampled({}, 1))).tokens(), first);
  EXPECT_NE(read(other_seed->submit(sampled({}, 1))).tokens(), first);
}

TEST(EngineCore, EveryPositionIsDrawnAnew) {
  Request request = greedy(random_tokens(5, 1), 50);
  request.params.temperature = 100;  // logits from 0 to 0.08: practically uniform over 97 tokens
  request.params.seed = 5;
  const Tokens tokens = read(make_core({})->submit(request)).tokens();
  // 50 uniform draws give about 39 different ones, and fewer than 25 practically never.
  EXPECT_GE(std::set<TokenId>(tokens.begin(), tokens.end()).size(), 25u);
}

TEST(EngineCore, ABannedTokenWithoutAlternativeDoesNotStop) {
  const auto core = make_core({});
  core->limit_vocab(1);
  Request request = greedy({3, 4}, 10);
  request.params.stop_token_ids = {0};
  request.params.min_tokens = 4;
  EXPECT_EQ(read(core->submit(request)).tokens(), Tokens(5, 0));
}

/// Token i must be one of (start + i) % vocabulary and the id after it, and `length` of them are
/// all.
class StaircaseConstraint final : public TokenConstraint {
 public:
  StaircaseConstraint(TokenId start, int length) : start_(start), length_(length) {}

  void fill_mask(std::span<std::uint32_t> mask, std::int64_t tokens_left) override {
    EXPECT_EQ(tokens_left, 40 - count_);
    std::fill(mask.begin(), mask.end(), 0);
    for (const TokenId id : {here(), next()}) mask[std::size_t(id) / 32] |= 1u << (id % 32);
  }
  bool accept(TokenId token) override {
    if (token != here() && token != next()) return false;
    ++count_;
    return true;
  }
  bool finished() const override { return count_ == length_; }

 private:
  TokenId here() const { return TokenId((start_ + count_) % FakeModel::kVocab); }
  TokenId next() const { return TokenId((here() + 1) % FakeModel::kVocab); }

  const TokenId start_;
  const int length_;
  int count_ = 0;
};

TEST(EngineCore, ConstraintsHoldThroughBatchingAndPreemption) {
  CoreSetup setup;
  setup.num_blocks = 12;  // of 8 tokens: not enough for all at once
  const auto core = make_core(setup);
  std::vector<Engine::Ticket> tickets;
  for (int i = 0; i < 6; ++i) {
    Request request = greedy(random_tokens(10, unsigned(i)), 40);
    request.params.temperature = i % 2 ? 2.0f : 0.0f;
    if (i < 4) request.constraint = std::make_shared<StaircaseConstraint>(TokenId(i), 20 + i);
    tickets.push_back(core->submit(std::move(request)));
  }
  for (int i = 0; i < 6; ++i) {
    const Whole whole = read(tickets[std::size_t(i)]);
    if (i >= 4) {
      EXPECT_EQ(whole.last.finished, FinishReason::length);
      continue;
    }
    EXPECT_EQ(whole.last.finished, FinishReason::complete);
    ASSERT_EQ(whole.outputs.size(), std::size_t(20 + i));
    for (int t = 0; t < 20 + i; ++t) {
      const TokenId step = (whole.outputs[std::size_t(t)].id - TokenId(i + t)) % FakeModel::kVocab;
      EXPECT_TRUE(step == 0 || step == 1 || step == 1 - FakeModel::kVocab) << t;
    }
  }
  EXPECT_GT(core->stats().preemptions, 0u);
}

/// Token i must be one of `allowed[i]`, and then the answer is complete.
class ListedConstraint final : public TokenConstraint {
 public:
  explicit ListedConstraint(std::vector<Tokens> allowed) : allowed_(std::move(allowed)) {}

  void fill_mask(std::span<std::uint32_t> mask, std::int64_t) override {
    std::fill(mask.begin(), mask.end(), 0);
    for (const TokenId id : allowed_[count_]) mask[std::size_t(id) / 32] |= 1u << (id % 32);
  }
  bool accept(TokenId token) override {
    const Tokens& here = allowed_[count_++];
    return std::find(here.begin(), here.end(), token) != here.end();
  }
  bool finished() const override { return count_ == allowed_.size(); }

 private:
  const std::vector<Tokens> allowed_;
  std::size_t count_ = 0;
};

TEST(EngineCore, AConstraintGoesBeforeMinTokens) {
  const TokenId eos = 9;
  CoreSetup setup;
  setup.eos_ids = {eos};
  const auto core = make_core(setup);
  // What would stop comes only where nothing else may, and does not stop there.
  const std::vector<Tokens> allowed = {{5, 6, 7}, {5}, {5, 8, eos}, {6}, {eos}};
  for (const bool ignore_eos : {false, true}) {
    Request request = greedy({1, 2}, 40);
    request.params.stop_token_ids = {5, 6};
    request.params.min_tokens = 20;
    request.params.ignore_eos = ignore_eos;
    if (ignore_eos) request.params.stop_token_ids.push_back(eos);
    request.constraint = std::make_shared<ListedConstraint>(allowed);
    const Whole whole = read(core->submit(std::move(request)));
    EXPECT_EQ(whole.tokens(), (Tokens{7, 5, 8, 6, eos}));
    EXPECT_EQ(whole.last.finished, FinishReason::stop) << "end-of-sequence is no text";
  }
}

TEST(EngineCore, AConstraintThatLeavesNothingEndsInAnError) {
  const auto core = make_core({});
  Request request = greedy({1, 2}, 40);
  request.constraint = std::make_shared<ListedConstraint>(std::vector<Tokens>{{5}, {}, {6}});
  const Whole whole = read(core->submit(std::move(request)));
  EXPECT_EQ(whole.last.finished, FinishReason::error);
  EXPECT_NE(whole.last.error.find("no token can follow"), std::string::npos);
}

}  // namespace
}  // namespace isotope::engine
