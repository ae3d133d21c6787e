// For tests: the parity fixtures (tools/make_parity_fixtures.py) and distances from them.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "models/test_driver.h"
#include "weights/checkpoint.h"
#include "weights/config.h"

namespace isotope::models {

/// What transformers computed for one prompt.
struct ReferencePrompt {
  std::vector<TokenId> ids, greedy_ids;
  std::vector<double> logprobs;  ///< of ids[i + 1]
  std::vector<double> greedy_logprobs, greedy_gaps;

  /// The prompt with the reference's continuation, whose last token need not be read.
  std::vector<TokenId> tokens() const {
    std::vector<TokenId> all = ids;
    all.insert(all.end(), greedy_ids.begin(), greedy_ids.end() - 1);
    return all;
  }
};

template <typename T>
std::vector<T> numbers(const json::object& object, std::string_view key) {
  std::vector<T> values;
  for (const json::value& value : object.at(key).as_array()) values.push_back(value.to_number<T>());
  return values;
}

/// tests/data of the source tree, or what ISOTOPE_TEST_DATA names: test programs may travel to a
/// machine with a GPU.
inline std::filesystem::path test_data() {
  const char* folder = std::getenv("ISOTOPE_TEST_DATA");
  return folder ? folder : ISOTOPE_TEST_DATA;
}

struct Fixture {
  std::string name;
  weights::ModelConfig config;
  std::unique_ptr<weights::TensorSource> source;
  std::vector<ReferencePrompt> prompts;

  explicit Fixture(std::string_view fixture) : name(fixture) {
    const std::filesystem::path folder = test_data() / "parity" / fixture;
    config = weights::read_model_config(folder);
    source = weights::open_checkpoint(folder);
    const json::value document = parse_json_file(folder / "reference.json");
    for (const json::value& item : document.as_object().at("prompts").as_array()) {
      const json::object& prompt = item.as_object();
      prompts.push_back({numbers<TokenId>(prompt, "ids"), numbers<TokenId>(prompt, "greedy_ids"),
                         numbers<double>(prompt, "logprobs"),
                         numbers<double>(prompt, "greedy_logprobs"),
                         numbers<double>(prompt, "greedy_gaps")});
    }
  }
};

inline std::vector<std::string> fixture_names() {
  return {"qwen3-bf16-untied",   "qwen3-bf16-tied",
          "qwen3-fp8-block",     "qwen3-fp8-block-f16-scales",
          "llama-bf16-tied",     "llama-bf16-sharded",
          "llama-fp8-block",     "llama-fp8-row",
          "llama3-rope",         "ministral3-fp8-tensor",
          "ministral3-bf16-tied"};
}

inline double logprob(const std::vector<float>& logits, TokenId token) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double(logit) - largest);
  return double(logits[std::size_t(token)]) - largest - std::log(sum);
}

/// Lowest id among equals.
inline TokenId argmax(const std::vector<float>& logits) {
  return TokenId(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

struct Differences {
  double sum = 0, largest = 0;
  std::int64_t count = 0;

  void add(double difference) {
    // NaN must not hide in a comparison that it makes false.
    const double size = std::isnan(difference) ? INFINITY : std::abs(difference);
    sum += size;
    largest = std::max(largest, size);
    ++count;
  }
  double mean() const { return count ? sum / double(count) : 0.0; }
};

/// Distance of a run from the reference.
struct Parity {
  /// Only where the reference is this sure of a token must the same one come out.
  static constexpr double kDecided = 0.25;

  Differences prompt, greedy;  ///< |Δ logprob| of the prompt's and the continuation's tokens
  std::int64_t agreed = 0, compared = 0;

  /// `logits` by position, for prompt.tokens().
  void add(const ReferencePrompt& reference, const std::vector<std::vector<float>>& logits) {
    for (std::size_t i = 0; i + 1 < reference.ids.size(); ++i)
      prompt.add(logprob(logits[i], reference.ids[i + 1]) - reference.logprobs[i]);
    for (std::size_t i = 0; i < reference.greedy_ids.size(); ++i) {
      const std::vector<float>& row = logits[reference.ids.size() - 1 + i];
      greedy.add(logprob(row, reference.greedy_ids[i]) - reference.greedy_logprobs[i]);
      if (reference.greedy_gaps[i] <= kDecided) continue;
      ++compared;
      agreed += argmax(row) == reference.greedy_ids[i];
    }
  }
};

/// Reads the prompt in chunks of `chunk` tokens and then its continuation token by token.
inline std::vector<std::vector<float>> run_alone(
    TestDriver& driver, const ReferencePrompt& prompt,
    std::int64_t chunk = TestDriver::kLimits.max_rows) {
  TestSequence sequence = driver.begin(prompt.tokens(), std::int64_t(prompt.ids.size()));
  while (sequence.done < sequence.num_prompt)
    driver.step({{&sequence, std::min(chunk, sequence.num_prompt - sequence.done)}});
  while (sequence.done < std::int64_t(sequence.tokens.size())) driver.step({{&sequence, 1}});
  driver.end(sequence);
  return std::move(sequence.logits);
}

inline Parity measure(const Fixture& fixture, TestDriver& driver) {
  Parity parity;
  for (const ReferencePrompt& prompt : fixture.prompts)
    parity.add(prompt, run_alone(driver, prompt));
  return parity;
}

// Mean |Δ logprob|. BF16 rounding of activations, keys and values (2^-9 each) adds up to below 0.01
// on these models; FP8 keys and values (2^-4) to below 0.05. What a mistake costs is at least twice
// the bound: see parity_test.cc's MistakesExceedTheBound.
constexpr double kBoundBf16 = 0.03, kBoundFp8 = 0.06;

inline double parity_bound(DType kv) { return kv == DType::bf16 ? kBoundBf16 : kBoundFp8; }

/// "oracle", "avx512", "cuda", …
inline std::string path_name(const TestSetup& setup) {
  if (setup.gpu) return std::string(device::name_of(setup.gpu->kind()));
  return setup.path == ops::Path::oracle ? "oracle" : std::string(device::name_of(setup.isa));
}

inline void print_parity_heading() {
  fmt::print("{:27} {:5} {:12} {:>10} {:>10} {:>10} {:>10}\n", "model", "KV", "path", "mean |Δ|",
             "max |Δ|", "decode |Δ|", "greedy");
}

/// Runs a fixture's prompts, prints a line of the table and holds the result against the bounds.
inline void expect_parity(const Fixture& fixture, const TestSetup& setup) {
  const char* kv = setup.kv == DType::bf16 ? "bf16" : "fp8";
  SCOPED_TRACE(fmt::format("{}, {} KV, {}", fixture.name, kv, path_name(setup)));
  TestDriver driver(fixture.config, *fixture.source, setup);
  const Parity parity = measure(fixture, driver);
  fmt::print("{:27} {:5} {:12} {:10.5f} {:10.5f} {:10.5f} {:>10}\n", fixture.name, kv,
             path_name(setup), parity.prompt.mean(), parity.prompt.largest, parity.greedy.mean(),
             fmt::format("{}/{}", parity.agreed, parity.compared));
  EXPECT_LE(parity.prompt.mean(), parity_bound(setup.kv));
  EXPECT_LE(parity.greedy.mean(), parity_bound(setup.kv));
  EXPECT_EQ(parity.agreed, parity.compared);
  EXPECT_GT(parity.compared, 50);  // else the fixtures say little
}

}  // namespace isotope::models
