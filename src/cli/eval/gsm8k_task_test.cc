// Prompts, filters and comparison against lm-evaluation-harness's (tools/make_eval_fixtures.py).
#include "cli/eval/gsm8k_task.h"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <fstream>

#include "base/error.h"
#include "base/json.h"
#include "cli/eval/gsm8k_record.h"

namespace isotope::cli {
namespace {

std::string text_of(const json::value& value) { return std::string(value.as_string()); }

const Gsm8kData& whole_data() {
  static const Gsm8kData data = load_gsm8k(std::string(ISOTOPE_TEST_WORK) + "/gsm8k");
  return data;
}

json::value filters_fixture() {
  return parse_json_file(std::string(ISOTOPE_TEST_DATA) + "/eval/gsm8k-filters.json");
}

std::string message_of(const std::filesystem::path& path) {
  try {
    load_gsm8k(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Gsm8kTask, AllPromptsAreTheHarnesss) {
  const json::value hashes =
      parse_json_file(std::string(ISOTOPE_TEST_DATA) + "/gsm8k/prompt-sha256.json");
  const std::vector<std::string> prompts = gsm8k_prompts(whole_data(), 5, 2000);
  ASSERT_EQ(prompts.size(), 1319u);
  ASSERT_EQ(hashes.as_array().size(), prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i)
    EXPECT_EQ(prompt_hash(prompts[i]), text_of(hashes.as_array()[i])) << "question " << i;
}

TEST(Gsm8kTask, ALimitDoesNotChangePrompts) {
  const std::vector<std::string> few = gsm8k_prompts(whole_data(), 5, 3);
  const std::vector<std::string> more = gsm8k_prompts(whole_data(), 5, 30);
  ASSERT_EQ(few.size(), 3u);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), more.begin()));
}

TEST(Gsm8kTask, WithoutExamplesThePromptIsTheQuestion) {
  EXPECT_EQ(gsm8k_prompts(whole_data(), 0, 1)[0],
            "Question: " + whole_data().test[0].question + "\nAnswer:");
}

TEST(Gsm8kTask, FiltersExtractWhatTheHarnessDoes) {
  const json::value fixture = filters_fixture();
  const json::array& texts = fixture.at("texts").as_array();
  ASSERT_GT(texts.size(), 500u);
  for (const json::value& entry : texts)
    for (const Gsm8kFilter filter : kGsm8kFilters)
      EXPECT_EQ(extract(filter, text_of(entry.at("text"))), text_of(entry.at(name_of(filter))))
          << name_of(filter) << " of '" << entry.at("text") << "'";
}

TEST(Gsm8kTask, VerdictsAreTheHarnesss) {
  const json::value fixture = filters_fixture();
  int correct = 0;
  for (const json::value& entry : fixture.at("verdicts").as_array()) {
    const json::array& verdict = entry.as_array();
    EXPECT_EQ(exact_match(text_of(verdict[0]), text_of(verdict[1])), verdict[2].as_bool()) << entry;
    correct += verdict[2].as_bool() ? 1 : 0;
  }
  EXPECT_GT(correct, 100);
}

TEST(Gsm8kTask, FiltersFindTheNumberOfEveryReference) {
  const json::value fixture = filters_fixture();
  const json::array& references = fixture.at("references").as_array();
  ASSERT_EQ(references.size(), whole_data().test.size());
  for (std::size_t i = 0; i < references.size(); ++i) {
    const std::string& answer = whole_data().test[i].answer;
    for (const Gsm8kFilter filter : kGsm8kFilters) {
      const json::array& expected = references[i].at(name_of(filter)).as_array();
      const std::string extracted = extract(filter, answer);
      EXPECT_EQ(extracted, text_of(expected[0])) << "question " << i;
      EXPECT_EQ(exact_match(extracted, answer), expected[1].as_bool()) << "question " << i;
      EXPECT_TRUE(expected[1].as_bool()) << "question " << i;
    }
  }
}

TEST(Gsm8kTask, ErrorsNameFileLineAndNextStep) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "gsm8k-errors";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  EXPECT_NE(message_of(folder).find("curl"), std::string::npos) << message_of(folder);
  std::ofstream(folder / "test.jsonl") << "{\"question\": \"q\", \"answer\": \"#### 1\"}\n\n"
                                       << "{\"question\": \"q\"}\n";
  std::ofstream(folder / "train.jsonl") << "{\"question\": \"q\", \"answer\": \"#### 1\"}\n";
  EXPECT_NE(message_of(folder).find("test.jsonl:3: the field 'answer' is missing"),
            std::string::npos)
      << message_of(folder);
  std::ofstream(folder / "test.jsonl") << "\n";
  EXPECT_NE(message_of(folder).find("holds no questions"), std::string::npos);
}

}  // namespace
}  // namespace isotope::cli
