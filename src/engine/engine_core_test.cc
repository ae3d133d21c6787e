// Answers in company: batches, preemption and cached prefixes change no token.
#include "engine/engine_core.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "engine/testing/fake_core.h"
#include "engine/testing/logprobs.h"

namespace isotope::engine {
namespace {

using namespace testing;

TEST(EngineCore, OnePromptGivesTheModelsTokens) {
  const auto core = make_core({});
  for (const std::size_t length : {1, 7, 8, 9, 16, 31, 32, 33, 100}) {
    const Tokens prompt = random_tokens(length, unsigned(length));
    const Whole whole = read(core->submit(greedy(prompt, 20)));
    EXPECT_EQ(whole.tokens(), expected_greedy(prompt, 20)) << length;
    EXPECT_EQ(whole.last.finished, FinishReason::length);
    EXPECT_LE(whole.last.times.submitted, whole.last.times.first_scheduled);
    EXPECT_LE(whole.last.times.first_scheduled, whole.last.times.first_token);
    EXPECT_LT(whole.last.times.first_token, whole.last.times.last_token);
  }
  EXPECT_EQ(core->stats().generated_tokens, 9u * 20);
  EXPECT_EQ(core->stats().requests_finished, 9u);
  EXPECT_EQ(core->stats().kv_blocks_held, 0);
}

TEST(EngineCore, ContinuousBatchingGivesEachWhatItGetsAlone) {
  std::atomic<std::int64_t> most_rows{0}, steps{0};
  CoreSetup setup;
  setup.on_step = [&](const ops::Rows& rows) {
    most_rows = std::max<std::int64_t>(most_rows, rows.decode);
    ++steps;
  };
  const auto core = make_core(setup);
  std::vector<Engine::Ticket> tickets;
  std::vector<Tokens> prompts;
  for (unsigned i = 0; i < 32; ++i) {
    prompts.push_back(random_tokens(1 + 5 * i % 67, i));
    tickets.push_back(core->submit(greedy(prompts.back(), 10 + i % 20)));
  }
  std::int64_t total = 0;
  for (unsigned i = 0; i < 32; ++i) {
    EXPECT_EQ(read(tickets[i]).tokens(), expected_greedy(prompts[i], 10 + i % 20)) << i;
    total += 10 + i % 20;
  }
  EXPECT_EQ(most_rows, 8);      // as many as may run at a time
  EXPECT_LT(steps, total / 3);  // one after another takes more steps than tokens
}

TEST(EngineCore, PreemptionLosesAndChangesNothing) {
  CoreSetup setup;
  setup.num_blocks = 14;  // of 8 tokens; eight requests of up to 64 tokens want 64
  for (const bool prefix_caching : {false, true}) {
    setup.prefix_caching = prefix_caching;
    const auto core = make_core(setup);
    std::vector<Engine::Ticket> tickets;
    std::vector<Tokens> prompts;
    for (unsigned i = 0; i < 8; ++i) {
      prompts.push_back(random_tokens(3 + i, i));
      Request request = greedy(prompts.back(), 50);
      request.params.logprobs = 0;
      if (i % 2) request.params.prompt_logprobs = 1;
      tickets.push_back(core->submit(request));
    }
    for (unsigned i = 0; i < 8; ++i) {
      const Whole whole = read(tickets[i]);
      const Tokens expected = expected_greedy(prompts[i], 50);
      ASSERT_EQ(whole.tokens(), expected) << i;
      for (std::size_t t = 0; t < expected.size(); ++t)
        expect_logprobs(whole.outputs[t].logprobs,
                        fake_logits(prompts[i], {expected.begin(), expected.begin() + long(t)}),
                        expected[t], 0);
      EXPECT_EQ(whole.prompt_logprobs.size(), i % 2 ? prompts[i].size() : 0);
    }
    const EngineStats stats = core->stats();
    EXPECT_GT(stats.preemptions, 3u);
    EXPECT_EQ(stats.generated_tokens, 8u * 50);
    EXPECT_EQ(stats.kv_blocks_held, 0);
  }
}

TEST(EngineCore, RandomSamplingSurvivesPreemptionUnchanged) {
  std::vector<Tokens> answers[2];
  for (const bool tight : {false, true}) {
    CoreSetup setup;
    setup.num_blocks = tight ? 12 : 256;
    const auto core = make_core(setup);
    std::vector<Engine::Ticket> tickets;
    for (unsigned i = 0; i < 6; ++i) {
      Request request = greedy(random_tokens(5, i), 40);
      request.params.temperature = 1.5f;
      request.params.frequency_penalty = 0.5f;
      tickets.push_back(core->submit(request));
    }
    for (const auto& ticket : tickets) answers[tight].push_back(read(ticket).tokens());
    EXPECT_EQ(core->stats().preemptions > 0, tight);
  }
  EXPECT_EQ(answers[0], answers[1]);
}

TEST(EngineCore, APrefixSharedBySixteenIsComputedOnce) {
  CoreSetup setup;
  setup.max_seqs = 16;
  std::promise<void> submitted;
  auto ready = submitted.get_future().share();
  setup.on_step = [ready](const ops::Rows&) { ready.wait(); };
  const auto core = make_core(setup);
  const Tokens prefix = random_tokens(80, 1);  // ten blocks
  std::vector<Engine::Ticket> tickets;
  std::vector<Tokens> prompts;
  for (unsigned i = 0; i < 16; ++i) {
    prompts.push_back(prefix);
    for (const TokenId id : random_tokens(3, 100 + i)) prompts.back().push_back(id);
    tickets.push_back(core->submit(greedy(prompts.back(), 5)));
  }
  submitted.set_value();
  std::int64_t cached = 0;
  for (unsigned i = 0; i < 16; ++i) {
    const Whole whole = read(tickets[i]);
    EXPECT_EQ(whole.tokens(), expected_greedy(prompts[i], 5)) << i;
    cached += whole.last.num_cached_prompt_tokens;
  }
  EXPECT_EQ(cached, 15 * 80);
  EXPECT_EQ(core->stats().prompt_tokens_computed, 80u + 16 * 3);
  EXPECT_EQ(core->stats().prompt_tokens_cached, 15u * 80);
}

TEST(EngineCore, ConversationsReuseTheirPrompts) {
  const auto core = make_core({});
  Tokens prompt = random_tokens(20, 1);
  for (int turn = 0; turn < 4; ++turn) {
    const Whole whole = read(core->submit(greedy(prompt, 10)));
    EXPECT_EQ(whole.tokens(), expected_greedy(prompt, 10)) << turn;
    EXPECT_EQ(whole.last.num_cached_prompt_tokens > 0, turn > 0);
    for (const TokenId id : whole.tokens()) prompt.push_back(id);
    prompt.push_back(5);
  }
}

TEST(EngineCore, StatsTellWhatWaitsAndHowLongThingsTake) {
  CoreSetup setup;
  setup.max_seqs = 2;
  std::promise<void> submitted;
  auto ready = submitted.get_future().share();
  setup.on_step = [ready](const ops::Rows&) { ready.wait(); };
  const auto core = make_core(setup);
  std::vector<Engine::Ticket> tickets;
  for (unsigned i = 0; i < 5; ++i) tickets.push_back(core->submit(greedy(random_tokens(6, i), 10)));
  // At least three wait while the first step stands still.
  while (core->stats().waiting_tokens < 3 * 16) std::this_thread::yield();
  submitted.set_value();
  for (const auto& ticket : tickets) read(ticket);
  const EngineStats stats = core->stats();
  EXPECT_EQ(stats.waiting_tokens, 0);
  EXPECT_GT(stats.ends_per_second, 0);
  EXPECT_EQ(stats.token_gaps.count(), 5u * 9);
  EXPECT_EQ(stats.step_seconds.count(), stats.steps);
  // Every token but the last of each answer is computed once.
  EXPECT_EQ(stats.step_tokens.sum(), 5 * (6 + 9));
}

}  // namespace
}  // namespace isotope::engine
