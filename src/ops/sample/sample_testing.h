// For tests of sample: rows and answers, on any device.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "device/cpu/cpu_device.h"
#include "ops/sample/sample.h"

namespace isotope::ops::testing {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline const float kNaN = std::numeric_limits<float>::quiet_NaN();

/// One row to sample.
struct Row {
  std::vector<float> logits;
  SamplingRow params;
  std::vector<TokenId> prompt, output;
  std::vector<std::pair<TokenId, float>> bias;
  std::vector<TokenId> allowed;  ///< empty: all
};

struct Answer {
  TokenId token = -9;
  float logprob = -9;
  std::int32_t rank = -9;
  std::vector<TokenId> top_ids;
  std::vector<float> top_logprobs;
  bool operator==(const Answer&) const = default;
};

/// Rows as `sample` takes them, and room for what it answers, with one row more as a guard.
struct SampleArrays {
  std::int64_t m, vocab;
  std::vector<float> logits, bias_values;
  std::vector<TokenId> history, bias_ids;
  std::vector<SamplingRow> params;
  std::vector<TokenId> tokens, top_ids;
  std::vector<float> logprobs, top_logprobs;
  std::vector<std::int32_t> ranks, masks;

  explicit SampleArrays(const std::vector<Row>& rows)
      : m(std::int64_t(rows.size())), vocab(std::int64_t(rows[0].logits.size())) {
    for (const Row& row : rows) add(row);
    tokens.assign(std::size_t(m) + 1, -9);
    ranks = tokens;
    top_ids.assign(std::size_t(m + 1) * kMaxTopLogprobs, -9);
    logprobs.assign(std::size_t(m) + 1, -9);
    top_logprobs.assign(top_ids.size(), -9);
  }

  std::int64_t mask_words() const { return (vocab + 31) / 32; }
  Shape mask_shape() const { return {std::int64_t(masks.size()) / mask_words(), mask_words()}; }

  std::vector<Answer> answers() const {
    std::vector<Answer> all;
    for (std::int64_t i = 0; i <= m; ++i) {
      Answer answer{
          tokens[std::size_t(i)], logprobs[std::size_t(i)], ranks[std::size_t(i)], {}, {}};
      const auto first = i * kMaxTopLogprobs, last = first + kMaxTopLogprobs;
      answer.top_ids.assign(top_ids.begin() + first, top_ids.begin() + last);
      answer.top_logprobs.assign(top_logprobs.begin() + first, top_logprobs.begin() + last);
      all.push_back(answer);
    }
    const Answer guard = all.back();
    EXPECT_TRUE(guard.token == -9 && guard.logprob == -9 && guard.rank == -9);
    EXPECT_TRUE(guard.top_ids == std::vector<TokenId>(kMaxTopLogprobs, -9));
    all.pop_back();
    return all;
  }

 private:
  void add(const Row& row) {
    logits.insert(logits.end(), row.logits.begin(), row.logits.end());
    SamplingRow p = row.params;
    p.prompt_begin = std::int32_t(history.size());
    history.insert(history.end(), row.prompt.begin(), row.prompt.end());
    p.prompt_end = p.output_begin = std::int32_t(history.size());
    history.insert(history.end(), row.output.begin(), row.output.end());
    p.output_end = std::int32_t(history.size());
    p.bias_begin = std::int32_t(bias_ids.size());
    for (const auto& [id, value] : row.bias) bias_ids.push_back(id), bias_values.push_back(value);
    p.bias_end = std::int32_t(bias_ids.size());
    if (!row.allowed.empty()) p.mask = add_mask(row.allowed);
    params.push_back(p);
  }

  std::int32_t add_mask(const std::vector<TokenId>& allowed) {
    const std::size_t first = masks.size();
    masks.resize(first + std::size_t(mask_words()));
    for (const TokenId id : allowed)
      masks[first + std::size_t(id) / 32] |= std::int32_t(std::uint32_t(1) << (id % 32));
    return std::int32_t(first / std::size_t(mask_words()));
  }
};

/// On the CPU; without vectors the answers are the oracle's.
inline std::vector<Answer> sample_rows(
    const std::vector<Row>& rows, device::Isa isa, int threads = 2,
    std::int64_t vocab_limit = std::numeric_limits<std::int64_t>::max()) {
  SampleArrays arrays(rows);
  const std::int64_t m = arrays.m, vocab = arrays.vocab;
  device::CpuDevice device(threads, isa);
  Context context(device, sample_scratch(m, vocab));
  SampleBatch batch;
  batch.rows =
      TensorView(DType::u8, Shape{m * std::int64_t(sizeof(SamplingRow))}, arrays.params.data());
  batch.history =
      TensorView(DType::i32, Shape{std::int64_t(arrays.history.size())}, arrays.history.data());
  const Shape biases{std::int64_t(arrays.bias_ids.size())};
  batch.bias_ids = TensorView(DType::i32, biases, arrays.bias_ids.data());
  batch.bias_values = TensorView(DType::f32, biases, arrays.bias_values.data());
  batch.masks = TensorView(DType::i32, arrays.mask_shape(), arrays.masks.data());
  batch.vocab_limit = vocab_limit;
  sample(context, TensorView(DType::f32, Shape{m, vocab}, arrays.logits.data()), batch,
         {TensorView(DType::i32, Shape{m}, arrays.tokens.data()),
          TensorView(DType::f32, Shape{m}, arrays.logprobs.data()),
          TensorView(DType::i32, Shape{m}, arrays.ranks.data()),
          TensorView(DType::i32, Shape{m, kMaxTopLogprobs}, arrays.top_ids.data()),
          TensorView(DType::f32, Shape{m, kMaxTopLogprobs}, arrays.top_logprobs.data())});
  return arrays.answers();
}

inline std::vector<float> random_logits(std::size_t vocab, unsigned seed, float spread) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(vocab);
  for (float& x : logits) x = normal(random);
  return logits;
}

