// Reasoning and tool calls on the way from tokens to text: markers that are tokens, stop strings in
// between, budgets.
#include <gtest/gtest.h>

#include "server/answer_text.h"
#include "server/reasoning_limit.h"
#include "server/test_tokenizer.h"

namespace isotope::server {
namespace {

using engine::FinishReason;

// Ids:                         0              1         2         3          4    5    6     7
const TestTokenizer kTokens({"[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]", "f", "{", "}", "[",
                             // 8      9     10      11      12
                             "ARGS]", "so", "</s>", "\xe2", "\x82\xac"},
                            {0, 1, 2, 3, 10});

GenerationOptions mistral(std::vector<std::string> stop = {}) {
  text::AnswerFormat format{.reasoning = text::ReasoningSyntax::mistral,
                            .tool_calls = text::ToolCallSyntax::mistral};
  format.find_marker_tokens(kTokens);
  return {.stop = std::move(stop), .format = std::move(format)};
}

struct Result {
  text::ParsedAnswer answer;
  std::string text;
  std::int64_t tokens, reasoning_tokens;
  bool complete_calls;
};

Result run(const GenerationOptions& options, const std::vector<TokenId>& ids, FinishReason reason,
           std::size_t step) {
  const std::vector<TokenId> prompt = {9};
  AnswerText text(kTokens, options, prompt);
  Result result{};
  for (std::size_t i = 0; i < ids.size(); i += step) {
    const std::size_t end = std::min(i + step, ids.size());
    std::vector<engine::TokenOutput> tokens;
    for (std::size_t j = i; j < end; ++j) tokens.push_back({.id = ids[j]});
    const Piece piece =
        text.push(std::move(tokens), end == ids.size() ? std::optional(reason) : std::nullopt);
    for (const text::AnswerDelta& delta : piece.deltas) result.answer.add(delta);
    result.text += piece.text;
    if (text.over()) break;
  }
  result.tokens = text.tokens();
  result.reasoning_tokens = text.parsed()->reasoning_tokens();
  result.complete_calls = text.parsed()->complete_calls();
  return result;
}

class ParsedAnswer : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Steps, ParsedAnswer, testing::Values(1, 2, 3, 100));

TEST_P(ParsedAnswer, MarkersAreTokensAndNotCharacters) {
  const Result result =
      run(mistral(), {2, 9, 3, 7, 8, 0, 4, 1, 5, 6, 10}, FinishReason::stop, GetParam());
  EXPECT_EQ(result.answer.reasoning, "so");
  EXPECT_EQ(result.answer.content, "[ARGS]");  // spelled by other tokens
  ASSERT_EQ(result.answer.calls.size(), 1u);
  EXPECT_EQ(result.answer.calls[0].name, "f");
  EXPECT_EQ(result.answer.calls[0].arguments, "{}");
  EXPECT_EQ(result.answer.calls[0].id.size(), 9u);
  EXPECT_TRUE(result.complete_calls);
  EXPECT_EQ(result.reasoning_tokens, 3);
  EXPECT_EQ(result.text, "[THINK]so[/THINK][ARGS][TOOL_CALLS]f[ARGS]{}");
}

TEST_P(ParsedAnswer, StopStringsStandBeforeMarkers) {
  // "so[/THINK]" might have become a stop string; the marker is one all the same.
  const Result held =
      run(mistral({"so[/THINK]so"}), {2, 9, 3, 4}, FinishReason::length, GetParam());
  EXPECT_EQ(held.answer.reasoning, "so");
  EXPECT_EQ(held.answer.content, "f");
  // Cut within a marker, nothing of it is left.
  const Result cut = run(mistral({"[/THI"}), {2, 9, 3, 4}, FinishReason::length, GetParam());
  EXPECT_EQ(cut.answer.reasoning, "so");
  EXPECT_EQ(cut.answer.content, "");
  EXPECT_EQ(cut.tokens, 3);
}

TEST_P(ParsedAnswer, AMarkerBreaksACharacterOff) {
  const Result result = run(mistral(), {2, 11, 3, 4}, FinishReason::length, GetParam());
  EXPECT_EQ(result.answer.reasoning, "\uFFFD");
  EXPECT_EQ(result.answer.content, "f");
}

TEST_P(ParsedAnswer, ASecondCallEndsTheAnswerWhereOneIsWanted) {
  GenerationOptions options = mistral();
  options.format->single_call = true;
  const Result result =
      run(options, {0, 4, 1, 5, 6, 0, 4, 1, 5, 6}, FinishReason::length, GetParam());
  EXPECT_EQ(result.answer.calls.size(), 1u);
  EXPECT_TRUE(result.complete_calls);
  EXPECT_EQ(result.tokens, 6);
}

TEST_P(ParsedAnswer, LimitCutsACall) {
  EXPECT_FALSE(run(mistral(), {0, 4, 1, 5}, FinishReason::length, GetParam()).complete_calls);
}

/// Which tokens may come next; nullopt: any.
std::optional<std::vector<TokenId>> allowed(engine::TokenConstraint& constraint) {
  std::vector<std::uint32_t> mask(1);
  constraint.fill_mask(mask, 100);
  if (mask[0] == ~std::uint32_t(0)) return std::nullopt;
  std::vector<TokenId> ids;
  for (TokenId id = 0; id < kTokens.vocab_size(); ++id)
    if (mask[0] >> id & 1) ids.push_back(id);
  return ids;
}

TEST(ReasoningLimit, ForcesTheClosingMarker) {
  const auto limit = limit_reasoning(kTokens, *mistral().format, 3, nullptr);
  // Content is not counted, nor is a marker's token before it has opened.
  for (const TokenId id : {4, 2, 9, 9}) {
    EXPECT_FALSE(allowed(*limit)) << id;
    EXPECT_TRUE(limit->accept(id));
  }
  EXPECT_FALSE(allowed(*limit));
  limit->accept(9);
  EXPECT_EQ(allowed(*limit), std::vector<TokenId>{3});
  limit->accept(3);
  EXPECT_FALSE(allowed(*limit));
  EXPECT_FALSE(limit->finished());
}

TEST(ReasoningLimit, WaitsForTheEndOfACharacter) {
  const auto limit = limit_reasoning(kTokens, *mistral().format, 1, nullptr);
  limit->accept(2);
  limit->accept(11);
  EXPECT_FALSE(allowed(*limit));
  limit->accept(12);
  EXPECT_EQ(allowed(*limit), std::vector<TokenId>{3});
}

/// Lets everything pass but one token.
class AllBut final : public engine::TokenConstraint {
 public:
  explicit AllBut(TokenId id) : id_(id) {}
  void fill_mask(std::span<std::uint32_t> mask, std::int64_t) override {
    mask[0] = ~(std::uint32_t(1) << id_);
  }
  bool accept(TokenId token) override { return token != id_; }
  bool finished() const override { return false; }

 private:
  TokenId id_;
};

TEST(ReasoningLimit, YieldsToAFormWithoutPlaceForTheMarker) {
  const auto limit = limit_reasoning(kTokens, *mistral().format, 1, std::make_shared<AllBut>(3));
  for (const TokenId id : {2, 9, 9, 9}) {
    EXPECT_GT(allowed(*limit)->size(), 1u);
    EXPECT_TRUE(limit->accept(id));
  }
}

TEST(ReasoningLimit, LeavesReasoningThatEndsByItself) {
  const auto limit = limit_reasoning(kTokens, *mistral().format, 5, nullptr);
  for (const TokenId id : {2, 9, 3, 9, 9, 9, 9, 9, 9}) {
    EXPECT_FALSE(allowed(*limit));
    limit->accept(id);
  }
}

}  // namespace
}  // namespace isotope::server
