// Prompts of random tokens: nothing in them repeats, so no prefix cache helps, and their length is
// known.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <random>
#include <string_view>

#include "base/error.h"
#include "cli/bench/dataset.h"

namespace isotope::cli {
namespace {

using Random = std::mt19937_64;

/// Words that are one token in most vocabularies, with the space before them.
constexpr auto kWords = std::to_array<std::string_view>(
    {"time",   "year",   "people",   "way",   "day",    "man",     "thing",  "woman",   "life",
     "child",  "world",  "school",   "state", "family", "student", "group",  "country", "problem",
     "hand",   "part",   "place",    "case",  "week",   "company", "system", "program", "question",
     "work",   "number", "night",    "point", "home",   "water",   "room",   "mother",  "area",
     "money",  "story",  "fact",     "month", "lot",    "right",   "study",  "book",    "eye",
     "job",    "word",   "business", "issue", "side",   "kind",    "head",   "house",   "service",
     "friend", "father", "power",    "hour",  "game",   "line",    "end",    "member",  "law",
     "car",    "city",   "name",     "team",  "minute"});

std::int64_t random_length(Random& random, std::int64_t length, double ratio) {
  const auto low = std::int64_t(std::floor(double(length) * (1 - ratio)));
  const auto high = std::int64_t(std::ceil(double(length) * (1 + ratio)));
  return std::uniform_int_distribution<std::int64_t>(std::max<std::int64_t>(1, low),
                                                     std::max<std::int64_t>(1, high))(random);
}

std::string random_words(Random& random, std::int64_t count) {
  std::uniform_int_distribution<std::size_t> word(0, kWords.size() - 1);
  std::string text;
  for (std::int64_t i = 0; i < count; ++i) {
    if (i > 0) text += ' ';
    text += kWords[word(random)];
  }
  return text;
}

class TokenSource {
 public:
  explicit TokenSource(const text::Tokenizer& tokenizer) : tokenizer_(tokenizer) {
    for (TokenId id = 0; id < tokenizer.vocab_size(); ++id)
      if (!tokenizer.is_special(id) && is_plain(tokenizer.token_bytes(id))) usable_.push_back(id);
    if (usable_.empty())
      fail(ErrorCode::invalid_argument, "--tokenizer: its vocabulary has no token of plain text");
  }

  void append(Random& random, std::int64_t count, std::vector<TokenId>& tokens) const {
    std::uniform_int_distribution<std::size_t> pick(0, usable_.size() - 1);
    for (std::int64_t i = 0; i < count; ++i) tokens.push_back(usable_[pick(random)]);
  }

  /// A text that begins with that of `prefix` and has `length` tokens as the server will count
  /// them. Random tokens put together as text seldom split into the same ones again, so what is
  /// missing or too much after that is mended, a few times as in vLLM.
  BenchPrompt prompt(Random& random, std::vector<TokenId> prefix, std::int64_t length) const {
    BenchPrompt prompt;
    prompt.tokens = std::move(prefix);
    for (int tries = 0; tries < 10; ++tries) {
      const auto have = std::int64_t(prompt.tokens.size());
      if (have > length)
        prompt.tokens.resize(std::size_t(length));
      else
        append(random, length - have, prompt.tokens);
      prompt.text = tokenizer_.decode(prompt.tokens, true);
      prompt.tokens = tokenizer_.encode(prompt.text, {.parse_special_tokens = false});
      if (std::int64_t(prompt.tokens.size()) == length) break;
    }
    prompt.prompt_len = std::int64_t(prompt.tokens.size());
    return prompt;
  }

 private:
  /// ASCII letters behind an optional space: no token of these is half a character.
  static bool is_plain(std::string_view bytes) {
    if (bytes.starts_with(' ')) bytes.remove_prefix(1);
    return !bytes.empty() && std::all_of(bytes.begin(), bytes.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    });
  }

  const text::Tokenizer& tokenizer_;
  std::vector<TokenId> usable_;
};

}  // namespace

Dataset random_dataset(const DatasetOptions& options, const text::Tokenizer* tokenizer) {
  // The prefix has a stream of its own: it is the same at every point of a sweep.
  Random prefix_random(0), random(options.seed);
  std::optional<TokenSource> source;
  if (tokenizer) source.emplace(*tokenizer);
  std::vector<TokenId> prefix;
  if (source) source->append(prefix_random, options.prefix_len, prefix);
  std::string words = random_words(prefix_random, options.prefix_len);
  if (!words.empty()) words += ' ';

  Dataset dataset;
  for (std::int64_t i = 0; i < options.num_prompts; ++i) {
    const std::int64_t input = random_length(random, options.input_len, options.range_ratio);
    BenchPrompt prompt;
    if (source) {
      prompt = source->prompt(random, prefix, options.prefix_len + input);
    } else {
      prompt.text = words + random_words(random, input);
      prompt.prompt_len = options.prefix_len + input;
    }
    prompt.output_len = random_length(random, options.random_output_len, options.range_ratio);
    dataset.prompts.push_back(std::move(prompt));
  }
  dataset.distinct = dataset.prompts.size();
  return dataset;
}

Dataset random_tokens(const DatasetOptions& options, std::int64_t vocab_size) {
  Random prefix_random(0), random(options.seed);
  std::uniform_int_distribution<TokenId> token(0, TokenId(vocab_size - 1));
  std::vector<TokenId> prefix;
  for (std::int64_t i = 0; i < options.prefix_len; ++i) prefix.push_back(token(prefix_random));
  Dataset dataset;
  for (std::int64_t i = 0; i < options.num_prompts; ++i) {
    BenchPrompt prompt;
    prompt.tokens = prefix;
    const std::int64_t input = random_length(random, options.input_len, options.range_ratio);
    for (std::int64_t k = 0; k < input; ++k) prompt.tokens.push_back(token(random));
    prompt.prompt_len = std::int64_t(prompt.tokens.size());
    prompt.output_len = random_length(random, options.random_output_len, options.range_ratio);
    dataset.prompts.push_back(std::move(prompt));
  }
  dataset.distinct = dataset.prompts.size();
  return dataset;
}

}  // namespace isotope::cli
