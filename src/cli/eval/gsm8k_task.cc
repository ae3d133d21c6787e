#include "cli/eval/gsm8k_task.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"
#include "cli/eval/python_random.h"
#include "text/regex.h"

namespace isotope::cli {
namespace {

constexpr std::uint32_t kFewshotSeed = 1234;  // the harness's default
constexpr std::string_view kMark = "#### ";

std::string read_rows_text(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path))
    fail(ErrorCode::not_found,
         "{} is not there. GSM8K (MIT licence, 5 MB) can be had by\n  curl -LO "
         "https://raw.githubusercontent.com/openai/grade-school-math/master/grade_school_math/"
         "data/{{train,test}}.jsonl\nThen give its folder as --data DIR",
         path.string());
  return read_file(path);
}

std::vector<Gsm8kRow> parse_rows(std::string_view text, const std::string& name) {
  std::vector<Gsm8kRow> rows;
  for (std::size_t line = 1; !text.empty(); ++line) {
    const std::string_view row = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(row.size() + 1, text.size()));
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}:{}", name, line);
    const json::value value = parse_json(row, where);
    const JsonFields fields(value, where);
    rows.push_back({fields.string("question"), fields.string("answer")});
  }
  if (rows.empty()) fail(ErrorCode::corrupt_data, "{}: holds no questions", name);
  return rows;
}

void erase_all(std::string& text, std::string_view characters) {
  std::erase_if(text, [characters](char c) { return characters.find(c) != characters.npos; });
}

std::string normalized(std::string_view text) {
  std::string result(text);
  erase_all(result, ",");
  erase_all(result, "$");
  if (const auto mark = result.rfind(kMark); mark != std::string::npos)
    result.erase(0, mark + kMark.size());
  // As `\.$`, which also looks before a final line feed.
  const std::size_t end = result.size() - (result.ends_with('\n') ? 1 : 0);
  if (end > 0 && result[end - 1] == '.') result.erase(end - 1, 1);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  return result;
}

}  // namespace

Gsm8kData load_gsm8k(const std::filesystem::path& path) {
  const bool folder = std::filesystem::is_directory(path);
  const std::filesystem::path test = folder ? path / "test.jsonl" : path;
  const std::filesystem::path train = (folder ? path : path.parent_path()) / "train.jsonl";
  const std::string test_text = read_rows_text(test), train_text = read_rows_text(train);
  Sha256 hash;
  hash.update_field(train_text);
  hash.update_field(test_text);
  return {parse_rows(train_text, train.string()), parse_rows(test_text, test.string()),
          hex(hash.finish())};
}

std::vector<std::string> gsm8k_prompts(const Gsm8kData& data, std::size_t examples,
                                       std::size_t limit) {
  PythonRandom random(kFewshotSeed);
  std::vector<std::string> prompts;
  for (std::size_t i = 0; i < std::min(limit, data.test.size()); ++i) {
    std::string prompt;
    for (const std::size_t row : random.sample(data.train.size(), examples))
      prompt += fmt::format("Question: {}\nAnswer: {}\n\n", data.train[row].question,
                            data.train[row].answer);
    prompt += fmt::format("Question: {}\nAnswer:", data.test[i].question);
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

std::vector<std::string> gsm8k_stop() { return {"Question:", "</s>", "<|im_end|>"}; }

std::string_view name_of(Gsm8kFilter filter) {
  return filter == Gsm8kFilter::strict ? "strict-match" : "flexible-extract";
}

std::string extract(Gsm8kFilter filter, std::string_view answer) {
  // The harness's patterns, with groups turned into whole matches.
  static const text::Regex strict(R"((?<=#### )-?[0-9.,]+)", "strict-match");
  static const text::Regex flexible(R"(-?[$0-9.,]{2,}|-?[0-9]+)", "flexible-extract");
  const bool first = filter == Gsm8kFilter::strict;
  const std::vector<text::Span> found = (first ? strict : flexible).find_all(answer);
  if (found.empty()) return "[invalid]";
  return std::string(text::view_of(first ? found.front() : found.back(), answer));
}

bool exact_match(std::string_view extracted, std::string_view reference) {
  return normalized(extracted) == normalized(reference);
}

}  // namespace isotope::cli
