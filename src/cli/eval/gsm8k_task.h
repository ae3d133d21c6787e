// GSM8K as lm-evaluation-harness defines it (task gsm8k, version 3.0): prompts, the two filters
// that read a number out of an answer, and the comparison with the reference.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace isotope::cli {

struct Gsm8kRow {
  std::string question, answer;
};

struct Gsm8kData {
  std::vector<Gsm8kRow> train, test;
  std::string sha256;  ///< of both files
};

/// `path`: a folder with train.jsonl and test.jsonl, or another file of questions with train.jsonl
/// beside it. Errors name file and line; a missing file's tells where to get it.
Gsm8kData load_gsm8k(const std::filesystem::path& path);

/// The first `limit` questions, each after `examples` solved ones. These are drawn anew for every
/// question from one generator, so that they do not depend on `limit`.
std::vector<std::string> gsm8k_prompts(const Gsm8kData& data, std::size_t examples,
                                       std::size_t limit);

/// The harness's answer is cut here (the model's end-of-sequence token ends it as well).
std::vector<std::string> gsm8k_stop();

enum class Gsm8kFilter {
  strict,    ///< "strict-match": what follows the first "#### "
  flexible,  ///< "flexible-extract": the last thing that looks like a number
};
inline constexpr Gsm8kFilter kGsm8kFilters[] = {Gsm8kFilter::strict, Gsm8kFilter::flexible};
std::string_view name_of(Gsm8kFilter filter);

/// "[invalid]" if there is none.
std::string extract(Gsm8kFilter filter, std::string_view answer);

/// exact_match: equal after thousands separators, dollar signs, a final point and, in `reference`,
/// everything up to "#### " have been left out.
bool exact_match(std::string_view extracted, std::string_view reference);

}  // namespace isotope::cli
