// Tokenizers against the answers of llama.cpp's vectors and of Hugging Face's `tokenizers`.
#include "text/tokenizer.h"

#include <gtest/gtest.h>
#include <time.h>
#include <utf8proc.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "text/tokenizer_fixtures.h"
#include "text/utf8.h"

namespace isotope::text {
namespace {

constexpr EncodeOptions kPlain{.add_special_tokens = false, .parse_special_tokens = false};

/// CPU time of this thread: unlike wall time, it hardly depends on what else the machine does.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return double(time.tv_sec) + double(time.tv_nsec) * 1e-9;
}

constexpr bool kSanitized =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    true;
#else
    false;
#endif

/// Limits on time hold for optimized code without instrumentation.
constexpr bool kTimed =
#ifdef __OPTIMIZE__
    !kSanitized;
#else
    false;
#endif

std::vector<std::string> split_text(const std::string& text, std::string_view separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t at; (at = text.find(separator, begin)) != std::string::npos;
       begin = at + separator.size())
    parts.push_back(text.substr(begin, at - begin));
  parts.push_back(text.substr(begin));
  return parts;
}

void expect_ggml_vectors(const std::filesystem::path& model, std::string_view answers) {
  const auto tokenizer = Tokenizer::load(model);
  const auto texts = split_text(read_file(fixture("ggml-vocab.inp")), "\n__ggml_vocab_test__\n");
  const auto lines = split_text(read_file(fixture(answers)), "\n");
  // The list of texts ends with a separator, the list of answers with a line end.
  ASSERT_EQ(texts.size(), 47u);
  ASSERT_EQ(lines.size(), 47u);
  for (std::size_t i = 0; i + 1 < texts.size(); ++i) {
    std::istringstream line(lines[i]);
    const std::vector<TokenId> expected{std::istream_iterator<TokenId>(line), {}};
    EXPECT_EQ(tokenizer->encode(texts[i], {}), expected) << "text " << i << ": " << texts[i];
    EXPECT_EQ(tokenizer->decode(expected, false), texts[i]);
  }
}

TEST(Tokenizer, GgmlVectorsOfQwen) { expect_ggml_vectors(unpacked_fixture("qwen3"), "qwen2.out"); }
TEST(Tokenizer, GgmlVectorsOfTekken) {
  expect_ggml_vectors(unpacked_fixture("ministral3-tekken"), "tekken.out");
}
TEST(Tokenizer, GgmlVectorsOfTekkenAsTokenizerJson) {
  expect_ggml_vectors(unpacked_fixture("ministral3-hf"), "tekken.out");
}

void expect_extra_vectors(const std::filesystem::path& model, std::string_view key) {
  const auto tokenizer = Tokenizer::load(model);
  const json::value vectors = parse_json_file(fixture("extra.json"));
  ASSERT_EQ(vectors.as_array().size(), 35u);
  for (const json::value& entry : vectors.as_array()) {
    const std::string text = text_of(entry.at("text"));
    EXPECT_EQ(tokenizer->encode(text, {}), token_ids(entry.at(key))) << text;
    EXPECT_EQ(tokenizer->encode(text, kPlain), token_ids(entry.at(std::string(key) + "_plain")))
        << text;
  }
}

TEST(Tokenizer, ExtraVectorsOfQwen) { expect_extra_vectors(unpacked_fixture("qwen3"), "qwen3"); }
TEST(Tokenizer, ExtraVectorsOfTekken) {
  expect_extra_vectors(unpacked_fixture("ministral3-tekken"), "tekken");
}
TEST(Tokenizer, ExtraVectorsOfTekkenAsTokenizerJson) {
  expect_extra_vectors(unpacked_fixture("ministral3-hf"), "tekken");
}

/// A folder with the case's tokenizer, patched as tools/make_tokenizer_vectors.py does it.
std::filesystem::path patched_model(const json::value& test_case) {
  const std::filesystem::path source = fixture(text_of(test_case.at("tokenizer")));
  json::value document = parse_json_file(source / "tokenizer.json");
  for (const auto& [field, value] : test_case.at("patch").as_object()) {
    if (field != "model") {
      document.as_object()[field] = value;
      continue;
    }
    for (const auto& [model_field, model_value] : value.as_object())
      document.at("model").as_object()[model_field] = model_value;
  }
  const auto folder =
      std::filesystem::path(ISOTOPE_TEST_WORK) / "patched" / text_of(test_case.at("name"));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "tokenizer.json") << json::serialize(document);
  return folder;
}

