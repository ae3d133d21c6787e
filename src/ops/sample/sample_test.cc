#include "ops/sample/sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <vector>

#include "ops/sample/philox.h"
#include "ops/sample/sample_testing.h"
#include "ops/testing/paged_batch.h"

namespace isotope::ops {
namespace {

using device::CpuDevice;
using device::Isa;
using namespace testing;

Answer sample_one(const Row& row, Isa isa,
                  std::int64_t vocab_limit = std::numeric_limits<std::int64_t>::max()) {
  return sample_rows({row}, isa, 1, vocab_limit)[0];
}

TEST(Philox, KnownAnswers) {
  // Random123's kat_vectors.
  const auto same = [](std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key,
                       std::array<std::uint32_t, 4> want) {
    EXPECT_EQ(philox4x32_10(counter, key), want);
  };
  same({0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  same({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  same({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST(Sample, GreedyTakesTheLowestIdAmongEqualsAndNeverNaN) {
  for (Isa isa : testing::usable_isas()) {
    for (std::size_t vocab : {1, 5, 63, 64, 65, 1000, 4099}) {
      for (std::size_t best : {std::size_t(0), vocab / 2, vocab - 1}) {
        Row row{.logits = std::vector<float>(vocab, -3.0f)};
        row.logits[best] = 2.5f;
        if (best + 1 < vocab) row.logits[vocab - 1] = 2.5f;
        if (best > 0) row.logits[best - 1] = kNaN;
        EXPECT_EQ(sample_one(row, isa).token, TokenId(best)) << name_of(isa) << ' ' << vocab;
      }
    }
  }
}

TEST(Sample, RowsWithoutAFiniteLogitGiveToken0) {
  for (Isa isa : testing::usable_isas()) {
    for (float filler : {kNaN, -kInfinity}) {
      for (float temperature : {0.0f, 1.0f}) {
        Row row{.logits = std::vector<float>(100, filler)};
        row.params.temperature = temperature;
        row.params.top_p = 0.9f;
        row.params.num_top_logprobs = 2;
        const Answer answer = sample_one(row, isa);
        EXPECT_EQ(answer.token, 0);
        EXPECT_EQ(answer.logprob, -kInfinity);
        EXPECT_EQ(answer.top_ids[0], -1);
      }
    }
  }
}

TEST(Sample, OneFiniteLogitAmongNaNIsAlwaysDrawn) {
  for (Isa isa : testing::usable_isas()) {
    for (float special : {1.0f, kInfinity}) {
      Row row{.logits = std::vector<float>(777, kNaN)};
      row.logits[500] = special;
      row.logits[3] = -kInfinity;
      for (int i = 0; i < 20; ++i) {
        row.params = {.temperature = 1.5f,
                      .top_k = i % 3,
                      .top_p = i % 2 ? 0.5f : 1.0f,
                      .min_p = 0.1f,
                      .num_top_logprobs = 3};
        row.params.counter = std::uint64_t(i);
        const Answer answer = sample_one(row, isa);
        EXPECT_EQ(answer.token, 500);
        EXPECT_EQ(answer.logprob, 0.0f);
        EXPECT_EQ(answer.rank, 1);
        EXPECT_EQ(answer.top_ids[0], 500);
        EXPECT_EQ(answer.top_ids[1], -1);
      }
    }
  }
}

TEST(Sample, VocabularyLimitAndBansHold) {
  for (Isa isa : testing::usable_isas()) {
    Row row{.logits = random_logits(500, 1, 1.0f)};
    row.logits[450] = 90.0f;
    row.logits[3] = 80.0f;
    row.logits[77] = 70.0f;
    row.bias = {{3, -kInfinity}, {-5, 9.0f}, {500, 9.0f}, {2000000000, 9.0f}};
    for (float temperature : {0.0f, 1.0f}) {
      row.params.temperature = temperature;
      EXPECT_EQ(sample_one(row, isa).token, 450);
      EXPECT_EQ(sample_one(row, isa, 450).token, 77);
      EXPECT_EQ(sample_one(row, isa, 77).token < 77, true);
    }
  }
}

TEST(Sample, ForcedTokenGetsItsLogProbabilityAndRank) {
  // Probabilities 1/2, 1/4, 1/8, 1/8.
  Row row{.logits = {std::log(2.0f), std::log(4.0f), 0.0f, 0.0f}};
  row.params.forced_token = 2;
  row.params.num_top_logprobs = 3;
  row.params.repetition_penalty = 5.0f;
  row.output = {1, 1};
  for (Isa isa : testing::usable_isas()) {
    const Answer answer = sample_one(row, isa);
    EXPECT_EQ(answer.token, 2);
    EXPECT_NEAR(answer.logprob, std::log(0.125f), 1e-6);
    EXPECT_EQ(answer.rank, 3);
    EXPECT_EQ(answer.top_ids[0], 1);
    EXPECT_EQ(answer.top_ids[1], 0);
    EXPECT_EQ(answer.top_ids[2], 2);  // before 3, its equal
    EXPECT_NEAR(answer.top_logprobs[0], std::log(0.5f), 1e-6);
    EXPECT_NEAR(answer.top_logprobs[2], std::log(0.125f), 1e-6);
    EXPECT_EQ(answer.top_ids[3], -9);  // not asked for
  }
}

TEST(Sample, LogprobsAreOfTheUnmodifiedLogits) {
  Row row{.logits = {3.0f, 2.0f, 1.0f, 0.0f}};
  row.params.num_top_logprobs = 4;
  row.params.repetition_penalty = 2.0f;
  row.params.presence_penalty = 1.0f;
  row.prompt = {0};
  row.output = {1, 1};
  row.bias = {{2, 5.0f}};
  const double z = std::log(std::exp(3.0) + std::exp(2.0) + std::exp(1.0) + 1.0);
  for (Isa isa : testing::usable_isas()) {
    const Answer answer = sample_one(row, isa);
    EXPECT_EQ(answer.token, 2);  // 1 + 5 against 3/2, 2/2 - 1 and 0
    EXPECT_NEAR(answer.logprob, 1.0 - z, 1e-6);
    EXPECT_EQ(answer.rank, 3);
    for (int i = 0; i < 4; ++i) EXPECT_NEAR(answer.top_logprobs[std::size_t(i)], 3.0 - i - z, 1e-6);
  }
}

/// Draws of one row at `count` successive positions.
std::vector<std::int64_t> histogram(Row row, int count, Isa isa) {
  std::vector<std::int64_t> seen(row.logits.size());
  constexpr int kBatch = 500;
  for (int begin = 0; begin < count; begin += kBatch) {
    std::vector<Row> rows;
    for (int i = begin; i < begin + kBatch; ++i) {
      row.params.counter = std::uint64_t(i);
      rows.push_back(row);
    }
    for (const Answer& answer : sample_rows(rows, isa)) ++seen[std::size_t(answer.token)];
  }
  return seen;
}

/// Pearson's statistic of `seen` against `expected` probabilities; tokens of probability 0 must not
/// appear. Its mean is the degrees of freedom f and its variance 2f: with fixed seeds the limit of
/// f + 5·sqrt(2f) either holds for ever or fails for ever, and by chance would fail once in 10^5.
void expect_distribution(const std::vector<std::int64_t>& seen, const std::vector<double>& expected,
                         const char* what) {
  std::int64_t total = 0;
  for (std::int64_t n : seen) total += n;
  double statistic = 0;
  int freedom = -1;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (expected[i] == 0) {
      EXPECT_EQ(seen[i], 0) << what << ": token " << i << " is not kept";
      continue;
    }
    const double mean = expected[i] * double(total);
    ASSERT_GE(mean, 5) << "the test needs more draws for token " << i;
    statistic += (double(seen[i]) - mean) * (double(seen[i]) - mean) / mean;
    ++freedom;
  }
  EXPECT_LE(statistic, freedom + 5 * std::sqrt(2.0 * std::max(freedom, 1))) << what;
}

TEST(Sample, DrawsFollowTheSoftmax) {
  Row row{.logits = random_logits(97, 5, 1.0f)};
  row.params.seed = 42;
  for (float temperature : {0.7f, 1.0f, 3.0f}) {
    row.params.temperature = temperature;
    std::vector<double> want;
    double sum = 0;
    for (float logit : row.logits)
      want.push_back(std::exp(double(logit) / double(temperature))), sum += want.back();
    for (double& p : want) p /= sum;
    for (Isa isa : testing::usable_isas())
      expect_distribution(histogram(row, temperature < 1 ? 60000 : 20000, isa), want,
                          name_of(isa).data());
  }
}

TEST(Sample, DrawsFollowTransformersProcessors) {
  for (const SampleCase& c : transformers_cases()) {
    Row row = c.row;
    row.params.seed = 7;
    for (Isa isa : testing::usable_isas())
      expect_distribution(histogram(row, 20000, isa), c.probabilities, c.name.c_str());
  }
}

TEST(Sample, FiltersKeepExactlyWhatTheyShouldAtTheirBoundaries) {
  // Probabilities 8, 4, 2, 1, 1 of 16; logits in powers of two are exact up to rounding of ln.
  Row row{.logits = {std::log(2.0f), std::log(8.0f), 0.0f, std::log(4.0f), 0.0f}};
  struct Case {
    std::int32_t top_k;
    float top_p, min_p;
    std::set<TokenId> kept;
  };
  const std::vector<Case> cases = {{0, 0.49f, 0, {1}},
                                   {0, 0.51f, 0, {1, 3}},
                                   {0, 0.76f, 0, {0, 1, 3}},
                                   {0, 0.88f, 0, {0, 1, 2, 3}},
                                   {0, 0.95f, 0, {0, 1, 2, 3, 4}},
                                   {4, 1, 0, {0, 1, 2, 3}},
                                   {5, 1, 0, {0, 1, 2, 3, 4}},
                                   {99, 1, 0, {0, 1, 2, 3, 4}},
                                   {2, 1, 0, {1, 3}},
                                   {2, 0.6f, 0, {1}},
                                   {2, 0.7f, 0, {1, 3}},
                                   {0, 1, 0.3f, {1, 3}},
                                   {0, 1, 0.2f, {0, 1, 3}},
                                   {0, 1, 0.1f, {0, 1, 2, 3, 4}},
                                   {0, 1, 1, {1}},
                                   {0, 0, 0, {1}},
                                   {3, 0.99f, 0.4f, {1, 3}}};
  for (const Case& c : cases) {
    for (Isa isa : testing::usable_isas()) {
      row.params = {
          .temperature = 1.0f, .top_k = c.top_k, .top_p = c.top_p, .min_p = c.min_p, .seed = 3};
      const std::vector<std::int64_t> seen = histogram(row, 1000, isa);
      std::set<TokenId> kept;
      for (std::size_t i = 0; i < seen.size(); ++i)
        if (seen[i]) kept.insert(TokenId(i));
      EXPECT_EQ(kept, c.kept) << name_of(isa) << " top_k " << c.top_k << " top_p " << c.top_p
                              << " min_p " << c.min_p;
    }
  }
}

TEST(Sample, EqualLogitsAreKeptFromTheLowestIdOn) {
  for (Isa isa : testing::usable_isas()) {
    Row row{.logits = std::vector<float>(5000, 1.0f)};
    row.params = {.temperature = 1.0f, .top_k = 10};
    std::vector<std::int64_t> seen = histogram(row, 500, isa);
    for (std::size_t i = 0; i < seen.size(); ++i)
      EXPECT_EQ(seen[i] > 0, i < 10) << name_of(isa) << ' ' << i;
    row.params = {.temperature = 1.0f, .top_p = 0.0015f};  // of 5000: 7.5 tokens, so 8
    seen = histogram(row, 500, isa);
    for (std::size_t i = 0; i < seen.size(); ++i)
      EXPECT_EQ(seen[i] > 0, i < 8) << name_of(isa) << ' ' << i;
  }
}

TEST(Sample, FastFormsAgreeWithTheOracle) {
  for (std::size_t vocab : {1, 3, 17, 64, 130, 1000, 4097, 20011}) {
    const std::vector<Row> rows = mixed_rows(vocab, vocab > 1000 ? 60 : 200);
    const std::vector<Answer> want = sample_rows(rows, Isa::scalar);
    for (Isa isa : testing::usable_isas()) {
      if (isa == Isa::scalar) continue;
      const std::vector<Answer> got = sample_rows(rows, isa);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        // The draw itself is in double for all; only a cut within rounding of a token could differ,
        // and none is.
        EXPECT_EQ(got[i].token, want[i].token) << name_of(isa) << " row " << i << " of " << vocab;
        EXPECT_EQ(got[i].rank, want[i].rank);
        EXPECT_EQ(got[i].top_ids, want[i].top_ids);
        // ln Σ exp within n·2^-24 of relative error a block of 64 values a lane, and exp's 2^-22.
        const auto close = [](float a, float b) {
          return a == b || std::fabs(a - b) <= 4e-6f * (1 + std::fabs(b));
        };
        EXPECT_TRUE(close(got[i].logprob, want[i].logprob))
            << got[i].logprob << ' ' << want[i].logprob;
        for (std::size_t j = 0; j < got[i].top_logprobs.size(); ++j)
          EXPECT_TRUE(close(got[i].top_logprobs[j], want[i].top_logprobs[j])) << j;
      }
    }
  }
}

TEST(Sample, ARowGetsTheSameAnswerInAnyBatch) {
  const std::vector<Row> rows = mixed_rows(3001, 40);
  for (Isa isa : testing::usable_isas()) {
    const std::vector<Answer> together = sample_rows(rows, isa, 3);
    for (std::size_t i = 0; i < rows.size(); i += 7)
      EXPECT_EQ(sample_one(rows[i], isa), together[i]) << i;
  }
}

}  // namespace
}  // namespace isotope::ops
