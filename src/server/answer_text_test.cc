#include "server/answer_text.h"

#include <gtest/gtest.h>

#include "server/test_tokenizer.h"

namespace isotope::server {
namespace {

using engine::FinishReason;
using Strings = std::vector<std::string>;

// Ids:                        0    1    2    3     4      5       6       7       8
const TestTokenizer kTokens({"a", "b", " c", "\n", "</s>", "\xe2", "\x82", "\xac", "END"}, {4});

std::vector<engine::TokenOutput> outputs(const std::vector<TokenId>& ids) {
  std::vector<engine::TokenOutput> tokens;
  for (const TokenId id : ids) tokens.push_back({.id = id});
  return tokens;
}

/// The answer's text if tokens come one by one (`step` = 1) or several at a time.
struct Result {
  std::string text;
  std::vector<std::int64_t> offsets;
  std::int64_t tokens;
  std::string stop;
};
Result run(const GenerationOptions& options, const std::vector<TokenId>& ids, FinishReason reason,
           std::size_t step, const std::vector<TokenId>& prompt = {0}) {
  AnswerText answer(kTokens, options, prompt);
  Result result{};
  for (std::size_t i = 0; i < ids.size(); i += step) {
    const std::size_t end = std::min(i + step, ids.size());
    const auto finished = end == ids.size() ? std::optional(reason) : std::nullopt;
    const Piece piece =
        answer.push(outputs({ids.begin() + long(i), ids.begin() + long(end)}), finished);
    EXPECT_EQ(piece.tokens.size(), piece.text_offsets.size());
    result.text += piece.text;
    result.offsets.insert(result.offsets.end(), piece.text_offsets.begin(),
                          piece.text_offsets.end());
  }
  result.tokens = answer.tokens();
  if (answer.matched_stop()) result.stop = *answer.matched_stop();
  return result;
}

class AnswerTextSteps : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Steps, AnswerTextSteps, testing::Values(1, 2, 3, 100));

TEST_P(AnswerTextSteps, JoinsCharactersThatSpanTokens) {
  const Result result = run({}, {0, 5, 6, 7, 1}, FinishReason::length, GetParam());
  EXPECT_EQ(result.text, "a€b");
  EXPECT_EQ(result.offsets, (std::vector<std::int64_t>{0, 1, 1, 1, 2}));  // in characters
}

TEST_P(AnswerTextSteps, ReplacesACharacterThatNeverEnds) {
  EXPECT_EQ(run({}, {0, 5, 6}, FinishReason::length, GetParam()).text, "a\uFFFD");
}

TEST_P(AnswerTextSteps, HidesTheTokenThatEndedTheAnswer) {
  // 1 ("b") is a stop token here: no special one, and yet no part of the text.
  const Result result = run({}, {0, 2, 1}, FinishReason::stop, GetParam());
  EXPECT_EQ(result.text, "a c");
  EXPECT_EQ(result.tokens, 3);
  EXPECT_EQ(result.offsets, (std::vector<std::int64_t>{0, 1, 3}));
  EXPECT_EQ(run({.include_stop_text = true}, {0, 2, 1}, FinishReason::stop, GetParam()).text,
            "a cb");
  EXPECT_EQ(run({}, {0, 2, 1}, FinishReason::length, GetParam()).text, "a cb");
}

TEST_P(AnswerTextSteps, SkipsSpecialTokensOnRequest) {
  EXPECT_EQ(run({}, {0, 4, 1}, FinishReason::length, GetParam()).text, "ab");
  EXPECT_EQ(run({.skip_special_tokens = false}, {0, 4, 1}, FinishReason::length, GetParam()).text,
            "a</s>b");
}

TEST_P(AnswerTextSteps, CutsAtAStopStringThatSpansTokens) {
  const Result result =
      run({.stop = {"b c"}}, {0, 0, 1, 2, 0, 1}, FinishReason::length, GetParam());
  EXPECT_EQ(result.text, "aa");
  EXPECT_EQ(result.stop, "b c");
  EXPECT_EQ(result.tokens, 4);  // what came after the stop string does not count
  EXPECT_EQ(run({.stop = {"b c"}, .include_stop_text = true}, {0, 0, 1, 2, 0, 1},
                FinishReason::length, GetParam())
                .text,
            "aab c");
}

TEST_P(AnswerTextSteps, ReleasesWhatOnlyLookedLikeAStopString) {
  const Result result = run({.stop = {"bbb"}}, {0, 1, 1}, FinishReason::length, GetParam());
  EXPECT_EQ(result.text, "abb");
  EXPECT_EQ(result.stop, "");
}

TEST_P(AnswerTextSteps, MinTokensKeepsStopStringsFromCounting) {
  GenerationOptions options{.stop = {"b"}};
  options.sampling.min_tokens = 2;
  const Result result = run(options, {1, 1, 0, 1, 0}, FinishReason::length, GetParam());
  EXPECT_EQ(result.text, "bba");
  EXPECT_EQ(result.tokens, 4);
}

TEST(AnswerText, FirstSpaceDependsOnThePrompt) {
  // As SentencePiece decoders do: the space before the very first word is dropped, no other.
  const TestTokenizer tokens({" x", " y"}, {}, true);
  const std::vector<TokenId> prompt{0};
  AnswerText after_prompt(tokens, {}, prompt);
  EXPECT_EQ(after_prompt.push(outputs({1}), std::nullopt).text, " y");
  AnswerText from_nothing(tokens, {}, {});
  EXPECT_EQ(from_nothing.push(outputs({1}), std::nullopt).text, "y");
}

TEST(AnswerText, CountsCharacters) {
  EXPECT_EQ(count_characters(""), 0);
  EXPECT_EQ(count_characters("aé€😀"), 4);
}

}  // namespace
}  // namespace isotope::server