TEST(Tokenizer, HuggingFaceVectors) {
  const json::value vectors = parse_json_file(fixture("hf-vectors.json"));
  std::size_t texts = 0;
  std::size_t decoded = 0;
  for (const json::value& test_case : vectors.at("cases").as_array()) {
    SCOPED_TRACE(text_of(test_case.at("name")));
    const auto tokenizer = Tokenizer::load(patched_model(test_case));
    for (const json::value& entry : test_case.at("encode").as_array()) {
      const std::string text = text_of(entry.at("text"));
      const json::value* with_special = entry.as_object().if_contains("ids_with_special");
      EXPECT_EQ(tokenizer->encode(text, {}), token_ids(entry.at("ids"))) << text;
      EXPECT_EQ(tokenizer->encode(text, {.add_special_tokens = true}),
                token_ids(with_special ? *with_special : entry.at("ids")))
          << text;
      ++texts;
    }
    for (const json::value& entry : test_case.at("decode").as_array()) {
      const std::vector<TokenId> ids = token_ids(entry.at("ids"));
      EXPECT_EQ(tokenizer->decode(ids, false), text_of(entry.at("text")));
      EXPECT_EQ(tokenizer->decode(ids, true), text_of(entry.at("text_without_special")));
      ++decoded;
    }
  }
  EXPECT_GT(texts, 1500u);
  EXPECT_GT(decoded, 300u);
}

TEST(Tokenizer, BosAndEosComeFromTheConfig) {
  const auto qwen = Tokenizer::load(unpacked_fixture("qwen3"));
  EXPECT_EQ(qwen->bos_id(), std::nullopt);
  EXPECT_EQ(qwen->eos_id(), 151645);
  EXPECT_EQ(qwen->encode("Hello", {.add_special_tokens = true}), std::vector<TokenId>{9707});
  const auto tekken = Tokenizer::load(unpacked_fixture("ministral3-tekken"));
  EXPECT_EQ(tekken->bos_id(), 1);
  EXPECT_EQ(tekken->eos_id(), 2);
  EXPECT_EQ(tekken->encode("Hello", {.add_special_tokens = true}),
            (std::vector<TokenId>{1, 22177}));
  const auto stories = Tokenizer::load(fixture("../stories260K"));
  EXPECT_EQ(stories->bos_id(), 1);
  EXPECT_EQ(stories->eos_id(), 2);
  EXPECT_EQ(stories->encode("", {.add_special_tokens = true}), std::vector<TokenId>{1});
}

TEST(Tokenizer, DescribesItsTokens) {
  const auto qwen = Tokenizer::load(unpacked_fixture("qwen3"));
  EXPECT_EQ(qwen->kind(), "byte-level BPE");
  EXPECT_EQ(qwen->vocab_size(), 151669);
  EXPECT_EQ(qwen->token_text(21927), "ĠHello");
  EXPECT_EQ(qwen->token_bytes(21927), " Hello");
  EXPECT_EQ(qwen->id_of("ĠHello"), 21927);
  EXPECT_EQ(qwen->id_of("<|im_end|>"), 151645);
  EXPECT_EQ(qwen->id_of("no such token"), std::nullopt);
  EXPECT_TRUE(qwen->is_special(151645));
  EXPECT_FALSE(qwen->is_special(151667)) << "<think> stays visible";
  for (const TokenId id : {-1, 151669, 1 << 30}) {
    EXPECT_EQ(qwen->token_bytes(id), "");
    EXPECT_EQ(qwen->token_text(id), "");
    EXPECT_FALSE(qwen->is_special(id));
  }
  const auto tekken = Tokenizer::load(unpacked_fixture("ministral3-tekken"));
  EXPECT_EQ(tekken->kind(), "Tekken");
  EXPECT_EQ(tekken->vocab_size(), 131072);
  EXPECT_EQ(tekken->token_bytes(1000), std::string_view("\0", 1));
  EXPECT_EQ(tekken->token_bytes(45383), " Hello");
  EXPECT_EQ(tekken->id_of("[INST]"), 3);
  EXPECT_TRUE(tekken->is_special(34));
  const auto stories = Tokenizer::load(fixture("../stories260K"));
  EXPECT_EQ(stories->kind(), "SentencePiece BPE");
  EXPECT_EQ(stories->token_bytes(13), "\n") << "<0x0A>";
  EXPECT_EQ(stories->token_text(13), "<0x0A>");
  EXPECT_TRUE(stories->strips_leading_space());
}

