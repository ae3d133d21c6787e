#include "engine/engine_core.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <future>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "base/checked.h"
#include "base/error.h"
#include "base/log.h"
#include "engine/memory_plan.h"
#include "engine/testing/fake_model.h"

namespace isotope::engine {
namespace {

using namespace std::chrono_literals;
using testing::fake_logits;
using testing::FakeModel;
using Tokens = std::vector<TokenId>;

struct CoreSetup {
  std::int64_t max_rows = 32, max_seqs = 8, num_blocks = 256, max_model_len = 512;
  bool prefix_caching = true;
  Tokens eos_ids;
  std::uint64_t seed = 0;
  std::function<void(const ops::Rows&)> on_step;
  SchedulingPolicy policy = SchedulingPolicy::fcfs;
};

std::unique_ptr<EngineCore> make_core(const CoreSetup& setup) {
  auto model = std::make_unique<FakeModel>();
  model->on_step = setup.on_step;
  CoreOptions options;
  options.limits = step_limits(setup.max_rows, setup.max_seqs, setup.max_model_len);
  options.workspace_bytes = ops::sample_scratch(options.limits.max_logits, FakeModel::kVocab);
  options.kv = {1, setup.num_blocks, 8, 1, 4, DType::bf16};
  options.max_model_len = setup.max_model_len;
  options.max_num_seqs = setup.max_seqs;
  options.prefix_caching = setup.prefix_caching;
  options.seed = setup.seed;
  options.eos_ids = setup.eos_ids;
  options.policy = setup.policy;
  return std::make_unique<EngineCore>(device::open_device("cpu", 1), std::move(model), options);
}

Request greedy(Tokens prompt, std::int64_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.params.temperature = 0;
  request.params.max_tokens = max_tokens;
  return request;
}

Tokens random_tokens(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  Tokens tokens(count);
  for (TokenId& token : tokens) token = TokenId(random() % FakeModel::kVocab);
  return tokens;
}

/// An answer as its consumer has seen it at the end.
struct Whole {
  std::vector<TokenOutput> outputs;
  Progress last;
  std::vector<TokenLogprobs> prompt_logprobs;

  Tokens tokens() const {
    Tokens ids;
    for (const TokenOutput& output : outputs) ids.push_back(output.id);
    return ids;
  }
};

Whole read(const Engine::Ticket& ticket) {
  Whole whole;
  do {
    whole.last = ticket.answer->wait();
    whole.outputs.insert(whole.outputs.end(), whole.last.tokens.begin(), whole.last.tokens.end());
    if (!whole.last.prompt_logprobs.empty()) {
      EXPECT_TRUE(whole.prompt_logprobs.empty()) << "prompt logprobs came twice";
      whole.prompt_logprobs = whole.last.prompt_logprobs;
    }
  } while (!whole.last.finished);
  return whole;
}

TokenId argmax(const std::vector<float>& logits) {
  return TokenId(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

/// What greedy decoding must give, from the fake model's definition.
Tokens expected_greedy(const Tokens& prompt, std::int64_t count, const Tokens& stops = {}) {
  Tokens output;
  while (std::int64_t(output.size()) < count) {
    output.push_back(argmax(fake_logits(prompt, output)));
    if (std::count(stops.begin(), stops.end(), output.back())) break;
  }
  return output;
}

double log_softmax(const std::vector<float>& logits, TokenId id) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double(logit));
  return logits[std::size_t(id)] - std::log(sum);
}

/// As requested of SamplingRow: value, rank, and the best k in order.
void expect_logprobs(const std::optional<TokenLogprobs>& got, const std::vector<float>& logits,
                     TokenId id, std::size_t k) {
  ASSERT_TRUE(got.has_value());
  EXPECT_NEAR(got->logprob, log_softmax(logits, id), 1e-4);
  const auto larger = std::count_if(logits.begin(), logits.end(),
                                    [&](float logit) { return logit > logits[std::size_t(id)]; });
  EXPECT_EQ(got->rank, 1 + larger);
  ASSERT_EQ(got->top.size(), k);
  Tokens order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    return logits[std::size_t(a)] > logits[std::size_t(b)];
  });
  for (std::size_t i = 0; i < k; ++i) {
    EXPECT_EQ(got->top[i].first, order[i]);
    EXPECT_NEAR(got->top[i].second, log_softmax(logits, order[i]), 1e-4);
  }
}

std::string refusal(EngineCore& core, Request request,
                    ErrorCode code = ErrorCode::invalid_argument) {
  try {
    core.submit(std::move(request));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  }
  return "accepted";
}

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

