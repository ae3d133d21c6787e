#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>

#include "base/checked.h"

namespace isotope::engine {
namespace {

constexpr std::int64_t kBlock = 4;

/// Plays runner and engine: every step writes what each slot would hold, and checks through the
/// block tables that each token's whole context is there.
class Simulation {
 public:
  explicit Simulation(SchedulerOptions options) : options_(options), scheduler_(options) {}

  Sequence& submit(std::vector<TokenId> prompt, std::int64_t max_tokens,
                   bool prompt_logprobs = false, std::int64_t priority = 0,
                   std::int64_t choice = 0) {
    Request request;
    request.prompt = std::move(prompt);
    request.params.max_tokens = max_tokens;
    request.priority = priority;
    request.choice = choice;
    if (prompt_logprobs) request.params.prompt_logprobs = 0;
    const std::uint64_t number = ++last_number_;
    if (choice == 0) ++arrivals_;
    SequenceSetup setup{options_.block_size, 1 << 20, {}, 0};
    setup.turn = arrivals_ + std::uint64_t(choice);
    auto sequence = std::make_unique<Sequence>(number, std::move(request), std::move(setup));
    scheduler_.add(*sequence);
    return *(sequences_[number] = std::move(sequence));
  }

  void cancel(std::uint64_t number) {
    scheduler_.remove(*sequences_.at(number));
    ended_.push_back(std::move(sequences_.at(number)));
    sequences_.erase(number);
    residence_.erase(number);
  }

  /// One step, checked against every rule that holds for all steps.
  Step step() {
    const std::uint64_t preemptions = scheduler_.counters().preemptions;
    const Step step = scheduler_.schedule();
    check_limits(step);
    // Whoever yielded to another may have found a place beside it.
    if (scheduler_.counters().preemptions != preemptions)
      for (const Chunk& chunk : step.chunks)
        if (const auto resident = residence_.find(chunk.sequence->number());
            resident != residence_.end() && resident->second != chunk.begin)
          residence_.erase(resident);
    for (const Chunk& chunk : step.chunks) compute(chunk);
    // Only after all have written: sequences of one step do not depend on each other's order.
    for (const Chunk& chunk : step.chunks)
      check_context(*chunk.sequence, chunk.begin + chunk.count);
    take_logprobs(step);
    scheduler_.commit(step);
    for (const Chunk& chunk : step.chunks) finish_or_append(*chunk.sequence);
    for (auto it = residence_.begin(); it != residence_.end();)  // preempted: starts anew
      it = sequences_.at(it->first)->blocks().empty() ? residence_.erase(it) : std::next(it);
    EXPECT_NO_THROW(scheduler_.check_integrity());
    return step;
  }

  void run_to_end() {
    for (int steps = 0; scheduler_.has_work(); ++steps) {
      ASSERT_LT(steps, 100000) << "no progress";
      step();
      if (::testing::Test::HasFailure()) return;
    }
  }

  Scheduler& scheduler() { return scheduler_; }
  std::map<std::uint64_t, std::unique_ptr<Sequence>>& sequences() { return sequences_; }
  std::int64_t num_finished = 0;

 private:
  /// Content of a slot: a digest of all tokens and phases up to it.
  std::uint64_t digest(const Sequence& sequence, std::int64_t position) const {
    std::uint64_t hash = 17;
    for (std::int64_t p = 0; p <= position; ++p) {
      hash = hash * 1000003 + std::uint64_t(sequence.tokens()[std::size_t(p)]);
      hash = hash * 1000003 + (p < sequence.num_prompt() ? 1 : 2);
    }
    return hash;
  }
  std::int64_t slot(const Sequence& sequence, std::int64_t p) const {
    return sequence.blocks().at(std::size_t(p / options_.block_size)) * options_.block_size +
           p % options_.block_size;
  }

  void check_limits(const Step& step) const {
    EXPECT_LE(step.num_rows, options_.max_rows);
    EXPECT_LE(step.num_logits, options_.max_logits);
    EXPECT_LE(std::int64_t(step.chunks.size()), options_.max_seqs);
    EXPECT_LE(scheduler_.num_running(), options_.max_seqs);
    std::int64_t rows = 0, decode_rows = 0, logits = 0;
    for (const Chunk& chunk : step.chunks) {
      rows += chunk.count;
      if (chunk.phase == Phase::decode) {
        EXPECT_EQ(decode_rows + chunk.count, rows) << "a prefill before a decode";
        decode_rows += chunk.count;
        EXPECT_GE(chunk.begin, chunk.sequence->num_prompt());
      } else {
        EXPECT_LE(chunk.begin + chunk.count, chunk.sequence->num_prompt());
      }
      for (std::int64_t p = chunk.begin; p < chunk.begin + chunk.count; ++p)
        logits += chunk.sequence->wants_sample(p) || chunk.sequence->wants_prompt_logprob(p);
    }
    EXPECT_EQ(rows, step.num_rows);
    EXPECT_EQ(decode_rows, step.num_decode_rows);
    EXPECT_EQ(logits, step.num_logits);
  }

