// How prompts are cut and who else is in a step must not change an answer: bit for bit, since
// kernels and orders of summation depend on shapes and phases only.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstring>

#include "models/test_driver.h"
#include "models/test_reference.h"

namespace isotope::models {
namespace {

using Logits = std::vector<std::vector<float>>;

/// Positions whose logits differ in any bit; positions without logits in `other` are passed over.
std::vector<std::size_t> different_positions(const Logits& expected, const Logits& other) {
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (other[i].empty()) continue;
    if (std::memcmp(expected[i].data(), other[i].data(), expected[i].size() * sizeof(float)) != 0)
      positions.push_back(i);
  }
  return positions;
}

const std::vector<std::size_t> kNone;

/// Setups worth the time: the oracle and each fast form, with either cache.
std::vector<TestSetup> setups() {
  std::vector<TestSetup> all;
  for (TestSetup setup : all_test_setups())
    for (const DType kv : {DType::bf16, DType::f8_e4m3}) {
      setup.kv = kv;
      all.push_back(setup);
    }
  return all;
}

const std::vector<std::string> kModels = {"qwen3-fp8-block-f16-scales", "llama-bf16-tied",
                                          "ministral3-fp8-tensor"};

TEST(Schedule, ChunksOfAPromptGiveTheSameBits) {
  for (const std::string& name : kModels) {
    const Fixture fixture(name);
    for (TestSetup setup : setups()) {
      SCOPED_TRACE(fmt::format("{}, {} KV, {}", name, name_of(setup.kv), path_name(setup)));
      TestDriver driver(fixture.config, *fixture.source, setup);
      for (const ReferencePrompt& prompt : fixture.prompts) {
        const Logits whole = run_alone(driver, prompt);
        for (const std::int64_t chunk : {1, 7, 16})
          EXPECT_EQ(different_positions(whole, run_alone(driver, prompt, chunk)), kNone)
              << "prompt of " << prompt.ids.size() << " in chunks of " << chunk;
      }
    }
  }
}

TEST(Schedule, BlocksInAnyOrderGiveTheSameBits) {
  for (const std::string& name : kModels) {
    const Fixture fixture(name);
    for (TestSetup setup : setups()) {
      SCOPED_TRACE(fmt::format("{}, {} KV, {}", name, name_of(setup.kv), path_name(setup)));
      TestDriver plain(fixture.config, *fixture.source, setup);
      setup.shuffled_blocks = true;
      TestDriver shuffled(fixture.config, *fixture.source, setup);
      for (const ReferencePrompt& prompt : fixture.prompts)
        EXPECT_EQ(different_positions(run_alone(plain, prompt), run_alone(shuffled, prompt)), kNone)
            << "prompt of " << prompt.ids.size();
    }
  }
}

/// Decodes of one prompt, padded with idle rows, beside the chunks of two others that follow.
void run_together(TestDriver& driver, std::vector<TestSequence>& sequences, std::int64_t chunk) {
  TestSequence& first = sequences[0];
  driver.step({{&first, first.num_prompt}});
  for (bool any = true; any;) {
    std::vector<TestChunk> chunks;
    for (TestSequence& sequence : sequences)
      if (sequence.done >= sequence.num_prompt &&
          sequence.done < std::int64_t(sequence.tokens.size()))
        chunks.push_back({&sequence, 1});
    const std::int64_t idle = chunks.empty() ? 0 : 3;
    for (TestSequence& sequence : sequences)
      if (sequence.done < sequence.num_prompt)
        chunks.push_back({&sequence, std::min(chunk, sequence.num_prompt - sequence.done)});
    any = !chunks.empty();
    if (any) driver.step(chunks, idle);
  }
}

TEST(Schedule, OtherSequencesInAStepChangeNoBit) {
  for (const std::string& name : kModels) {
    const Fixture fixture(name);
    for (TestSetup setup : setups()) {
      SCOPED_TRACE(fmt::format("{}, {} KV, {}", name, name_of(setup.kv), path_name(setup)));
      setup.shuffled_blocks = true;
      TestDriver driver(fixture.config, *fixture.source, setup);
      std::vector<Logits> alone;
      std::vector<TestSequence> sequences;
      for (const std::size_t i : {1, 3, 2}) alone.push_back(run_alone(driver, fixture.prompts[i]));
      for (const std::size_t i : {1, 3, 2}) {
        const ReferencePrompt& prompt = fixture.prompts[i];
        sequences.push_back(driver.begin(prompt.tokens(), std::int64_t(prompt.ids.size())));
      }
      run_together(driver, sequences, 11);
      for (std::size_t i = 0; i < sequences.size(); ++i)
        EXPECT_EQ(different_positions(alone[i], sequences[i].logits), kNone) << "sequence " << i;
    }
  }
}

TEST(Schedule, MoreThreadsGiveTheSameBits) {
  for (const std::string& name : kModels) {
    const Fixture fixture(name);
    for (TestSetup setup : setups()) {
      SCOPED_TRACE(fmt::format("{}, {} KV, {}", name, name_of(setup.kv), path_name(setup)));
      TestDriver one(fixture.config, *fixture.source, setup);
      setup.threads = 3;
      TestDriver three(fixture.config, *fixture.source, setup);
      for (const std::size_t i : {1, 2})
        EXPECT_EQ(different_positions(run_alone(one, fixture.prompts[i]),
                                      run_alone(three, fixture.prompts[i])),
                  kNone);
    }
  }
}

TEST(Schedule, LogitsOfTheLastRowAloneAreThoseOfAllRows) {
  const Fixture fixture("llama-fp8-row");
  for (const TestSetup& setup : setups()) {
    SCOPED_TRACE(fmt::format("{} KV, {}", name_of(setup.kv), path_name(setup)));
    TestDriver driver(fixture.config, *fixture.source, setup);
    for (const ReferencePrompt& prompt : fixture.prompts) {
      const Logits all = run_alone(driver, prompt);
      TestSequence sequence = driver.begin(prompt.tokens(), std::int64_t(prompt.ids.size()));
      driver.step({{&sequence, sequence.num_prompt}}, 0, /*all_logits=*/false);
      driver.end(sequence);
      EXPECT_FALSE(sequence.logits[prompt.ids.size() - 1].empty());
      EXPECT_EQ(different_positions(all, sequence.logits), kNone);
    }
  }
}

TEST(Schedule, TheWorkspacePlanIsWhatTheLargestStepTakes) {
  const Fixture fixture("qwen3-fp8-block");
  for (const TestSetup& setup : setups()) {
    TestDriver driver(fixture.config, *fixture.source, setup);
    constexpr std::int64_t kRows = TestDriver::kLimits.max_rows;
    TestSequence sequence = driver.begin(std::vector<TokenId>(std::size_t(kRows), 5), kRows);
    EXPECT_NO_THROW(driver.step({{&sequence, kRows}})) << path_name(setup);
    EXPECT_GT(driver.context().workspace().peak(), driver.context().workspace().capacity() / 2);
  }
}

}  // namespace
}  // namespace isotope::models