TEST(EngineCore, AnswersEndAtTheirDeadline) {
  CoreSetup setup;
  setup.max_seqs = 1;
  setup.on_step = [](const ops::Rows&) { std::this_thread::sleep_for(1ms); };
  const auto core = make_core(setup);
  const auto with_deadline = [&](std::chrono::milliseconds when) {
    Request request = greedy(random_tokens(4, 1), 400);
    request.deadline = std::chrono::steady_clock::now() + when;
    return core->submit(request);
  };
  const auto running = with_deadline(60ms), waiting = with_deadline(20ms),
             past = with_deadline(-1s);
  const auto last = core->submit(greedy(random_tokens(4, 2), 2));
  for (const auto& ticket : {running, waiting, past})
    EXPECT_EQ(read(ticket).last.finished, FinishReason::timed_out);
  EXPECT_EQ(read(last).last.finished, FinishReason::length);
  const EngineStats stats = core->stats();
  EXPECT_EQ(stats.requests_timed_out, 3u);
  EXPECT_EQ(stats.requests_finished, 1u);
  EXPECT_EQ(stats.kv_blocks_held, 0);
  EXPECT_EQ(stats.waiting_tokens, 0);
}

TEST(EngineCore, PriorityWantsItsPolicy) {
  Request urgent = greedy(random_tokens(4, 1), 2);
  urgent.priority = -1;
  EXPECT_NE(refusal(*make_core({}), urgent).find("--scheduling-policy"), std::string::npos);
  CoreSetup setup;
  setup.policy = SchedulingPolicy::priority;
  const auto core = make_core(setup);
  EXPECT_EQ(read(core->submit(urgent)).last.finished, FinishReason::length);
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

/// Token i must be one of (start + i) % vocabulary and the id after it, and `length` of them are all.
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

TEST(EngineCore, AConstraintThatLeavesNothingEndsInAnError) {
  const auto core = make_core({});
  Request request = greedy({1, 2}, 40);
  request.constraint = std::make_shared<StaircaseConstraint>(5, 9);
  request.params.stop_token_ids = {5, 6};
  request.params.min_tokens = 3;
  const Whole whole = read(core->submit(std::move(request)));
  EXPECT_EQ(whole.last.finished, FinishReason::error);
  EXPECT_NE(whole.last.error.find("no token can follow"), std::string::npos);
}

TEST(EngineCore, RefusesWhatCannotBe) {
  CoreSetup setup;
  setup.num_blocks = 4;  // 32 tokens
  setup.max_model_len = 40;
  const auto core = make_core(setup);
  EXPECT_NE(refusal(*core, greedy({}, 1)).find("empty"), std::string::npos);
  EXPECT_EQ(refusal(*core, greedy({1, 97}, 1)),
            "prompt token 1 is 97; expected an id from 0 to 96");
  EXPECT_EQ(refusal(*core, greedy({-1}, 1)), "prompt token 0 is -1; expected an id from 0 to 96");
  const std::string longer = refusal(*core, greedy(random_tokens(21, 0), 20));
  for (const char* number : {"21", "20", "41", "40"})
    EXPECT_NE(longer.find(number), std::string::npos) << longer;
  const std::string larger = refusal(*core, greedy(random_tokens(20, 0), 14));
  EXPECT_NE(larger.find("32 tokens in all"), std::string::npos) << larger;
  Request bad = greedy({1}, 1);
  bad.params.top_p = NAN;
  EXPECT_EQ(refusal(*core, bad).find("'top_p' is nan"), 0u);
  EXPECT_EQ(core->stats().requests_submitted, 0u);
  // The last token is not stored, so 33 tokens fit into 32 places.
  EXPECT_EQ(read(core->submit(greedy(random_tokens(20, 0), 13))).tokens().size(), 13u);
}

TEST(EngineCore, CancellationEndsAnswersAndFreesBlocks) {
  const auto core = make_core({});
  std::vector<Engine::Ticket> tickets;
  for (unsigned i = 0; i < 12; ++i)  // more than may run at a time
    tickets.push_back(core->submit(greedy(random_tokens(10, i), 500)));
  ASSERT_FALSE(tickets[0].answer->wait().tokens.empty());
  for (const auto& ticket : tickets) core->cancel(ticket.number);
  core->cancel(999);
  for (const auto& ticket : tickets) EXPECT_EQ(read(ticket).last.finished, FinishReason::cancelled);
  core->cancel(tickets[0].number);  // again: ignored
  const EngineStats stats = core->stats();
  EXPECT_EQ(stats.kv_blocks_held, 0);
  EXPECT_EQ(stats.running + stats.waiting, 0);
  EXPECT_EQ(stats.requests_cancelled, 12u);
  EXPECT_EQ(stats.requests_finished, 0u);
  EXPECT_EQ(read(core->submit(greedy({1, 2}, 3))).tokens(), expected_greedy({1, 2}, 3));
}

TEST(EngineCore, AFailedStepFailsItsRequestsOnly) {
  set_log_level(LogLevel::off);
  std::atomic<int> fail_at{-1};
  CoreSetup setup;
  setup.on_step = [&fail_at](const ops::Rows&) {
    if (fail_at.fetch_sub(1) == 0) throw Error(ErrorCode::internal, "the device is on fire");
  };
  const auto core = make_core(setup);
  fail_at = 3;
  const auto first = core->submit(greedy(random_tokens(9, 1), 200));
  const Whole failed = read(first);
  EXPECT_EQ(failed.last.finished, FinishReason::error);
  EXPECT_EQ(failed.last.error, "the device is on fire");
  EXPECT_EQ(core->stats().kv_blocks_held, 0);
  const Tokens prompt = random_tokens(9, 1);
  EXPECT_EQ(read(core->submit(greedy(prompt, 20))).tokens(), expected_greedy(prompt, 20));
}

TEST(EngineCore, DestructionCancelsWhatRuns) {
  std::vector<Engine::Ticket> tickets;
  {
    const auto core = make_core({});
    for (unsigned i = 0; i < 20; ++i)
      tickets.push_back(core->submit(greedy(random_tokens(10, i), 500)));
  }
  for (const auto& ticket : tickets) EXPECT_EQ(read(ticket).last.finished, FinishReason::cancelled);
}

TEST(EngineCore, DrainWaitsAndRefuses) {
  std::promise<void> go;
  CoreSetup setup;
  setup.on_step = [ready = go.get_future().share()](const ops::Rows&) { ready.wait(); };
  const auto core = make_core(setup);
  const auto ticket = core->submit(greedy({1, 2, 3}, 5));
  EXPECT_FALSE(core->drain(10ms));
  EXPECT_NE(refusal(*core, greedy({1}, 1), ErrorCode::unavailable).find("shutting down"),
            std::string::npos);
  go.set_value();
  EXPECT_TRUE(core->drain(60s));
  EXPECT_EQ(read(ticket).tokens(), expected_greedy({1, 2, 3}, 5));
}

TEST(EngineCore, ManyThreadsSubmitReadAndCancel) {
  CoreSetup setup;
  setup.num_blocks = 40;
  setup.max_model_len = 100;
  const auto core = make_core(setup);
  std::atomic<int> num_cancelled{0};
  const auto client = [&](unsigned thread) {
    for (unsigned i = 0; i < 12; ++i) {
      const Tokens prompt = random_tokens(1 + (7 * i + thread) % 40, thread);
      const auto ticket = core->submit(greedy(prompt, 20 + i));
      if (i % 4 == 3) {
        std::promise<void> called;
        std::atomic<bool> first{true};
        ticket.answer->on_ready([&] {
          if (first.exchange(false)) called.set_value();
        });
        called.get_future().wait();
        ticket.answer->on_ready(nullptr);
        core->cancel(ticket.number);
      }
      const Whole whole = read(ticket);
      const Tokens got = whole.tokens(), all = expected_greedy(prompt, 20 + i);
      ASSERT_LE(got.size(), all.size());
      EXPECT_EQ(got, Tokens(all.begin(), all.begin() + long(got.size())));
      if (whole.last.finished == FinishReason::cancelled)
        ++num_cancelled;
      else
        EXPECT_EQ(got.size(), all.size());
      (void)core->stats();
    }
  };
  std::vector<std::thread> clients;
  for (unsigned thread = 0; thread < 8; ++thread) clients.emplace_back(client, thread);
  for (std::thread& thread : clients) thread.join();
  const EngineStats stats = core->stats();
  EXPECT_EQ(stats.requests_submitted, 96u);
  EXPECT_EQ(stats.requests_finished + stats.requests_cancelled, 96u);
  EXPECT_EQ(stats.requests_cancelled, std::uint64_t(num_cancelled));
  EXPECT_EQ(stats.kv_blocks_held, 0);
}

}  // namespace
}  // namespace isotope::engine
