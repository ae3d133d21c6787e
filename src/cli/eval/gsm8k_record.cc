#include "cli/eval/gsm8k_record.h"

#include <algorithm>

#include "base/sha256.h"

namespace isotope::cli {

std::string prompt_hash(std::string_view prompt) {
  return hex(sha256(std::as_bytes(std::span(prompt))));
}

Gsm8kRecord judge(std::int64_t index, std::string_view prompt, std::string reference,
                  Completion completion) {
  Gsm8kRecord record{index, prompt_hash(prompt), std::move(reference), std::move(completion), {}};
  for (const Gsm8kFilter filter : kGsm8kFilters) {
    Gsm8kRecord::Verdict& verdict = record.verdicts[std::size_t(filter)];
    verdict.extracted = extract(filter, record.completion.text);
    verdict.correct = exact_match(verdict.extracted, record.reference);
  }
  return record;
}

json::object to_json(const Gsm8kRecord& record) {
  json::object line{{"index", record.index},
                    {"prompt_sha256", record.prompt_sha256},
                    {"answer", record.completion.text},
                    {"reference", record.reference},
                    {"finish_reason", record.completion.finish_reason},
                    {"prompt_tokens", record.completion.prompt_tokens},
                    {"completion_tokens", record.completion.completion_tokens}};
  for (const Gsm8kFilter filter : kGsm8kFilters)
    line[name_of(filter)] = json::object{{"extracted", record.by(filter).extracted},
                                         {"correct", record.by(filter).correct}};
  return line;
}

Gsm8kRecord read_gsm8k_record(const json::value& line, const std::string& where) {
  constexpr std::int64_t kMax = std::int64_t(1) << 40;
  const JsonFields fields(line, where);
  Gsm8kRecord record;
  record.index = fields.integer("index", 0, kMax);
  record.prompt_sha256 = fields.string("prompt_sha256");
  record.reference = fields.string("reference");
  record.completion = {fields.string("answer"), fields.string("finish_reason", ""),
                       fields.integer("prompt_tokens", 0, kMax, 0),
                       fields.integer("completion_tokens", 0, kMax, 0)};
  for (const Gsm8kFilter filter : kGsm8kFilters) {
    const JsonFields verdict = fields.child(name_of(filter));
    if (!verdict.has("correct")) verdict.missing("correct");
    record.verdicts[std::size_t(filter)] = {verdict.string("extracted"),
                                            verdict.boolean("correct", false)};
  }
  return record;
}

std::int64_t count_correct(const Gsm8kRecords& records, Gsm8kFilter filter) {
  return std::count_if(records.begin(), records.end(),
                       [filter](const auto& entry) { return entry.second.by(filter).correct; });
}

}  // namespace isotope::cli
