#include "cli/bench/dataset.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "base/error.h"

namespace isotope::cli {
namespace {

using text::Tokenizer;

std::vector<std::string> texts(const Dataset& dataset) {
  std::vector<std::string> result;
  for (const BenchPrompt& prompt : dataset.prompts) result.push_back(prompt.text);
  return result;
}

class DatasetTest : public ::testing::Test {
 protected:
  std::string file(const std::string& content) {
    const std::string path = ::testing::TempDir() + "/" +
                             ::testing::UnitTest::GetInstance()->current_test_info()->name() +
                             ".dataset";
    std::ofstream(path) << content;
    return path;
  }
  std::string message(const DatasetOptions& options) {
    try {
      make_dataset(options, nullptr);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  const std::unique_ptr<Tokenizer> tokenizer_ = Tokenizer::load(ISOTOPE_TEST_DATA "/stories260K");
};

TEST_F(DatasetTest, RandomPromptsHaveTheLengthThatTheTokenizerCounts) {
  const DatasetOptions options{.num_prompts = 20, .seed = 3, .input_len = 50, .prefix_len = 10};
  const Dataset dataset = make_dataset(options, tokenizer_.get());
  ASSERT_EQ(dataset.prompts.size(), 20u);
  int exact = 0;
  for (const BenchPrompt& prompt : dataset.prompts) {
    EXPECT_EQ(tokenizer_->encode(prompt.text, {}), prompt.tokens);
    EXPECT_EQ(prompt.prompt_len, std::int64_t(prompt.tokens.size()));
    EXPECT_NEAR(double(prompt.prompt_len), 60, 2);
    exact += prompt.prompt_len == 60;
    EXPECT_EQ(prompt.output_len, 128);
  }
  EXPECT_GE(exact, 15);
  const auto all = texts(dataset);
  EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), 20u);
}

TEST_F(DatasetTest, SeedsDecideAndPrefixesStay) {
  DatasetOptions options{.num_prompts = 5, .seed = 1, .input_len = 20, .prefix_len = 30};
  const auto first = texts(make_dataset(options, nullptr));
  EXPECT_EQ(first, texts(make_dataset(options, nullptr)));
  options.seed = 2;
  const auto second = texts(make_dataset(options, nullptr));
  EXPECT_NE(first, second);
  std::size_t prefix = 0;
  for (int words = 0; words < 30; ++words) prefix = first[0].find(' ', prefix) + 1;
  for (const std::string& prompt : second)
    EXPECT_EQ(prompt.substr(0, prefix), first[0].substr(0, prefix));
  EXPECT_NE(first[0].substr(prefix), first[1].substr(prefix));
}

TEST_F(DatasetTest, LengthsVaryByTheRatio) {
  const DatasetOptions options{
      .num_prompts = 400, .input_len = 10, .random_output_len = 5, .range_ratio = 0.5};
  std::set<std::int64_t> inputs, outputs;
  for (const BenchPrompt& prompt : random_tokens(options, 100).prompts) {
    EXPECT_EQ(prompt.prompt_len, std::int64_t(prompt.tokens.size()));
    for (const TokenId id : prompt.tokens) EXPECT_TRUE(id >= 0 && id < 100);
    inputs.insert(prompt.prompt_len);
    outputs.insert(prompt.output_len);
  }
  EXPECT_EQ(inputs, (std::set<std::int64_t>{5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}));
  EXPECT_EQ(outputs, (std::set<std::int64_t>{2, 3, 4, 5, 6, 7, 8}));
}

TEST_F(DatasetTest, PromptsFile) {
  const DatasetOptions options{
      .kind = DatasetKind::prompts_file,
      .path = file("one\r\n\n{\"prompt\": \"two\", \"output_tokens\": 9}\n"),
      .num_prompts = 5};
  const Dataset dataset = make_dataset(options, nullptr);
  EXPECT_EQ(dataset.distinct, 2u);
  ASSERT_EQ(dataset.prompts.size(), 5u);
  EXPECT_EQ(dataset.prompts[4].text, dataset.prompts[0].text);
  for (const BenchPrompt& prompt : dataset.prompts)
    EXPECT_EQ(prompt.output_len, prompt.text == "two" ? 9 : 256);
}

TEST_F(DatasetTest, Gsm8k) {
  const DatasetOptions options{.kind = DatasetKind::gsm8k,
                               .path = file("{\"question\": \"1+1?\", \"answer\": \"2\"}\n"),
                               .num_prompts = 1,
                               .output_len = 32};
  const Dataset dataset = make_dataset(options, tokenizer_.get());
  EXPECT_EQ(dataset.prompts.at(0).text, "Question: 1+1?\nAnswer:");
  EXPECT_EQ(dataset.prompts.at(0).output_len, 32);
}

TEST_F(DatasetTest, ShareGptTakesTwoTurnsOfUsableLength) {
  const std::string usable = "Once upon a time there was a dog", answer = "It had a big red ball";
  const std::string content =
      R"([{"conversations": [{"from": "human", "value": ")" + usable +
      R"("}, {"from": "gpt", "value": ")" + answer +
      R"("}]}, {"conversations": [{"from": "human", "value": "alone here"}]},
         {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "long enough for it"}]},
         {"conversations": [{"from": "human", "value": "long enough for it"}, {"from": "gpt", "value": "a"}]}])";
  DatasetOptions options{.kind = DatasetKind::sharegpt, .path = file(content), .num_prompts = 1};
  const Dataset dataset = make_dataset(options, tokenizer_.get());
  EXPECT_EQ(dataset.distinct, 1u);
  EXPECT_EQ(dataset.prompts.at(0).text, usable);
  EXPECT_EQ(dataset.prompts.at(0).output_len, std::int64_t(tokenizer_->encode(answer, {}).size()));
  EXPECT_NE(message(options).find("--tokenizer"), std::string::npos);
  options.output_len = 12;
  EXPECT_EQ(make_dataset(options, nullptr).prompts.at(0).output_len, 12);
}

TEST_F(DatasetTest, MistakesNameFileAndLine) {
  DatasetOptions options{.kind = DatasetKind::gsm8k, .path = file("{\"question\": \"a\"}\n{]\n")};
  EXPECT_NE(message(options).find(".dataset:2"), std::string::npos);
  options = {.kind = DatasetKind::sharegpt, .path = file("[{}]"), .output_len = 1};
  EXPECT_NE(message(options).find("entry 0"), std::string::npos);
  options = {.kind = DatasetKind::prompts_file, .path = file("\n\n")};
  EXPECT_NE(message(options).find("none of its 0 entries"), std::string::npos);
  EXPECT_NE(message({.kind = DatasetKind::gsm8k}).find("--dataset-path"), std::string::npos);
  EXPECT_THROW(make_dataset({.kind = DatasetKind::gsm8k, .path = "/none"}, nullptr), Error);
}

}  // namespace
}  // namespace isotope::cli
