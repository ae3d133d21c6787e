#include "server/logprobs_json.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <limits>

#include "server/test_tokenizer.h"

namespace isotope::server {
namespace {

const TestTokenizer kTokens({"a", " b", "\xe2\x82"});
constexpr float kInfinity = std::numeric_limits<float>::infinity();

engine::TokenLogprobs logprobs(float own, std::vector<std::pair<TokenId, float>> top) {
  return {.logprob = own, .rank = 2, .top = std::move(top)};
}

// The forms follow OpenAI's API reference (legacy completions; chat) and vLLM's prompt_logprobs.

TEST(LogprobsJson, LegacyForm) {
  const LogprobsWriter writer(kTokens, false);
  LogprobsWriter::Legacy legacy(writer, 1);
  legacy.add(0, nullptr, 0);
  const engine::TokenLogprobs entry = logprobs(-2, {{1, -0.5f}, {0, -2.0f}});
  legacy.add(0, &entry, 1);
  const engine::TokenLogprobs banned = logprobs(-kInfinity, {});
  legacy.add(2, &banned, 2);
  EXPECT_EQ(json::serialize(std::move(legacy).finish()),
            R"({"tokens":["a","a","bytes:\\xe2\\x82"],"token_logprobs":[null,-2E0,-9.999E3],)"
            R"("top_logprobs":[null,{" b":-5E-1,"a":-2E0},{"bytes:\\xe2\\x82":-9.999E3}],)"
            R"("text_offset":[0,1,2]})");
}

TEST(LogprobsJson, TokensAsIds) {
  const LogprobsWriter writer(kTokens, true);
  LogprobsWriter::Legacy legacy(writer, 0);
  const engine::TokenLogprobs entry = logprobs(-2, {});
  legacy.add(1, &entry, 0);
  EXPECT_EQ(json::serialize(std::move(legacy).finish()),
            R"({"tokens":["token_id:1"],"token_logprobs":[-2E0],)"
            R"("top_logprobs":[{"token_id:1":-2E0}],"text_offset":[0]})");
}

TEST(LogprobsJson, ChatForm) {
  const LogprobsWriter writer(kTokens, false);
  EXPECT_EQ(json::serialize(writer.chat_entry(
                {.id = 2, .logprobs = logprobs(-1, {{0, -0.5f}, {2, -1.0f}, {1, -3.0f}})}, 2)),
            "{\"token\":\"\uFFFD\",\"logprob\":-1E0,\"bytes\":[226,130],\"top_logprobs\":["
            "{\"token\":\"a\",\"logprob\":-5E-1,\"bytes\":[97]},"
            "{\"token\":\"\uFFFD\",\"logprob\":-1E0,\"bytes\":[226,130]}]}");
}

TEST(LogprobsJson, PromptForm) {
  const LogprobsWriter writer(kTokens, false);
  const std::vector<TokenId> ids{0, 1};
  EXPECT_EQ(json::serialize(writer.prompt(ids, {{}, logprobs(-4, {{0, -1.0f}})}, 1)),
            R"([null,{"1":{"logprob":-4E0,"rank":2,"decoded_token":" b"},)"
            R"("0":{"logprob":-1E0,"rank":1,"decoded_token":"a"}}])");
}

}  // namespace
}  // namespace isotope::server
