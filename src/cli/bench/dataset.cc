#include "cli/bench/dataset.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <functional>
#include <numeric>
#include <random>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace isotope::cli {
namespace {

constexpr std::int64_t kDefaultOutput = 256;
// vLLM's filter of ShareGPT conversations: what is shorter or longer is left out.
constexpr std::int64_t kShortest = 4, kLongestPrompt = 1024, kLongestTotal = 2048;

/// A prompt of a file; the answer's length is 0 if the file gives none.
struct Entry {
  std::string prompt, answer;
  std::int64_t output_len = 0;
};

void for_each_line(std::string_view text,
                   const std::function<void(std::string_view, std::size_t)>& use) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) use(line, number);
  }
}

std::vector<Entry> read_gsm8k(const DatasetOptions& options) {
  std::vector<Entry> entries;
  for_each_line(read_file(options.path), [&](std::string_view line, std::size_t number) {
    const std::string name = fmt::format("{}:{}", options.path.string(), number);
    const json::value value = parse_json(line, name);
    const JsonFields fields(value, name);
    entries.push_back({.prompt = "Question: " + fields.string("question") + "\nAnswer:"});
  });
  return entries;
}

/// A prompt a line: as it is, or as {"prompt": "…", "output_tokens": N}.
std::vector<Entry> read_prompts(const DatasetOptions& options) {
  std::vector<Entry> entries;
  for_each_line(read_file(options.path), [&](std::string_view line, std::size_t number) {
    if (!line.starts_with('{')) {
      entries.push_back({.prompt = std::string(line)});
      return;
    }
    const std::string name = fmt::format("{}:{}", options.path.string(), number);
    const json::value value = parse_json(line, name);
    const JsonFields fields(value, name);
    entries.push_back({.prompt = fields.string("prompt"),
                       .output_len = fields.integer("output_tokens", 1, 1 << 24, 0)});
  });
  return entries;
}

/// The first two turns of each conversation, as vLLM takes them.
std::vector<Entry> read_sharegpt(const DatasetOptions& options) {
  const MappedFile file(options.path);
  const std::string name = options.path.string();
  json::monotonic_resource memory;  // freed at once: the file has some hundred MB
  const json::value value = parse_json(
      {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, name, &memory);
  if (!value.is_array())
    fail(ErrorCode::corrupt_data, "{}: expected a list of conversations", name);
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < value.get_array().size(); ++i) {
    const JsonFields item(value.get_array()[i], fmt::format("{}: entry {}", name, i));
    const json::value* turns = item.find("conversations");
    if (!turns) item.missing("conversations");
    if (!turns->is_array()) item.wrong("conversations", *turns, "a list");
    if (turns->get_array().size() < 2) continue;
    const JsonFields first(turns->get_array()[0], item.name()),
        second(turns->get_array()[1], item.name());
    entries.push_back({.prompt = first.string("value"), .answer = second.string("value")});
  }
  return entries;
}

std::vector<Entry> read_entries(const DatasetOptions& options) {
  if (options.path.empty())
    fail(ErrorCode::invalid_argument, "this dataset is a file: give it with --dataset-path");
  switch (options.kind) {
    case DatasetKind::sharegpt:
      return read_sharegpt(options);
    case DatasetKind::gsm8k:
      return read_gsm8k(options);
    case DatasetKind::prompts_file:
      return read_prompts(options);
    case DatasetKind::random:
      break;
  }
  assertion_failed("a dataset with a file", __FILE__, __LINE__);
}

std::int64_t token_count(const text::Tokenizer& tokenizer, std::string_view text) {
  return std::int64_t(tokenizer.encode(text, {.parse_special_tokens = false}).size());
}

/// nullopt: vLLM's filter leaves it out.
std::optional<BenchPrompt> make_prompt(const Entry& entry, const DatasetOptions& options,
                                       const text::Tokenizer* tokenizer) {
  BenchPrompt prompt{.text = entry.prompt};
  if (tokenizer) {
    prompt.tokens = tokenizer->encode(entry.prompt, {.parse_special_tokens = false});
    prompt.prompt_len = std::int64_t(prompt.tokens.size());
  }
  prompt.output_len = entry.output_len > 0 ? entry.output_len : kDefaultOutput;
  if (options.output_len) prompt.output_len = *options.output_len;
  if (options.kind != DatasetKind::sharegpt) return prompt;
  if (!options.output_len) {
    prompt.output_len = token_count(*tokenizer, entry.answer);
    if (prompt.output_len < kShortest) return std::nullopt;
  }
  if (tokenizer && (prompt.prompt_len < kShortest || prompt.prompt_len > kLongestPrompt ||
                    prompt.prompt_len + prompt.output_len > kLongestTotal))
    return std::nullopt;
  return prompt;
}

Dataset file_dataset(const DatasetOptions& options, const text::Tokenizer* tokenizer) {
  if (options.kind == DatasetKind::sharegpt && !tokenizer && !options.output_len)
    fail(ErrorCode::invalid_argument,
         "the answers' lengths of a ShareGPT file are counted in tokens: give --tokenizer DIR, or "
         "one length for all with --output-len");
  const std::vector<Entry> entries = read_entries(options);
  std::vector<std::size_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(options.seed));
  Dataset dataset;
  for (const std::size_t i : order) {
    if (std::int64_t(dataset.prompts.size()) == options.num_prompts) break;
    if (entries[i].prompt.empty()) continue;
    if (auto prompt = make_prompt(entries[i], options, tokenizer))
      dataset.prompts.push_back(std::move(*prompt));
  }
  dataset.distinct = dataset.prompts.size();
  if (dataset.prompts.empty())
    fail(ErrorCode::invalid_argument, "{}: none of its {} entries can be used as a prompt",
         options.path.string(), entries.size());
  for (std::size_t i = 0; std::int64_t(dataset.prompts.size()) < options.num_prompts; ++i)
    dataset.prompts.push_back(BenchPrompt(dataset.prompts[i]));
  return dataset;
}

}  // namespace

Dataset make_dataset(const DatasetOptions& options, const text::Tokenizer* tokenizer) {
  return options.kind == DatasetKind::random ? random_dataset(options, tokenizer)
                                             : file_dataset(options, tokenizer);
}

}  // namespace isotope::cli