TEST(Tokenizer, RandomBytesSurviveTheRoundTrip) {
  const auto qwen = Tokenizer::load(unpacked_fixture("qwen3"));
  const auto tekken = Tokenizer::load(unpacked_fixture("ministral3-tekken"));
  const auto tekken_hf = Tokenizer::load(unpacked_fixture("ministral3-hf"));
  const auto gpt2 = Tokenizer::load(fixture("gpt2-style"));
  std::mt19937 random(20240718);
  for (int repeat = 0; repeat < 2000; ++repeat) {
    std::string bytes(random() % 80, '\0');
    for (char& byte : bytes) byte = char(random() % (repeat % 2 ? 256 : 128));
    const std::string text = replace_invalid_utf8(bytes);
    for (const Tokenizer* tokenizer : {tekken.get(), tekken_hf.get(), gpt2.get()}) {
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes, {}), false), text);
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes, kPlain), false), text);
    }
    // Qwen normalizes; utf8proc's own function says what to expect.
    std::uint8_t* normalized = nullptr;
    const auto size = utf8proc_map(reinterpret_cast<const std::uint8_t*>(text.data()),
                                   utf8proc_ssize_t(text.size()), &normalized,
                                   utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    ASSERT_GE(size, 0);
    const std::string expected(reinterpret_cast<const char*>(normalized), std::size_t(size));
    std::free(normalized);
    EXPECT_EQ(qwen->decode(qwen->encode(bytes, {}), false), expected);
  }
}

TEST(Tokenizer, MayBeUsedFromManyThreads) {
  const auto tokenizer = Tokenizer::load(fixture("gpt2-style"));
  const std::string text = read_file(fixture("extra.json"));
  const std::vector<TokenId> expected = tokenizer->encode(text, {});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int repeat = 0; repeat < 10; ++repeat) {
        EXPECT_EQ(tokenizer->encode(text, {}), expected);
        EXPECT_EQ(tokenizer->decode(expected, false), text);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Tokenizer, LoadsTheQwenVocabularyInHalfASecond) {
  double best = 1e9;
  for (int repeat = 0; repeat < 3; ++repeat) {
    const double begin = cpu_seconds();
    const auto tokenizer = Tokenizer::load(unpacked_fixture("qwen3"));
    best = std::min(best, cpu_seconds() - begin);
  }
  std::printf("loading the 11 MB tokenizer.json of Qwen3 takes %.3f s\n", best);
  if (kTimed) {
    EXPECT_LE(best, 0.5);
  }
}

TEST(Tokenizer, LongPiecesTakeNoQuadraticTime) {
  constexpr int kLong = kTimed ? 1 << 20 : 1 << 16;
  std::string letters;
  std::string marks = "e";
  std::mt19937 random(7);
  for (int i = 0; i < kLong; ++i) letters += char('a' + random() % 26);
  for (int i = 0; i < kLong / 4; ++i) marks += i % 2 ? "\u0301" : "\u0323";
  std::vector<std::string> texts{letters, marks};
  for (const char c : {'a', ' ', '\n', '<', '1'}) texts.push_back("x" + std::string(kLong / 4, c));
  for (const auto& model : all_tokenizers()) {
    const auto tokenizer = Tokenizer::load(model);
    for (const std::string& text : texts) {
      const double begin = cpu_seconds();
      const std::vector<TokenId> ids = tokenizer->encode(text, {});
      const double seconds = cpu_seconds() - begin;
      if (kTimed) {
        EXPECT_LE(seconds, 5.0) << model << " " << text.substr(0, 8);
      }
      EXPECT_FALSE(ids.empty());
      if (&text != &texts[1]) {  // normalization reorders the marks
        EXPECT_EQ(tokenizer->decode(ids, false), text);
      }
    }
  }
}

}  // namespace
}  // namespace isotope::text
