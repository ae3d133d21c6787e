// What is kept of each question: its line in the log, and back.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "base/json.h"
#include "cli/eval/evaluated_model.h"
#include "cli/eval/gsm8k_task.h"

namespace isotope::cli {

inline constexpr std::string_view kGsm8kTask = "gsm8k";

struct Gsm8kRecord {
  struct Verdict {
    std::string extracted;
    bool correct = false;
  };
  std::int64_t index = 0;  ///< of the question in the file, from 0
  std::string prompt_sha256, reference;
  Completion completion;
  std::array<Verdict, 2> verdicts;  ///< by Gsm8kFilter

  const Verdict& by(Gsm8kFilter filter) const { return verdicts[std::size_t(filter)]; }
};

std::string prompt_hash(std::string_view prompt);
Gsm8kRecord judge(std::int64_t index, std::string_view prompt, std::string reference,
                  Completion completion);

json::object to_json(const Gsm8kRecord& record);
/// Errors name `where` and the field.
Gsm8kRecord read_gsm8k_record(const json::value& line, const std::string& where);

using Gsm8kRecords = std::map<std::int64_t, Gsm8kRecord>;

/// How many of the records are correct.
std::int64_t count_correct(const Gsm8kRecords& records, Gsm8kFilter filter);

}  // namespace isotope::cli
