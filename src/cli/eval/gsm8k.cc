#include "cli/eval/gsm8k.h"

#include <fmt/core.h>

#include <boost/json/array.hpp>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "cli/eval/gsm8k_record.h"
#include "cli/eval/gsm8k_task.h"
#include "cli/eval/paired_tests.h"
#include "cli/eval/result_log.h"
#include "cli/progress.h"
#include "cli/report_file.h"

namespace isotope::cli {
namespace {

/// Everything that decides an answer; not the number of questions, so that a run can be extended.
json::object settings_of(const Gsm8kFlags& flags, const EvaluatedModel& model,
                         const Gsm8kData& data, const CompletionSettings& completion) {
  return {{"model", model.describe()},
          {"data_sha256", data.sha256},
          {"num_fewshot", flags.num_fewshot},
          {"max_gen_toks", completion.max_tokens},
          {"stop", json::array(completion.stop.begin(), completion.stop.end())}};
}

std::string running_scores(const Gsm8kRecords& records) {
  std::string text;
  for (const Gsm8kFilter filter : kGsm8kFilters)
    text += fmt::format("{}{} {:.3f}", text.empty() ? "" : "  ",
                        filter == Gsm8kFilter::strict ? "strict" : "flexible",
                        double(count_correct(records, filter)) / double(records.size()));
  return text;
}

void answer_rest(EvaluatedModel& model, const Gsm8kData& data,
                 const std::vector<std::string>& prompts, const CompletionSettings& completion,
                 Gsm8kRecords& records, ResultLog& log) {
  std::vector<std::size_t> questions;
  std::vector<std::string> asked;
  for (std::size_t i = 0; i < prompts.size(); ++i)
    if (!records.contains(std::int64_t(i))) {
      questions.push_back(i);
      asked.push_back(prompts[i]);
    }
  ProgressBar bar("GSM8K");
  model.complete(asked, completion, [&](std::size_t number, const Completion& completed) {
    const std::size_t i = questions[number];
    Gsm8kRecord record = judge(std::int64_t(i), prompts[i], data.test[i].answer, completed);
    log.add(to_json(record));
    records[record.index] = std::move(record);
    bar.update(std::int64_t(records.size()), std::int64_t(prompts.size()), running_scores(records));
  });
  bar.finish();
}

json::object report_of(const json::object& head, const Gsm8kRecords& records, double seconds) {
  json::object results;
  for (const Gsm8kFilter filter : kGsm8kFilters) {
    const std::int64_t correct = count_correct(records, filter);
    const double error = stderr_of_proportion(correct, std::int64_t(records.size()));
    json::object result{{"correct", correct},
                        {"exact_match", double(correct) / double(records.size())},
                        {"stderr", nullptr}};
    if (std::isfinite(error)) result["stderr"] = error;
    results[name_of(filter)] = std::move(result);
  }
  json::object report = head;
  report["questions"] = records.size();
  report["seconds"] = seconds;
  report["results"] = std::move(results);
  return report;
}

void print_table(const Gsm8kFlags& flags, const Gsm8kRecords& records, std::size_t available,
                 double seconds) {
  std::int64_t prompt_tokens = 0, tokens = 0, cut = 0;
  for (const auto& [index, record] : records) {
    prompt_tokens += record.completion.prompt_tokens;
    tokens += record.completion.completion_tokens;
    cut += record.completion.finish_reason == "length" ? 1 : 0;
  }
  fmt::print("GSM8K, {}-shot, {} of {} questions\n\n", flags.num_fewshot, records.size(),
             available);
  fmt::print("{:<18} {:>11} {:>8} {:>9}\n", "filter", "exact match", "stderr", "correct");
  for (const Gsm8kFilter filter : kGsm8kFilters) {
    const std::int64_t correct = count_correct(records, filter);
    fmt::print("{:<18} {:>11.4f} {:>8.4f} {:>9}\n", name_of(filter),
               double(correct) / double(records.size()),
               stderr_of_proportion(correct, std::int64_t(records.size())), correct);
  }
  fmt::print("\n{} prompt tokens, {} answered; {} answers cut at {} tokens; {:.0f} s\n",
             prompt_tokens, tokens, cut, flags.max_gen_toks, seconds);
}

}  // namespace

int run_gsm8k(const Gsm8kFlags& flags) {
  flags.log.check();
  const Gsm8kData data = load_gsm8k(flags.data);
  const std::size_t limit = flags.limit > 0 ? std::size_t(flags.limit) : data.test.size();
  const std::vector<std::string> prompts =
      gsm8k_prompts(data, std::size_t(flags.num_fewshot), limit);
  const std::unique_ptr<EvaluatedModel> model = open_evaluated_model(*flags.model);
  const CompletionSettings completion{flags.max_gen_toks, gsm8k_stop()};
  const json::object head = log_head(kGsm8kTask, settings_of(flags, *model, data, completion));

  Gsm8kRecords records;
  ResultLog log = open_log(flags.log, head, [&](const json::value& line, const std::string& where) {
    Gsm8kRecord record = read_gsm8k_record(line, where);
    records[record.index] = std::move(record);
  });
  const auto start = std::chrono::steady_clock::now();
  answer_rest(*model, data, prompts, completion, records, log);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  // A run that is resumed with a smaller limit counts what was asked for now.
  std::erase_if(records,
                [&](const auto& entry) { return entry.first >= std::int64_t(prompts.size()); });
  if (flags.json != "-") print_table(flags, records, data.test.size(), seconds);
  write_report(report_of(head, records, seconds), flags.json);
  return 0;
}

}  // namespace isotope::cli