  void compute(const Chunk& chunk) {
    Sequence& sequence = *chunk.sequence;
    // Within one residence every token is computed exactly once, in order.
    const auto [resident, starts] = residence_.try_emplace(sequence.number(), chunk.begin);
    EXPECT_TRUE(!starts || chunk.begin % options_.block_size == 0);
    EXPECT_EQ(resident->second, chunk.begin);
    resident->second = chunk.begin + chunk.count;
    EXPECT_GT(chunk.count, 0);
    for (std::int64_t p = chunk.begin; p < chunk.begin + chunk.count; ++p)
      slots_[slot(sequence, p)] = digest(sequence, p);
  }

  void check_context(const Sequence& sequence, std::int64_t end) const {
    for (std::int64_t p = 0; p < end; ++p) {
      const auto found = slots_.find(slot(sequence, p));
      ASSERT_NE(found, slots_.end());
      ASSERT_EQ(found->second, digest(sequence, p))
          << "sequence " << sequence.number() << " position " << p;
    }
  }

  void take_logprobs(const Step& step) {
    for (const Chunk& chunk : step.chunks)
      for (std::int64_t p = chunk.begin; p < chunk.begin + chunk.count; ++p)
        if (!chunk.sequence->wants_sample(p) && chunk.sequence->wants_prompt_logprob(p))
          chunk.sequence->add_prompt_logprob({});
  }

  void finish_or_append(Sequence& sequence) {
    if (sequence.num_remaining() > 0) return;
    if (sequence.params().max_tokens > 0) {
      sequence.append(
          TokenId((sequence.number() * 31 + std::uint64_t(sequence.num_tokens())) % 50));
      if (!sequence.finish_reason()) return;
    }
    if (sequence.params().prompt_logprobs) {
      EXPECT_EQ(std::int64_t(sequence.take_prompt_logprobs().size()), sequence.num_prompt());
    }
    EXPECT_EQ(sequence.num_output(), sequence.params().max_tokens);
    ++num_finished;
    cancel(sequence.number());
  }

