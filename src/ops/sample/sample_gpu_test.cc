// sample on a GPU against the oracle: the same random bits and the same selection give the same
// token, whatever else is in the batch. (That these draws follow the right distribution is
// sample_test.cc's.)
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "ops/sample/sample_testing.h"
#include "ops/testing/gpu_machine.h"

namespace isotope::ops {
namespace {

using namespace testing;
using device::Isa;

constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

template <typename T>
void download(GpuMachine& machine, const TensorView& view, std::vector<T>& values) {
  const std::vector<std::byte> bytes = machine.download(view);
  ASSERT_EQ(bytes.size(), values.size() * sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
}

/// `padding` elements stand between one row of logits and the next.
std::vector<Answer> sample_gpu_rows(const std::vector<Row>& rows,
                                    std::int64_t vocab_limit = kNoLimit, std::int64_t padding = 0) {
  SampleArrays arrays(rows);
  const std::int64_t m = arrays.m, vocab = arrays.vocab, stride = vocab + padding;
  GpuMachine machine(sample_scratch(m, vocab));
  std::vector<float> padded(std::size_t(m * stride), 1e30f);
  for (std::int64_t i = 0; i < m; ++i)
    std::copy_n(arrays.logits.begin() + i * vocab, vocab, padded.begin() + i * stride);
  TensorView logits = machine.upload(padded, Shape{m, stride});
  logits.shape = Shape{m, vocab};
  std::vector<std::uint8_t> params(std::size_t(m) * sizeof(SamplingRow));
  std::memcpy(params.data(), arrays.params.data(), params.size());
  const auto vector = [&machine](const auto& values) {
    return machine.upload(values, Shape{std::int64_t(values.size())});
  };
  const SampleBatch batch{.rows = vector(params),
                          .history = vector(arrays.history),
                          .bias_ids = vector(arrays.bias_ids),
                          .bias_values = vector(arrays.bias_values),
                          .masks = machine.upload(arrays.masks, arrays.mask_shape()),
                          .vocab_limit = vocab_limit};
  const Shape top{m + 1, kMaxTopLogprobs};
  const SampleResult result{vector(arrays.tokens), vector(arrays.logprobs), vector(arrays.ranks),
                            machine.upload(arrays.top_ids, top),
                            machine.upload(arrays.top_logprobs, top)};
  sample(machine.context(), logits, batch, result);
  download(machine, result.tokens, arrays.tokens);
  download(machine, result.logprobs, arrays.logprobs);
  download(machine, result.ranks, arrays.ranks);
  download(machine, result.top_ids, arrays.top_ids);
  download(machine, result.top_logprobs, arrays.top_logprobs);
  EXPECT_TRUE(machine.intact());
  return arrays.answers();
}

void expect_oracle(const std::vector<Row>& rows, std::int64_t vocab_limit = kNoLimit,
                   std::int64_t padding = 0) {
  const std::vector<Answer> want = sample_rows(rows, Isa::scalar, 1, vocab_limit);
  const std::vector<Answer> got = sample_gpu_rows(rows, vocab_limit, padding);
  // ln Σ exp: single precision within 512 tokens, double beyond; the exponential is good to 2^-21.
  const auto close = [](float a, float b) {
    return a == b || std::fabs(a - b) <= 1e-6f * (1 + std::fabs(b));
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const SamplingRow& p = rows[i].params;
    SCOPED_TRACE(fmt::format(
        "row {} of {} tokens: temperature {} top_k {} top_p {} min_p {} logprobs {} forced {}", i,
        rows[i].logits.size(), p.temperature, p.top_k, p.top_p, p.min_p, p.num_top_logprobs,
        p.forced_token));
    EXPECT_EQ(got[i].token, want[i].token);
    EXPECT_EQ(got[i].rank, want[i].rank);
    EXPECT_EQ(got[i].top_ids, want[i].top_ids);
    EXPECT_TRUE(close(got[i].logprob, want[i].logprob)) << got[i].logprob << ' ' << want[i].logprob;
    for (std::size_t j = 0; j < got[i].top_logprobs.size(); ++j)
      EXPECT_TRUE(close(got[i].top_logprobs[j], want[i].top_logprobs[j])) << j;
  }
}

TEST(SampleGpu, GreedyTakesTheLowestIdAmongEqualsAndNeverNaN) {
  ISOTOPE_REQUIRE_GPU();
  for (const std::size_t vocab : {1, 5, 63, 511, 512, 513, 1025, 4099}) {
    std::vector<Row> rows;
    for (const std::size_t best : {std::size_t(0), vocab / 2, vocab - 1}) {
      Row row{.logits = std::vector<float>(vocab, -3.0f)};
      row.logits[best] = 2.5f;
      if (best + 1 < vocab) row.logits[vocab - 1] = 2.5f;
      if (best > 0) row.logits[best - 1] = kNaN;
      rows.push_back(row);
    }
    const std::vector<Answer> answers = sample_gpu_rows(rows);
    EXPECT_EQ(answers[0].token, 0);
    EXPECT_EQ(answers[1].token, TokenId(vocab / 2));
    EXPECT_EQ(answers[2].token, TokenId(vocab - 1));
    EXPECT_EQ(answers[0].logprob, -9);  // not asked for
    EXPECT_EQ(answers[0].rank, -9);
  }
}

/// A row without anything to choose, one with a single token, one with infinities, one with zeros
/// of both signs.
TEST(SampleGpu, NaNAndInfinitiesAndZeros) {
  ISOTOPE_REQUIRE_GPU();
  std::vector<Row> rows;
  for (const float filler : {kNaN, -kInfinity})
    for (const float special : {filler, 1.0f, kInfinity, -3e38f})
      for (int i = 0; i < 4; ++i) {
        Row row{.logits = std::vector<float>(777, filler)};
        row.logits[500] = row.logits[600] = special;
        row.params = {.temperature = i == 0 ? 0.0f : 1.5f,
                      .top_k = i == 2 ? 3 : 0,
                      .top_p = i == 3 ? 0.5f : 1.0f,
                      .min_p = i == 2 ? 0.1f : 0.0f,
                      .num_top_logprobs = 3,
                      .counter = rows.size()};
        rows.push_back(row);
      }
  Row zeros{.logits = std::vector<float>(777, -1.0f)};
  zeros.logits[9] = -0.0f;
  zeros.logits[700] = 0.0f;
  zeros.params.num_top_logprobs = 20;
  rows.push_back(zeros);
  expect_oracle(rows);
  EXPECT_EQ(sample_gpu_rows({zeros})[0].token, 9);
}

TEST(SampleGpu, VocabularyLimitAndBansHold) {
  ISOTOPE_REQUIRE_GPU();
  Row row{.logits = random_logits(700, 1, 1.0f)};
  row.logits[650] = 90.0f;
  row.logits[3] = 80.0f;
  row.logits[77] = 70.0f;
  row.params.num_top_logprobs = 4;
  row.bias = {{3, -kInfinity}, {-5, 9.0f}, {700, 9.0f}, {2000000000, 9.0f}};
  Row drawn = row;
  drawn.params.temperature = 1.0f;
  Row unbiased = drawn;
  unbiased.bias.clear();
  unbiased.params.top_p = 0.9f;
  for (const std::int64_t limit :
       {std::int64_t(700), std::int64_t(650), std::int64_t(77), std::int64_t(1)})
    expect_oracle({row, drawn, unbiased}, limit);
  EXPECT_EQ(sample_gpu_rows({row}, 650)[0].token, 77);
}

/// Values of one id are added in the order of the list: these give different sums in different
/// orders.
TEST(SampleGpu, BiasesOfOneTokenAddUpInOrder) {
  ISOTOPE_REQUIRE_GPU();
  Row row{.logits = std::vector<float>(40, 0.0f)};
  row.logits[8] = 0.75f;
  row.bias = {{7, 1e8f}, {5, 0.5f}, {7, 1.0f}, {7, -1e8f}, {5, 0.125f}};
  EXPECT_EQ(sample_gpu_rows({row})[0].token, 8);
  row.bias = {{7, 1e8f}, {5, 0.5f}, {7, -1e8f}, {7, 1.0f}, {5, 0.125f}};
  EXPECT_EQ(sample_gpu_rows({row})[0].token, 7);
}

TEST(SampleGpu, PenaltiesCountTheHistoryAndLogprobsDoNotSeeThem) {
  ISOTOPE_REQUIRE_GPU();
  Row row{.logits = {3.0f, 2.0f, 1.0f, 0.0f}};
  row.params.num_top_logprobs = 4;
  row.params.repetition_penalty = 2.0f;
  row.params.presence_penalty = 1.0f;
  row.prompt = {0};
  row.output = {1, 1};
  row.bias = {{2, 5.0f}};
  Row forced = row;
  forced.params.forced_token = 2;
  Row long_history{.logits =
                       random_logits(8200, 3, 1.0f)};  // one id more than is counted at a time
  long_history.params.frequency_penalty = 0.01f;
  long_history.params.num_top_logprobs = 0;
  for (int i = 0; i < 3000; ++i) long_history.output.push_back(TokenId(i % 3 ? 8199 - i % 7 : i));
  expect_oracle({row, forced});
  expect_oracle({long_history});
  EXPECT_EQ(sample_gpu_rows({row})[0].token, 2);
}

TEST(SampleGpu, DrawsWhatTransformersProcessorsLeave) {
  ISOTOPE_REQUIRE_GPU();
  std::vector<Row> rows;
  for (const SampleCase& c : transformers_cases())
    for (int i = 0; i < 12; ++i) {
      rows.push_back(c.row);
      rows.back().params.seed = 7;
      rows.back().params.counter = std::uint64_t(i);
    }
  expect_oracle(rows);
}

TEST(SampleGpu, FiltersKeepExactlyWhatTheyShouldAtTheirBoundaries) {
  ISOTOPE_REQUIRE_GPU();
  // Probabilities 8, 4, 2, 1, 1 of 16.
  Row row{.logits = {std::log(2.0f), std::log(8.0f), 0.0f, std::log(4.0f), 0.0f}};
  struct Case {
    std::int32_t top_k;
    float top_p, min_p;
    std::set<TokenId> kept;
  };
  const std::vector<Case> cases = {
      {0, 0.49f, 0, {1}},      {0, 0.51f, 0, {1, 3}}, {0, 0.88f, 0, {0, 1, 2, 3}},
      {4, 1, 0, {0, 1, 2, 3}}, {2, 0.6f, 0, {1}},     {2, 0.7f, 0, {1, 3}},
      {0, 1, 0.3f, {1, 3}},    {0, 1, 1, {1}},        {0, 0, 0, {1}},
      {3, 0.99f, 0.4f, {1, 3}}};
  for (const Case& c : cases) {
    std::vector<Row> rows;
    for (int i = 0; i < 100; ++i) {
      row.params = {
          .temperature = 1.0f, .top_k = c.top_k, .top_p = c.top_p, .min_p = c.min_p, .seed = 3};
      row.params.counter = std::uint64_t(i);
      rows.push_back(row);
    }
    std::set<TokenId> seen;
    for (const Answer& answer : sample_gpu_rows(rows)) seen.insert(answer.token);
    EXPECT_EQ(seen, c.kept) << " top_k " << c.top_k << " top_p " << c.top_p << " min_p " << c.min_p;
  }
}

/// The float nearest to ln 0.5 is below it: exp of it is less than half.
TEST(SampleGpu, MinPDecidesToTheLastBit) {
  ISOTOPE_REQUIRE_GPU();
  const float below = std::log(0.5f), above = std::nextafter(below, 0.0f);
  ASSERT_LT(double(below), std::log(0.5));
  std::vector<Row> rows;
  for (int i = 0; i < 60; ++i) {
    rows.push_back({.logits = {below, 0.0f, above}});
    rows.back().params = {.temperature = 1.0f, .top_k = i % 2 ? 0 : 2, .min_p = 0.5f};
    rows.back().params.counter = std::uint64_t(i);
  }
  expect_oracle(rows);
  std::set<TokenId> seen;
  for (const Answer& answer : sample_gpu_rows(rows)) seen.insert(answer.token);
  EXPECT_EQ(seen, (std::set<TokenId>{1, 2}));
}

/// Thousands of equals, of which the lowest are kept: by a list, by a list that overflows, by a
/// cut.
TEST(SampleGpu, EqualLogitsAreKeptFromTheLowestIdOn) {
  ISOTOPE_REQUIRE_GPU();
  const auto last_kept = [](std::int32_t top_k, float top_p, int above) {
    std::vector<Row> rows;
    for (int i = 0; i < 60; ++i) {
      Row row{.logits = std::vector<float>(5000, 1.0f)};
      for (int j = 0; j < above; ++j) row.logits[std::size_t(4999 - j)] = 1.5f;
      row.params = {.temperature = 1.0f, .top_k = top_k, .top_p = top_p};
      row.params.counter = std::uint64_t(i);
      rows.push_back(row);
    }
    TokenId last = -1;
    for (const Answer& answer : sample_gpu_rows(rows))
      if (answer.token < 5000 - above) last = std::max(last, answer.token);
    return last;
  };
  EXPECT_EQ(last_kept(5, 1, 0), 4);
  EXPECT_EQ(last_kept(10, 1, 2), 7);
  EXPECT_EQ(last_kept(0, 0.0015f, 0), 7);  // of 5000: 7.5 tokens, so 8
  std::vector<Row> rows;                   // too many to see the last one drawn
  for (int i = 0; i < 4; ++i)
    for (const auto& [k, p] : {std::pair(1500, 1.0f), std::pair(1500, 0.5f), std::pair(0, 0.31f)}) {
      Row row{.logits = std::vector<float>(5000, 1.0f)};
      for (std::size_t j = 0; j < 5000; j += 3) row.logits[j] = 0.5f;
      row.params = {.temperature = 1.0f, .top_k = k, .top_p = p, .num_top_logprobs = 20};
      row.params.counter = std::uint64_t(i);
      rows.push_back(row);
    }
  expect_oracle(rows);
}

/// Without top-k the mass of the whole vocabulary counts. A cut that is a little off changes few
/// draws, so there are many.
TEST(SampleGpu, TopPCountsAllMass) {
  ISOTOPE_REQUIRE_GPU();
  const auto draws = [](const std::vector<float>& logits, SamplingRow params, int count) {
    std::vector<Row> rows;
    for (int i = 0; i < count; ++i) {
      rows.push_back({.logits = logits, .params = params});
      rows.back().params.counter = std::uint64_t(i);
    }
    return rows;
  };
  // Half of the mass is in tokens of 2^-14 each, of which half are kept.
  std::vector<float> tail(16385, std::log(0x1p-14f));
  tail[77] = 0.0f;
  expect_oracle(draws(tail, {.temperature = 1.0f, .top_p = 0.75f}, 40));
  // Tokens that are too unlikely to be kept, and yet have a tenth of the mass.
  std::vector<float> below(20000, -12.3f);
  below[5] = 0.0f;
  for (std::size_t i = 0; i < 50; ++i) below[i * 300 + 20] = std::log(0.01f);
  expect_oracle(draws(below, {.temperature = 1.0f, .top_p = 0.9f}, 60));
  // Flat distributions, cut anywhere.
  std::vector<Row> rows;
  for (int i = 0; i < 200; ++i) {
    rows.push_back({.logits = random_logits(64, unsigned(i), 1.0f)});
    rows.back().params = {
        .temperature = 3.0f, .top_p = float(i + 1) / 201, .min_p = i % 5 ? 0.0f : 0.6f};
    rows.back().params.counter = std::uint64_t(i);
  }
  expect_oracle(rows);
}

/// Rows of every kind, some with ties, NaN and infinities.
std::vector<Row> wild_rows(std::size_t vocab, int count) {
  std::vector<Row> rows = mixed_rows(vocab, count);
  std::mt19937 random(std::uint32_t(vocab) + 5);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::vector<float>& logits = rows[i].logits;
    if (i % 3 == 1)
      for (float& x : logits) x = std::round(x * 2) / 2;
    if (i % 4 == 2)
      for (std::size_t j = 0; j < vocab; j += 1 + random() % 5)
        logits[j] = random() % 2 ? kNaN : -kInfinity;
    if (i % 11 == 7) logits[random() % vocab] = kInfinity;
  }
  return rows;
}

TEST(SampleGpu, AgreesWithTheOracle) {
  ISOTOPE_REQUIRE_GPU();
  for (const auto& [vocab, count] : {std::pair(1, 12), std::pair(2, 24), std::pair(31, 48),
                                     std::pair(257, 48), std::pair(5000, 48)})
    expect_oracle(wild_rows(std::size_t(vocab), count));
}

TEST(SampleGpu, RowsMayStandApartAndUnaligned) {
  ISOTOPE_REQUIRE_GPU();
  expect_oracle(wild_rows(1030, 12), 1027, 3);
  expect_oracle(wild_rows(1032, 12), 1029, 8);
}

TEST(SampleGpu, ARowGetsTheSameAnswerInAnyBatch) {
  ISOTOPE_REQUIRE_GPU();
  const std::vector<Row> rows = wild_rows(1301, 40);
  const std::vector<Answer> together = sample_gpu_rows(rows);
  EXPECT_EQ(sample_gpu_rows({rows.rbegin(), rows.rend()}),
            (std::vector<Answer>{together.rbegin(), together.rend()}));
  for (std::size_t i = 0; i < rows.size(); i += 5)
    EXPECT_EQ(sample_gpu_rows({rows[i]})[0], together[i]) << i;
}

TEST(SampleGpu, RefusesVocabulariesBeyondItsTables) {
  ISOTOPE_REQUIRE_GPU();
  GpuMachine machine(1024);
  std::vector<std::uint8_t> params(sizeof(SamplingRow));
  const std::vector<TokenId> token(1);
  const TensorView tokens = machine.upload(token, Shape{1});
  const TensorView logits(DType::f32, Shape{1, 524289}, tokens.data);  // never read
  const SampleBatch batch{.rows = machine.upload(params, Shape{std::int64_t(params.size())}),
                          .history = {},
                          .bias_ids = {},
                          .bias_values = {},
                          .masks = {}};
  EXPECT_THROW(sample(machine.context(), logits, batch, {tokens, {}, {}, {}, {}}), Error);
}

}  // namespace
}  // namespace isotope::ops
