// How requests come and end otherwise than by their tokens: refusals, deadlines, cancellation,
// errors, shutdown.
#include "engine/engine_core.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <future>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "engine/testing/fake_core.h"

namespace isotope::engine {
namespace {

using namespace std::chrono_literals;
using namespace testing;

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

TEST(EngineCore, PriorityWantsItsPolicy) {
  Request urgent = greedy(random_tokens(4, 1), 2);
  urgent.priority = -1;
  EXPECT_NE(refusal(*make_core({}), urgent).find("--scheduling-policy"), std::string::npos);
  CoreSetup setup;
  setup.policy = SchedulingPolicy::priority;
  const auto core = make_core(setup);
  EXPECT_EQ(read(core->submit(urgent)).last.finished, FinishReason::length);
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
