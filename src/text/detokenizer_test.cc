#include "text/detokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "text/tokenizer_fixtures.h"
#include "text/utf8.h"

namespace isotope::text {
namespace {

std::string bytes_of_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += char(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

TEST(Utf8, ReplacesAsPythonDoes) {
  const json::value vectors = parse_json_file(fixture("hf-vectors.json"));
  const json::array& cases = vectors.at("utf8_replacement").as_array();
  EXPECT_EQ(cases.size(), 400u);
  for (const json::value& test_case : cases)
    EXPECT_EQ(replace_invalid_utf8(bytes_of_hex(text_of(test_case.at("hex")))),
              text_of(test_case.at("text")))
        << test_case.at("hex").as_string();
}

TEST(Utf8, CuttingAtIncompleteSuffixesChangesNothing) {
  const json::value vectors = parse_json_file(fixture("hf-vectors.json"));
  for (const json::value& test_case : vectors.at("utf8_replacement").as_array()) {
    std::string pending;
    std::string text;
    for (const char byte : bytes_of_hex(text_of(test_case.at("hex")))) {
      pending += byte;
      const std::size_t complete = pending.size() - incomplete_utf8_suffix(pending);
      text += replace_invalid_utf8(pending.substr(0, complete));
      pending.erase(0, complete);
    }
    EXPECT_EQ(text + replace_invalid_utf8(pending), text_of(test_case.at("text")));
  }
}

TEST(Detokenizer, GivesWholeCharactersAsSoonAsTheyAreComplete) {
  const auto qwen = Tokenizer::load(unpacked_fixture("qwen3"));
  Detokenizer detokenizer(*qwen, false);
  // " 🌀" of llama.cpp's vectors is the three tokens 11162 99 247.
  EXPECT_EQ(detokenizer.push(9707), "Hello");
  EXPECT_EQ(detokenizer.push(11162), " ");
  EXPECT_EQ(detokenizer.push(99), "");
  const std::string last = detokenizer.push(247);
  EXPECT_EQ(last.size(), 4u);
  EXPECT_EQ(replace_invalid_utf8(last), last);
  EXPECT_EQ(detokenizer.push(11162), " ");
  EXPECT_EQ(detokenizer.push(9707), "\uFFFDHello");
  EXPECT_EQ(detokenizer.push(11162), " ");
  EXPECT_EQ(detokenizer.finish(), "\uFFFD");
  EXPECT_EQ(detokenizer.finish(), "");
}

TEST(Detokenizer, SkipsSpecialTokensOnly) {
  const auto qwen = Tokenizer::load(unpacked_fixture("qwen3"));
  const std::vector<TokenId> ids{151644, 9707, 151667, 151645, -5, 151900};
  EXPECT_EQ(qwen->decode(ids, true), "Hello<think>");
  EXPECT_EQ(qwen->decode(ids, false), "<|im_start|>Hello<think><|im_end|>");
}

TEST(Detokenizer, DropsTheFirstSpaceOfSentencePiece) {
  const auto stories = Tokenizer::load(fixture("../stories260K"));
  const auto ids = stories->encode("Once  upon", {.add_special_tokens = true});
  EXPECT_EQ(stories->decode(ids, true), "Once  upon");
  EXPECT_EQ(stories->decode(ids, false), "<s> Once  upon");
  Detokenizer detokenizer(*stories, true);
  std::string text;
  for (const TokenId id : ids) text += detokenizer.push(id);
  EXPECT_EQ(text + detokenizer.finish(), "Once  upon");
}

TEST(Detokenizer, PiecesJoinToTheReplacedBytesForRandomIds) {
  std::mt19937 random(5);
  for (const auto& model : all_tokenizers()) {
    const auto tokenizer = Tokenizer::load(model);
    for (int repeat = 0; repeat < 300; ++repeat) {
      std::vector<TokenId> ids(random() % 30);
      // Low ids are single bytes in most vocabularies: they make the most broken text.
      for (TokenId& id : ids)
        id = TokenId(random() % unsigned(random() % 2 ? tokenizer->vocab_size() : 300));
      const bool skip = random() % 2;
      Detokenizer detokenizer(*tokenizer, skip);
      std::string pieces;
      std::string bytes;
      for (const TokenId id : ids) {
        const std::string piece = detokenizer.push(id);
        EXPECT_EQ(replace_invalid_utf8(piece), piece);
        pieces += piece;
        if (!skip || !tokenizer->is_special(id)) bytes += tokenizer->token_bytes(id);
      }
      pieces += detokenizer.finish();
      if (tokenizer->strips_leading_space() && bytes.starts_with(' ')) bytes.erase(0, 1);
      EXPECT_EQ(pieces, replace_invalid_utf8(bytes)) << model;
      EXPECT_EQ(pieces, tokenizer->decode(ids, skip));
    }
  }
}

}  // namespace
}  // namespace isotope::text