  SchedulerOptions options_;
  Scheduler scheduler_;
  std::uint64_t last_number_ = 0, arrivals_ = 0;
  std::map<std::uint64_t, std::unique_ptr<Sequence>> sequences_;
  std::map<std::uint64_t, std::int64_t> residence_;  // next position, of resident sequences
  std::map<std::int64_t, std::uint64_t> slots_;
  std::vector<std::unique_ptr<Sequence>> ended_;  // steps still point to them
};

std::vector<TokenId> tokens(std::int64_t count, TokenId first) {
  std::vector<TokenId> ids(static_cast<std::size_t>(count));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

/// Logits for every row, and prefixes are shared.
SchedulerOptions limits(std::int64_t max_rows, std::int64_t max_seqs,
                        std::int64_t num_blocks = 64) {
  return {.max_rows = max_rows,
          .max_seqs = max_seqs,
          .max_logits = max_rows,
          .num_blocks = num_blocks,
          .block_size = kBlock};
}

SchedulerOptions with_logits(SchedulerOptions options, std::int64_t max_logits) {
  options.max_logits = max_logits;
  return options;
}

SchedulerOptions without_prefixes(SchedulerOptions options) {
  options.prefix_caching = false;
  return options;
}

/// "1d[20,21) 2p[0,7)": sequence, phase, positions.
std::string describe(const Step& step) {
  std::string text;
  for (const Chunk& chunk : step.chunks)
    text += fmt::format("{}{}{}[{},{})", text.empty() ? "" : " ", chunk.sequence->number(),
                        chunk.phase == Phase::decode ? 'd' : 'p', chunk.begin,
                        chunk.begin + chunk.count);
  return text;
}

TEST(Scheduler, DecodesFirstThenChunksInOrderOfArrival) {
  Simulation simulation(limits(8, 4));
  simulation.submit(tokens(5, 0), 3);
  simulation.submit(tokens(11, 100), 2);
  EXPECT_EQ(describe(simulation.step()), "1p[0,5) 2p[0,3)");
  simulation.submit(tokens(2, 200), 1);
  EXPECT_EQ(describe(simulation.step()), "1d[5,6) 2p[3,10)");
  EXPECT_EQ(describe(simulation.step()), "1d[6,7) 2p[10,11) 3p[0,2)");
  EXPECT_EQ(describe(simulation.step()), "2d[11,12)");
  EXPECT_FALSE(simulation.scheduler().has_work());
}

TEST(Scheduler, SequencesBeyondTheLimitWait) {
  Simulation simulation(limits(64, 2));
  for (int i = 0; i < 3; ++i) simulation.submit(tokens(4, 10 * i), 2);
  EXPECT_EQ(describe(simulation.step()), "1p[0,4) 2p[0,4)");
  EXPECT_EQ(simulation.scheduler().num_waiting(), 1);
  EXPECT_EQ(describe(simulation.step()), "1d[4,5) 2d[4,5)");
  EXPECT_EQ(describe(simulation.step()), "3p[0,4)");
}

TEST(Scheduler, TheYoungestIsPreemptedAndRecomputedInItsPhases) {
  // Two sequences of up to 12 tokens in the cache, and five blocks of four.
  Simulation simulation(without_prefixes(limits(16, 2, 5)));
  simulation.submit(tokens(4, 0), 9);
  simulation.submit(tokens(4, 100), 9);
  EXPECT_EQ(describe(simulation.step()), "1p[0,4) 2p[0,4)");
  for (int i = 4; i < 8; ++i)
    EXPECT_EQ(describe(simulation.step()), fmt::format("1d[{0},{1}) 2d[{0},{1})", i, i + 1));
  EXPECT_EQ(describe(simulation.step()), "1d[8,9)");  // the fifth block; none is left for 2
  EXPECT_EQ(simulation.scheduler().counters().preemptions, 1u);
  EXPECT_EQ(simulation.scheduler().pool().held(), 3);
  for (int i = 9; i < 12; ++i)
    EXPECT_EQ(describe(simulation.step()), fmt::format("1d[{},{})", i, i + 1));
  EXPECT_EQ(simulation.num_finished, 1);
  // Prompt tokens run as prefill, then generated ones as decode, never in one chunk.
  EXPECT_EQ(describe(simulation.step()), "2p[0,4)");
  EXPECT_EQ(describe(simulation.step()), "2d[4,9)");
  simulation.run_to_end();
  EXPECT_EQ(simulation.num_finished, 2);
}

TEST(Scheduler, PreemptedSequencesComeBeforeWaitingOnes) {
  Simulation simulation(without_prefixes(limits(16, 2, 5)));
  for (int i = 0; i < 3; ++i) simulation.submit(tokens(4, 100 * i), 9);
  std::string order;
  while (simulation.scheduler().has_work()) {
    const auto before = simulation.num_finished;
    std::vector<std::uint64_t> alive;
    for (const auto& [number, sequence] : simulation.sequences()) alive.push_back(number);
    simulation.step();
    if (simulation.num_finished == before) continue;
    for (const std::uint64_t number : alive)
      if (!simulation.sequences().contains(number)) order += std::to_string(number);
  }
  EXPECT_EQ(order, "123");
  EXPECT_GT(simulation.scheduler().counters().preemptions, 0u);
}

/// The numbers of those that a step computes for.
std::string members(const Step& step) {
  std::set<std::uint64_t> numbers;
  for (const Chunk& chunk : step.chunks) numbers.insert(chunk.sequence->number());
  return fmt::format("{}", fmt::join(numbers, " "));
}

TEST(Scheduler, ARequestOfManyChoicesKeepsNoOtherWaiting) {
  Simulation simulation(without_prefixes(limits(64, 4)));
  for (int choice = 0; choice < 8; ++choice)
    simulation.submit(tokens(4, 0), 20, false, 0, choice);  // 1 to 8
  EXPECT_EQ(members(simulation.step()), "1 2 3 4");
  simulation.submit(tokens(4, 100), 3);  // 9, the last choice in the batch yields at once
  EXPECT_EQ(members(simulation.step()), "1 2 3 9");
  EXPECT_EQ(simulation.scheduler().counters().preemptions, 1u);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(members(simulation.step()), "1 2 3 9");
  EXPECT_EQ(members(simulation.step()), "1 2 3 4");
  // Another one with many: they take turns, and no more is preempted than that takes.
  for (int choice = 0; choice < 8; ++choice)
    simulation.submit(tokens(4, 200), 20, false, 0, choice);  // 10 to 17
  for (int i = 0; i < 6; ++i) simulation.step();
  EXPECT_EQ(members(simulation.step()), "1 2 3 10");
  EXPECT_EQ(simulation.scheduler().counters().preemptions, 2u);
  simulation.run_to_end();
  EXPECT_EQ(simulation.num_finished, 17);
}

TEST(Scheduler, ChoicesAreNotHeldBackByMoreThanTheirShareOfLaterRequests) {
  Simulation simulation(limits(64, 1));
  for (int choice = 0; choice < 3; ++choice)
    simulation.submit(tokens(4, 0), 1, false, 0, choice);                      // 1 2 3
  for (int i = 0; i < 4; ++i) simulation.submit(tokens(4, 100 * (i + 1)), 1);  // 4 5 6 7
  std::string order;
  while (simulation.scheduler().has_work()) order += members(simulation.step());
  EXPECT_EQ(order, "1243567");
}

TEST(Scheduler, LowerPriorityValuesGoFirstAndTheOthersYield) {
  Simulation simulation(without_prefixes(limits(64, 2)));
  simulation.submit(tokens(4, 0), 4, false, 5);
  simulation.submit(tokens(4, 100), 4, false, 5);
  EXPECT_EQ(members(simulation.step()), "1 2");
  simulation.submit(tokens(4, 200), 2, false, 9);
  simulation.submit(tokens(4, 300), 2, false, -1);
  EXPECT_EQ(members(simulation.step()), "1 4");  // 2 yields to 4
  EXPECT_EQ(members(simulation.step()), "1 4");
  EXPECT_EQ(members(simulation.step()), "1 2");  // 2 was before 3
  simulation.run_to_end();
  EXPECT_EQ(simulation.num_finished, 4);
  EXPECT_EQ(simulation.scheduler().counters().preemptions, 1u);
}

TEST(Scheduler, WithoutBlocksTheLeastImportantYields) {
  // 24 tokens in six blocks; each sequence comes to take three.
  Simulation simulation(without_prefixes(limits(64, 4, 6)));
  simulation.submit(tokens(7, 0), 5, false, 5);
  simulation.submit(tokens(7, 100), 5, false, 5);
  EXPECT_EQ(members(simulation.step()), "1 2");
  simulation.submit(tokens(11, 200), 1, false, 0);
  EXPECT_EQ(members(simulation.step()), "1 3");
  simulation.run_to_end();
  EXPECT_EQ(simulation.num_finished, 3);
}

TEST(Scheduler, ASharedPrefixIsComputedOnce) {
  // 16 requests at once: 40 common tokens (10 blocks), then 3 of their own.
  Simulation simulation(limits(32, 16, 256));
  for (int i = 0; i < 16; ++i) {
    auto prompt = tokens(40, 0);
    for (TokenId id : tokens(3, 1000 + 10 * i)) prompt.push_back(id);
    simulation.submit(prompt, 2);
  }
  simulation.run_to_end();
  EXPECT_EQ(simulation.num_finished, 16);
  EXPECT_EQ(simulation.scheduler().counters().prompt_tokens_computed, 40u + 16 * 3);
  EXPECT_EQ(simulation.scheduler().counters().prompt_tokens_cached, 15u * 40);
}

TEST(Scheduler, UnrelatedRequestsOvertakeThoseThatWaitForAPrefix) {
  Simulation simulation(limits(12, 8));
  auto shared = tokens(10, 0);
  simulation.submit(shared, 1);
  simulation.submit(shared, 1);
  simulation.submit(tokens(2, 500), 1);
  EXPECT_EQ(describe(simulation.step()), "1p[0,10) 3p[0,2)");
  EXPECT_EQ(describe(simulation.step()), "2p[8,10)");
}

TEST(Scheduler, CancellingTheOneThatComputesAPrefixLetsTheNextDoIt) {
  Simulation simulation(limits(4, 4));
  for (int i = 0; i < 3; ++i) simulation.submit(tokens(12, 0), 1);
  EXPECT_EQ(describe(simulation.step()), "1p[0,4)");
  simulation.cancel(1);
  EXPECT_EQ(simulation.scheduler().pool().held(), 0);
  EXPECT_EQ(describe(simulation.step()), "2p[4,8)");  // the first block is cached
  EXPECT_EQ(describe(simulation.step()), "2p[8,12)");
  simulation.run_to_end();
  EXPECT_EQ(simulation.num_finished, 2);
}

TEST(Scheduler, TheLastPromptTokenIsAlwaysComputed) {
  Simulation simulation(with_logits(limits(64, 4), 4));
  simulation.submit(tokens(12, 0), 1);
  simulation.run_to_end();
  simulation.submit(tokens(12, 0), 1);
  EXPECT_EQ(describe(simulation.step()), "2p[8,12)");
  simulation.submit(tokens(13, 0), 1);
  EXPECT_EQ(describe(simulation.step()), "3p[12,13)");
  simulation.submit(tokens(12, 0), 1, true);  // prompt logprobs: all of it
  EXPECT_EQ(describe(simulation.step()), "4p[0,4)");
}

TEST(Scheduler, GeneratedBlocksAreNotTakenForPromptBlocks) {
  Simulation simulation(with_logits(limits(64, 4), 4));
  Sequence& first = simulation.submit(tokens(4, 0), 9);
  for (int i = 0; i < 8; ++i) simulation.step();
  std::vector<TokenId> conversation = first.tokens();  // as prompt of a second turn
  ASSERT_EQ(conversation.size(), 12u);
  simulation.run_to_end();
  simulation.submit(conversation, 1);
  EXPECT_EQ(describe(simulation.step()), "2p[4,12)");
}

TEST(Scheduler, PromptLogprobsAreLimitedByTheirRows) {
  Simulation simulation(with_logits(limits(64, 2), 5));
  simulation.submit(tokens(12, 0), 2, true);
  simulation.submit(tokens(3, 100), 0);
  EXPECT_EQ(describe(simulation.step()), "1p[0,5) 2p[0,3)");
  EXPECT_EQ(describe(simulation.step()), "1p[5,10)");
  EXPECT_EQ(describe(simulation.step()), "1p[10,12)");
  EXPECT_EQ(describe(simulation.step()), "1d[12,13)");
}

TEST(Scheduler, RandomTrafficKeepsEveryInvariant) {
  std::uint64_t preemptions = 0, cached = 0;
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&random](std::int64_t low, std::int64_t high) {
      return low + std::int64_t(random() % std::uint64_t(high - low + 1));
    };
    SchedulerOptions options;
    options.max_seqs = pick(1, 6);
    options.max_rows = pick(options.max_seqs, 24);
    options.max_logits = pick(options.max_seqs, 12);
    options.num_blocks = pick(8, 24);
    options.block_size = kBlock;
    options.prefix_caching = seed % 4 != 0;
    Simulation simulation(options);
    std::int64_t submitted = 0, cancelled = 0;
    for (int i = 0; i < 400; ++i) {
      if (pick(0, 3) == 0) {
        // Prompts are prefixes of two common texts, with or without a tail of their own.
        auto prompt = tokens(pick(1, 20), pick(0, 1) ? 0 : 1000);
        if (pick(0, 1))
          for (TokenId id : tokens(pick(1, 4), TokenId(2000 + pick(0, 2)))) prompt.push_back(id);
        // At most 32 tokens of KV in all: 8 blocks of 4.
        const std::int64_t room = 33 - std::int64_t(prompt.size());
        const std::int64_t max_tokens = pick(0, std::min<std::int64_t>(room, 12));
        const std::int64_t priority = seed % 3 == 0 ? pick(-1, 1) : 0;
        const std::int64_t choices = pick(0, 3) == 0 ? pick(1, 8) : 1;
        for (std::int64_t choice = 0; choice < choices; ++choice)
          simulation.submit(prompt, max_tokens, pick(0, 7) == 0, priority, choice);
        submitted += choices;
      }
      if (pick(0, 15) == 0 && !simulation.sequences().empty()) {
        auto victim = simulation.sequences().begin();
        std::advance(victim, pick(0, std::int64_t(simulation.sequences().size()) - 1));
        simulation.cancel(victim->first);
        ++cancelled;
      }
      if (simulation.scheduler().has_work()) simulation.step();
      ASSERT_FALSE(HasFailure()) << "seed " << seed << " iteration " << i;
    }
    simulation.run_to_end();
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    EXPECT_EQ(simulation.num_finished + cancelled, submitted);
    EXPECT_EQ(simulation.scheduler().pool().held(), 0);
    preemptions += simulation.scheduler().counters().preemptions;
    cached += simulation.scheduler().counters().prompt_tokens_cached;
  }
  // The traffic did walk the paths that it is meant to test.
  EXPECT_GT(preemptions, 100u);
  EXPECT_GT(cached, 1000u);
}

}  // namespace
}  // namespace isotope::engine
