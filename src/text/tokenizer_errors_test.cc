// Tokenizer files that are broken or use what we do not have: one clear error each.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <functional>

#include "base/error.h"
#include "text/tokenizer_fixtures.h"

namespace isotope::text {
namespace {

std::filesystem::path empty_folder() {
  const auto folder = std::filesystem::path(ISOTOPE_TEST_WORK) / "broken";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

void write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary) << text;
}

/// Loading must fail with `code` and a message that names every one of `words`.
void expect_error(const std::filesystem::path& folder, ErrorCode code,
                  const std::vector<std::string>& words) {
  try {
    Tokenizer::load(folder);
    ADD_FAILURE() << "loaded; expected an error with '" << words.back() << "'";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(error.code(), code) << message;
    for (const std::string& word : words)
      EXPECT_NE(message.find(word), std::string::npos) << "no '" << word << "' in: " << message;
    EXPECT_LT(message.size(), 600u);
  }
}

using Change = std::function<void(json::object& document)>;

void expect_broken(const Change& change, ErrorCode code, std::vector<std::string> words) {
  json::value document = parse_json_file(fixture("gpt2-style/tokenizer.json"));
  change(document.as_object());
  const auto folder = empty_folder();
  write(folder / "tokenizer.json", json::serialize(document));
  words.push_back("tokenizer.json");
  expect_error(folder, code, words);
}

Change set(std::string field, json::value value) {
  return [=](json::object& document) { document[field] = value; };
}
Change set_model(std::string field, json::value value) {
  return [=](json::object& document) { document["model"].as_object()[field] = value; };
}
Change add_to_vocab(std::string token, json::value id) {
  return [=](json::object& document) { document["model"].at("vocab").as_object()[token] = id; };
}
Change set_merge(std::size_t i, json::value merge) {
  return [=](json::object& document) { document["model"].at("merges").as_array().at(i) = merge; };
}
Change add_token(json::value token) {
  return [=](json::object& document) { document["added_tokens"].as_array().push_back(token); };
}

constexpr auto kCorrupt = ErrorCode::corrupt_data;
constexpr auto kUnsupported = ErrorCode::unsupported;

TEST(TokenizerErrors, FilesThatAreNoTokenizers) {
  auto folder = empty_folder();
  expect_error(folder, ErrorCode::not_found, {"tokenizer.json", "tekken.json", "broken"});
  for (const std::string text :
       {"", "{", "[]", "{} x", "{\"model\": 3}", "{\"model\": {}}", "null", "\xff"}) {
    write(folder / "tokenizer.json", text);
    expect_error(folder, kCorrupt, {"tokenizer.json"});
  }
  write(folder / "tokenizer.json", std::string(1 << 20, '['));
  expect_error(folder, kCorrupt, {"tokenizer.json"});
}

TEST(TokenizerErrors, EveryTruncationIsAnError) {
  const std::string whole = read_file(fixture("gpt2-style/tokenizer.json"));
  const auto folder = empty_folder();
  for (std::size_t size = 0; size < whole.size() - 2; size += 97) {
    write(folder / "tokenizer.json", whole.substr(0, size));
    expect_error(folder, kCorrupt, {"tokenizer.json"});
  }
}

TEST(TokenizerErrors, BrokenVocabulary) {
  expect_broken(add_to_vocab("new", -1), kCorrupt, {"vocab", "'new' is -1"});
  expect_broken(add_to_vocab("new", 1e15), kCorrupt, {"vocab", "'new' is 1E15"});
  expect_broken(add_to_vocab("new", std::int64_t(1) << 40), kCorrupt, {"'new' is 1099511627776"});
  expect_broken(add_to_vocab("new", ~std::uint64_t(0)), kCorrupt, {"18446744073709551615"});
  expect_broken(add_to_vocab("new", 1.5), kCorrupt, {"'new' is 1.5E0"});
  expect_broken(add_to_vocab("new", "7"), kCorrupt, {"'new' is \"7\""});
  expect_broken(add_to_vocab("new", nullptr), kCorrupt, {"'new' is null"});
  expect_broken(add_to_vocab("new", 7), kCorrupt, {"vocab", "'new'", "same id 7"});
  expect_broken(set_model("vocab", json::array{1, 2}), kCorrupt, {"vocab", "object"});
  expect_broken([](auto& document) { document["model"].as_object().erase("vocab"); }, kCorrupt,
                {"'vocab' is missing"});
}

TEST(TokenizerErrors, BrokenMerges) {
  expect_broken(set_merge(3, "no space"), kCorrupt,
                {"merges[3]", "no space", "not in the vocabulary"});
  expect_broken(set_merge(3, "one"), kCorrupt, {"merges[3]", "\"one\"", "expected two tokens"});
  expect_broken(set_merge(3, "a b c"), kCorrupt, {"merges[3]", "expected two tokens"});
  expect_broken(set_merge(0, json::array{"a"}), kCorrupt, {"merges[0]", "expected two tokens"});
  expect_broken(set_merge(0, json::array{"a", 5}), kCorrupt, {"merges[0]", "[\"a\",5]"});
  expect_broken(set_merge(0, 17), kCorrupt, {"merges[0] is 17"});
  expect_broken(set_merge(0, json::array{"z", "q"}), kCorrupt, {"'zq' is not in the vocabulary"});
  expect_broken(set_merge(0, json::array{"日", "q"}), kCorrupt, {"'日' is not in the vocabulary"});
  expect_broken(set_merge(0, json::array{"", "q"}), kCorrupt, {"'' is not in the vocabulary"});
  expect_broken(set_model("merges", "x"), kCorrupt, {"'merges' is \"x\"", "array"});
  expect_broken([](auto& document) { document["model"].as_object().erase("merges"); }, kCorrupt,
                {"'merges' is missing"});
}

TEST(TokenizerErrors, BrokenAddedTokens) {
  const auto token = [](json::value id, json::value content) {
    return add_token(json::object{{"id", id}, {"content", content}, {"special", true}});
  };
  expect_broken(token(5, "<new>"), kCorrupt, {"<new>", "same id 5"});
  expect_broken(token(-1, "<new>"), kCorrupt, {"added_tokens[3]", "'id' is -1"});
  expect_broken(token(1 << 30, "<new>"), kCorrupt, {"'id' is 1073741824"});
  expect_broken(token(1000, ""), kCorrupt, {"added_tokens[3]", "'content' is \"\""});
  expect_broken(token(1000, 4), kCorrupt, {"'content' is 4"});
  expect_broken(token(1000, "<|im_end|>"), kCorrupt, {"'id' is 1000", "'<|im_end|>'"});
  expect_broken(token(2, "<|im_end|>"), kCorrupt, {"'<|im_end|>' appears twice"});
  expect_broken(add_token(json::object{{"content", "x"}}), kCorrupt, {"'id' is missing"});
  expect_broken(set("added_tokens", 3), kCorrupt, {"'added_tokens' is 3"});
}

TEST(TokenizerErrors, UnknownComponentsAreRefusedByName) {
  const auto typed = [](std::string type) { return json::object{{"type", type}}; };
  expect_broken(set("normalizer", typed("Precompiled")), kUnsupported,
                {"normalizer", "Precompiled"});
  expect_broken(set("pre_tokenizer", typed("BertPreTokenizer")), kUnsupported,
                {"pre_tokenizer", "BertPreTokenizer"});
  expect_broken(set("decoder", typed("WordPiece")), kUnsupported, {"decoder", "WordPiece"});
  expect_broken(set("decoder", nullptr), kUnsupported, {"decoder", "null"});
  expect_broken(set("post_processor", typed("BertProcessing")), kUnsupported,
                {"post_processor", "BertProcessing"});
  expect_broken(set_model("type", "Unigram"), kUnsupported, {"model", "Unigram"});
  expect_broken(set_model("end_of_word_suffix", "</w>"), kUnsupported,
                {"end_of_word_suffix", "</w>"});
  expect_broken(set_model("dropout", 0.1), kUnsupported, {"dropout"});
  expect_broken(set_model("byte_fallback", true), kUnsupported, {"byte_fallback", "ByteLevel"});
  expect_broken(set_model("byte_fallback", "yes"), kCorrupt, {"'byte_fallback' is \"yes\""});
  expect_broken(set_model("unk_token", "[UNK]"), kCorrupt, {"'unk_token' is \"[UNK]\""});
  expect_broken(set("normalizer", json::object{}), kCorrupt, {"normalizer", "'type' is missing"});
  expect_broken(set("pre_tokenizer", 5), kCorrupt, {"pre_tokenizer"});
}

TEST(TokenizerErrors, PatternsThatCannotBeHonoured) {
  const auto split = [](json::value pattern) {
    return set("pre_tokenizer",
               json::object{{"type", "Split"}, {"behavior", "Isolated"}, {"pattern", pattern}});
  };
  const auto regex = [&](std::string pattern) { return split(json::object{{"Regex", pattern}}); };
  expect_broken(regex("(a"), kCorrupt, {"pre_tokenizer", "(a"});
  expect_broken(regex("[\\p{Nonsense}]"), kCorrupt, {"Nonsense"});
  expect_broken(regex("[a-z&&[^b]]"), kUnsupported, {"&&"});
  expect_broken(regex("(?m:.)"), kUnsupported, {"(?m)"});
  expect_broken(regex("\\h"), kUnsupported, {"\\h"});
  expect_broken(split(json::object{}), kCorrupt, {"'pattern'"});
  expect_broken(split(7), kCorrupt, {"pattern"});
  expect_broken(set("pre_tokenizer", json::object{{"type", "Split"},
                                                  {"behavior", "Sideways"},
                                                  {"pattern", json::object{{"String", "x"}}}}),
                kCorrupt, {"'behavior' is \"Sideways\""});
}

TEST(TokenizerErrors, APatternThatBacktracksWithoutEndIsStopped) {
  json::value document = parse_json_file(fixture("gpt2-style/tokenizer.json"));
  document.as_object()["pre_tokenizer"] = json::object{
      {"type", "Split"}, {"behavior", "Isolated"}, {"pattern", json::object{{"Regex", "(a+)+$"}}}};
  const auto folder = empty_folder();
  write(folder / "tokenizer.json", json::serialize(document));
  const auto tokenizer = Tokenizer::load(folder);
  try {
    tokenizer->encode(std::string(60, 'a') + "b", {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(std::string(error.what()).find("61 bytes"), std::string::npos) << error.what();
  }
}

TEST(TokenizerErrors, BrokenTemplatesAndConfigs) {
  const auto post = [](json::value ids) {
    return set(
        "post_processor",
        json::object{
            {"type", "TemplateProcessing"},
            {"single", json::array{json::object{{"SpecialToken", json::object{{"id", "X"}}}}}},
            {"special_tokens", json::object{{"X", json::object{{"ids", ids}}}}}});
  };
  expect_broken(post(json::array{1 << 20}), kCorrupt, {"'ids' is 1048576"});
  expect_broken(post(json::array{-1}), kCorrupt, {"'ids' is -1"});
  expect_broken(post(3), kCorrupt, {"'ids' is 3"});
  const auto folder = empty_folder();
  std::filesystem::copy_file(fixture("gpt2-style/tokenizer.json"), folder / "tokenizer.json");
  for (const auto& [text, word] : std::vector<std::pair<std::string, std::string>>{
           {R"({"bos_token": "<nope>"})", "\"<nope>\""},
           {R"({"eos_token": {"content": 5}})", "'content' is 5"},
           {R"({"eos_token": 7})", "'eos_token' is 7"},
           {R"({"add_bos_token": "yes"})", "'add_bos_token' is \"yes\""},
           {R"([])", "object"},
           {R"({)", "JSON"}}) {
    write(folder / "tokenizer_config.json", text);
    expect_error(folder, kCorrupt, {"tokenizer_config.json", word});
  }
}

/// A Tekken file with the 256 bytes, "ab", and four control tokens.
json::object small_tekken() {
  const auto base64 = [](std::string bytes) {
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const std::size_t missing = (3 - bytes.size() % 3) % 3;
    bytes.append(missing, '\0');
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
      std::uint32_t bits = 0;
      for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | std::uint8_t(bytes[i + k]);
      for (int shift = 18; shift >= 0; shift -= 6) text += kDigits[bits >> shift & 63];
    }
    return text.replace(text.size() - missing, missing, std::string(missing, '='));
  };
  json::array vocab;
  for (int byte = 0; byte < 256; ++byte)
    vocab.push_back(
        json::object{{"rank", byte}, {"token_bytes", base64(std::string(1, char(byte)))}});
  vocab.push_back(json::object{{"rank", 256}, {"token_bytes", base64("ab")}});
  json::array specials;
  for (const std::string_view name : {"<unk>", "<s>", "</s>"})
    specials.push_back(json::object{{"rank", specials.size()}, {"token_str", name}});
  return {{"config", json::object{{"pattern", "\\s+|\\S+"},
                                  {"default_vocab_size", 261},
                                  {"default_num_special_tokens", 4}}},
          {"special_tokens", specials},
          {"vocab", vocab}};
}

TEST(TokenizerErrors, SmallTekkenIsRightToBeginWith) {
  const auto folder = empty_folder();
  write(folder / "tekken.json", json::serialize(small_tekken()));
  const auto tokenizer = Tokenizer::load(folder);
  EXPECT_EQ(tokenizer->encode("abba<s><SPECIAL_3>", {}),
            (std::vector<TokenId>{260, 4 + 'b', 4 + 'a', 1, 3}));
}

TEST(TokenizerErrors, BrokenTekken) {
  const auto expect = [](const Change& change, std::vector<std::string> words) {
    json::object document = small_tekken();
    change(document);
    const auto folder = empty_folder();
    write(folder / "tekken.json", json::serialize(document));
    words.push_back("tekken.json");
    expect_error(folder, kCorrupt, words);
  };
  const auto set_vocab = [](std::size_t i, std::string field, json::value value) -> Change {
    return [=](json::object& document) {
      document["vocab"].as_array().at(i).as_object()[field] = value;
    };
  };
  const auto set_special = [](std::size_t i, std::string field, json::value value) -> Change {
    return [=](json::object& document) {
      document["special_tokens"].as_array().at(i).as_object()[field] = value;
    };
  };
  const auto set_config = [](std::string field, json::value value) -> Change {
    return [=](json::object& document) { document["config"].as_object()[field] = value; };
  };
  expect(set_vocab(5, "rank", 6), {"vocab[5]", "'rank' is 6"});
  expect(set_vocab(5, "rank", -6), {"vocab[5]", "'rank' is -6"});
  expect(set_vocab(256, "token_bytes", "YQ="), {"vocab[256]", "YQ="});
  expect(set_vocab(256, "token_bytes", "Y==="), {"vocab[256]", "Y==="});
  expect(set_vocab(256, "token_bytes", "Y!Q="), {"vocab[256]", "Y!Q="});
  expect(set_vocab(256, "token_bytes", ""), {"vocab[256]", "\"\""});
  expect(set_vocab(256, "token_bytes", 3), {"vocab[256]", "'token_bytes' is 3"});
  expect(set_vocab(256, "token_bytes", "YQ=="), {"rank 97 and 256", "same bytes"});
  expect(set_vocab(65, "token_bytes", "YQ=="), {"vocab[65]", "single byte 65"});
  expect([](auto& document) { document["vocab"].as_array().pop_back(); }, {"256 entries", "257"});
  expect(set_special(1, "rank", 2), {"special_tokens[2]", "'rank' is 2"});
  expect(set_special(1, "rank", 4), {"special_tokens[1]", "'rank' is 4"});
  expect(set_special(1, "token_str", "<unk>"), {"'<unk>' has two ranks, 0 and 1"});
  expect(set_special(1, "token_str", "<x>"), {"'<s>'", "bos_token"});
  expect(set_config("default_vocab_size", 1e18), {"config", "'default_vocab_size'"});
  expect(set_config("default_vocab_size", 3), {"'default_vocab_size' is 3"});
  expect(set_config("default_num_special_tokens", 200), {"'default_num_special_tokens' is 200"});
  expect(set_config("pattern", "("), {"pattern"});
  expect(set_config("pattern", nullptr), {"'pattern' is missing"});
  expect([](auto& document) { document.erase("special_tokens"); }, {"'special_tokens' is missing"});
  expect([](auto& document) { document.erase("config"); }, {"'config' is missing"});
}

}  // namespace
}  // namespace isotope::text
