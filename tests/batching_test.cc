// Continuous batching with a real forward pass: who else is in the batch changes the time, never
// the answer. The model is a small Qwen3 in FP8 with random weights, on the CPU at hand.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <bit>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace isotope::engine {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kRequests = 32;

EngineOptions options_for_test() {
  EngineOptions options;
  options.model = std::string(ISOTOPE_TEST_DATA) + "/batching";
  options.device = "cpu";
  options.load_format = LoadFormat::dummy;
  options.max_model_len = 512;
  options.max_num_seqs = 64;
  options.max_num_batched_tokens = 128;
  options.prefix_caching = false;
  return options;
}

Request make_request(std::size_t prompt_tokens, std::int64_t new_tokens, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<TokenId> token(3, 4095);
  Request request{.id = fmt::format("test-{}", seed)};
  for (std::size_t i = 0; i < prompt_tokens; ++i) request.prompt.push_back(token(random));
  request.params.temperature = 0;
  request.params.max_tokens = new_tokens;
  request.params.ignore_eos = true;
  request.params.logprobs = 2;
  return request;
}

/// Prompts of 5 to 129 tokens, answers of 8 to 39.
std::vector<Request> mixed_requests() {
  std::vector<Request> requests;
  for (std::size_t i = 0; i < kRequests; ++i)
    requests.push_back(make_request(5 + 4 * i, std::int64_t(8 + i), 100 + i));
  return requests;
}

std::vector<TokenOutput> collect(const Engine::Ticket& ticket) {
  std::vector<TokenOutput> tokens;
  for (;;) {
    Progress progress = ticket.answer->wait();
    for (TokenOutput& token : progress.tokens) tokens.push_back(std::move(token));
    if (!progress.finished) continue;
    EXPECT_EQ(*progress.finished, FinishReason::length) << progress.error;
    return tokens;
  }
}

using Answers = std::vector<std::vector<TokenOutput>>;

Answers run_one_after_another(Engine& engine, const std::vector<Request>& requests) {
  Answers answers;
  for (const Request& request : requests) answers.push_back(collect(engine.submit(request)));
  return answers;
}

Answers run_together(Engine& engine, const std::vector<Request>& requests) {
  std::vector<Engine::Ticket> tickets;
  for (const Request& request : requests) tickets.push_back(engine.submit(request));
  Answers answers;
  for (const Engine::Ticket& ticket : tickets) answers.push_back(collect(ticket));
  return answers;
}

void expect_same_bits(const Answers& expected, const Answers& actual) {
  ASSERT_EQ(expected.size(), actual.size());
  for (std::size_t r = 0; r < expected.size(); ++r) {
    ASSERT_EQ(expected[r].size(), actual[r].size()) << "request " << r;
    for (std::size_t t = 0; t < expected[r].size(); ++t) {
      const TokenOutput &a = expected[r][t], &b = actual[r][t];
      ASSERT_EQ(a.id, b.id) << "request " << r << ", token " << t;
      ASSERT_EQ(std::bit_cast<std::uint32_t>(a.logprobs->logprob),
                std::bit_cast<std::uint32_t>(b.logprobs->logprob))
          << "request " << r << ", token " << t;
    }
  }
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

TEST(Batching, IsFasterAndBitIdentical) {
  Engine engine(options_for_test());
  const std::vector<Request> requests = mixed_requests();
  run_together(engine, requests);  // pages and caches are warm for both
  auto start = Clock::now();
  const Answers alone = run_one_after_another(engine, requests);
  const double alone_seconds = seconds_since(start);
  start = Clock::now();
  const Answers together = run_together(engine, requests);
  const double together_seconds = seconds_since(start);
  fmt::print("{} requests: {:.2f} s one after another, {:.2f} s together ({:.1f} times faster)\n",
             kRequests, alone_seconds, together_seconds, alone_seconds / together_seconds);
  expect_same_bits(alone, together);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which would be what is timed
  EXPECT_LT(together_seconds, alone_seconds);
#endif
}

TEST(Batching, WithoutBatchInvarianceTokensAgreeWhereTheGapIsClear) {
  constexpr float kClearGap = 0.25f;
  EngineOptions options = options_for_test();
  options.batch_invariant = false;
  Engine engine(options);
  const std::vector<Request> requests = mixed_requests();
  const Answers alone = run_one_after_another(engine, requests);
  const Answers together = run_together(engine, requests);
  std::int64_t compared = 0;
  for (std::size_t r = 0; r < requests.size(); ++r) {
    for (std::size_t t = 0; t < alone[r].size(); ++t) {
      const auto& top = alone[r][t].logprobs->top;
      const bool clear = top[0].second - top[1].second > kClearGap;
      if (clear) {
        ASSERT_EQ(alone[r][t].id, together[r][t].id) << "request " << r << ", token " << t;
        ++compared;
      }
      if (alone[r][t].id != together[r][t].id) break;  // from here on the contexts differ
    }
  }
  EXPECT_GT(compared, 50) << "the model's answers are too flat to compare";
}

TEST(Batching, SharedPrefixIsComputedOnce) {
  constexpr std::int64_t kShared = 96, kOwn = 5, kSharers = 16;
  EngineOptions options = options_for_test();
  options.prefix_caching = true;
  Engine engine(options);
  const Request prefix = make_request(kShared, 4, 7);
  std::vector<Request> requests;
  for (std::int64_t i = 0; i < kSharers; ++i) {
    Request request = prefix;
    const Request tail = make_request(kOwn, 4, 1000 + std::uint64_t(i));
    request.prompt.insert(request.prompt.end(), tail.prompt.begin(), tail.prompt.end());
    requests.push_back(request);
  }
  const Answers shared = run_together(engine, requests);
  const EngineStats stats = engine.stats();
  fmt::print("{} requests sharing {} of {} tokens: {} computed, {} from the cache\n", kSharers,
             kShared, kShared + kOwn, stats.prompt_tokens_computed, stats.prompt_tokens_cached);
  EXPECT_EQ(stats.prompt_tokens_computed, std::uint64_t(kShared + kSharers * kOwn));
  EXPECT_EQ(stats.prompt_tokens_cached, std::uint64_t((kSharers - 1) * kShared));
  Engine without(options_for_test());
  expect_same_bits(run_one_after_another(without, requests), shared);
}

TEST(Batching, PreemptionLosesAndChangesNothing) {
  EngineOptions options = options_for_test();
  options.max_model_len = 192;
  const std::vector<Request> requests = mixed_requests();
  Engine roomy(options);
  const Answers expected = run_one_after_another(roomy, requests);
  options.num_kv_blocks = 14;  // of 16 tokens: a little more than one sequence of 192
  Engine tight(options);
  const Answers actual = run_together(tight, requests);
  fmt::print("14 blocks for {} requests: {} preemptions\n", kRequests, tight.stats().preemptions);
  EXPECT_GT(tight.stats().preemptions, 0u);
  EXPECT_EQ(tight.stats().kv_blocks_held, 0);
  expect_same_bits(expected, actual);
}

}  // namespace
}  // namespace isotope::engine