/// Rows of every kind over awkward vocabularies.
inline std::vector<Row> mixed_rows(std::size_t vocab, int count) {
  std::vector<Row> rows;
  std::mt19937 random(std::uint32_t(vocab) + 17);
  const auto pick = [&random](auto... values) {
    const std::vector choices = {values...};
    return choices[random() % choices.size()];
  };
  for (int i = 0; i < count; ++i) {
    Row row{.logits = random_logits(vocab, random(), pick(0.1f, 1.0f, 3.0f, 12.0f))};
    row.params.temperature = pick(0.0f, 0.3f, 1.0f, 1.7f, 50.0f);
    row.params.top_k = pick(0, 0, 1, 2, 20, 5000, 1000000);
    row.params.top_p = pick(1.0f, 1.0f, 0.95f, 0.5f, 0.999f, 0.01f);
    row.params.min_p = pick(0.0f, 0.0f, 0.05f, 0.5f);
    row.params.repetition_penalty = pick(1.0f, 1.3f, 0.8f);
    row.params.presence_penalty = pick(0.0f, 0.5f);
    row.params.frequency_penalty = pick(0.0f, -0.2f, 1.0f);
    row.params.num_top_logprobs = pick(-1, 0, 5, 20);
    row.params.forced_token = pick(-1, -1, -1, 0);
    row.params.seed = random();
    row.params.counter = (std::uint64_t(random()) << 32) + random();
    for (int j = 0; j < pick(0, 3, 40); ++j)
      row.prompt.push_back(TokenId(random() % (vocab + 3)) - 1);
    for (int j = 0; j < pick(0, 3, 40); ++j)
      row.output.push_back(TokenId(random() % (vocab + 3)) - 1);
    for (int j = 0; j < pick(0, 2); ++j)
      row.bias.push_back({TokenId(random() % vocab), pick(2.0f, -kInfinity)});
    for (int j = 0; j < pick(0, 0, 1, 50); ++j) row.allowed.push_back(TokenId(random() % vocab));
    rows.push_back(row);
  }
  return rows;
}

/// A row with transformers' probabilities of its tokens.
struct SampleCase {
  std::string name;
  Row row;
  std::vector<double> probabilities;
};

inline std::vector<SampleCase> transformers_cases() {
  std::vector<SampleCase> cases;
  const json::value file = parse_json_file(ISOTOPE_TEST_DATA "/ops/sample.json");
  for (const json::value& entry : file.as_object().at("cases").as_array()) {
    const JsonFields fields(entry, "sample.json");
    const auto ids = [&](const char* name) {
      std::vector<TokenId> result;
      for (const json::value& id : fields.find(name)->as_array())
        result.push_back(id.to_number<TokenId>());
      return result;
    };
    const auto numbers = [&](const char* name) {
      std::vector<double> result;
      for (const json::value& x : fields.find(name)->as_array())
        result.push_back(x.to_number<double>());
      return result;
    };
    Row row{.prompt = ids("prompt"), .output = ids("output")};
    for (double x : numbers("logits")) row.logits.push_back(float(x));
    const auto bias_ids = ids("bias_ids");
    for (std::size_t i = 0; i < bias_ids.size(); ++i)
      row.bias.push_back({bias_ids[i], float(numbers("bias_values")[i])});
    row.params.temperature = float(fields.number("temperature", 0, 9));
    row.params.top_k = std::int32_t(fields.integer("top_k", 0, 999));
    row.params.top_p = float(fields.number("top_p", 0, 1));
    row.params.min_p = float(fields.number("min_p", 0, 1));
    row.params.repetition_penalty = float(fields.number("repetition_penalty", 0, 9));
    row.params.presence_penalty = float(fields.number("presence_penalty", -9, 9));
    row.params.frequency_penalty = float(fields.number("frequency_penalty", -9, 9));
    cases.push_back({fields.string("name"), row, numbers("probabilities")});
  }
  return cases;
}

}  // namespace isotope::ops::testing
