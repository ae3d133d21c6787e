#include "cli/eval/compare.h"

#include <fmt/core.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <map>
#include <set>

#include "base/error.h"
#include "cli/eval/gsm8k_record.h"
#include "cli/eval/paired_tests.h"
#include "cli/eval/perplexity_record.h"
#include "cli/eval/result_log.h"
#include "cli/report_file.h"

namespace isotope::cli {
namespace {

/// One file of `isotope eval`, of either kind.
struct Run {
  std::string task;
  json::value settings;
  Gsm8kRecords questions;
  WindowRecords windows;
};

Run read_run(const std::filesystem::path& path) {
  Run run;
  read_log(
      path,
      [&](const json::value& line, const std::string& where) {
        const JsonFields head(line, where);
        run.task = head.string("task");
        run.settings = head.child("settings").object();
        if (run.task != kGsm8kTask && run.task != kPerplexityTask)
          head.wrong("task", *head.find("task"), "gsm8k or perplexity");
      },
      [&](const json::value& line, const std::string& where) {
        if (run.task == kGsm8kTask) {
          Gsm8kRecord record = read_gsm8k_record(line, where);
          run.questions[record.index] = std::move(record);
        } else {
          const WindowRecord record = read_window_record(line, where);
          run.windows[record.index] = record;
        }
      });
  return run;
}

/// What else differs between two runs decides what their difference means.
void print_differing_settings(const json::value& a, const json::value& b, const std::string& path) {
  if (a == b) return;
  if (!a.is_object() || !b.is_object()) {
    fmt::print("  {}: A {}, B {}\n", path, json::serialize(a), json::serialize(b));
    return;
  }
  std::set<std::string> names;
  for (const json::value* side : {&a, &b})
    for (const auto& [name, value] : side->get_object()) names.insert(name);
  for (const std::string& name : names) {
    const json::value* left = a.get_object().if_contains(name);
    const json::value* right = b.get_object().if_contains(name);
    print_differing_settings(left ? *left : json::value(), right ? *right : json::value(),
                             path.empty() ? name : path + "." + name);
  }
}

void print_runs(const CompareFlags& flags, const Run& a, const Run& b) {
  fmt::print("A: {}\nB: {}\n", flags.a.string(), flags.b.string());
  fmt::print("settings that differ:{}\n", a.settings == b.settings ? " none" : "");
  print_differing_settings(a.settings, b.settings, "");
}

using Pairs = std::vector<std::pair<const Gsm8kRecord*, const Gsm8kRecord*>>;

/// Questions that both have. Their prompts must be the same, or there is nothing to compare.
Pairs pair_questions(const Run& a, const Run& b) {
  Pairs pairs;
  for (const auto& [index, record] : a.questions) {
    const auto other = b.questions.find(index);
    if (other == b.questions.end()) continue;
    if (record.prompt_sha256 != other->second.prompt_sha256 ||
        record.reference != other->second.reference)
      fail(ErrorCode::invalid_argument,
           "question {} was asked differently in A and B (other data, or another --num-fewshot)",
           index);
    pairs.emplace_back(&record, &other->second);
  }
  if (pairs.empty()) fail(ErrorCode::invalid_argument, "A and B have no question in common");
  return pairs;
}

struct Agreement {
  std::int64_t both = 0, only_a = 0, only_b = 0, neither = 0;

  std::int64_t total() const { return both + only_a + only_b + neither; }
  double p() const { return mcnemar_exact(only_a, only_b); }
};

Agreement agreement(const Pairs& pairs, Gsm8kFilter filter) {
  Agreement result;
  for (const auto& [a, b] : pairs) {
    const bool in_a = a->by(filter).correct, in_b = b->by(filter).correct;
    ++(in_a ? (in_b ? result.both : result.only_a) : (in_b ? result.only_b : result.neither));
  }
  return result;
}

std::int64_t same_answers(const Pairs& pairs) {
  std::int64_t same = 0;
  for (const auto& [a, b] : pairs) same += a->completion.text == b->completion.text ? 1 : 0;
  return same;
}

void print_flips(const Pairs& pairs, std::int64_t limit) {
  for (const auto& [a, b] : pairs)
    for (const Gsm8kFilter filter : kGsm8kFilters) {
      const Gsm8kRecord::Verdict &left = a->by(filter), &right = b->by(filter);
      if (left.correct == right.correct || limit-- <= 0) continue;
      fmt::print("\nquestion {}, {}: A {} ({}), B {} ({})\n--- A{}\n--- B{}\n", a->index,
                 name_of(filter), left.extracted, left.correct ? "correct" : "wrong",
                 right.extracted, right.correct ? "correct" : "wrong", a->completion.text,
                 b->completion.text);
    }
}

json::object compare_gsm8k(const Run& a, const Run& b, const CompareFlags& flags) {
  const Pairs pairs = pair_questions(a, b);
  const double n = double(pairs.size());
  const std::int64_t same = same_answers(pairs);
  const bool table = flags.json != "-";
  if (table)
    fmt::print(
        "\n{} questions in both ({} in A, {} in B); {} answers are the same text\n\n"
        "{:<18} {:>8} {:>8} {:>6} {:>7} {:>7} {:>8} {:>11} {:>11}\n",
        pairs.size(), a.questions.size(), b.questions.size(), same, "filter", "A", "B", "both",
        "only A", "only B", "neither", "same verdict", "McNemar p");
  json::object filters;
  for (const Gsm8kFilter filter : kGsm8kFilters) {
    const Agreement counts = agreement(pairs, filter);
    const double score_a = double(counts.both + counts.only_a) / n;
    const double score_b = double(counts.both + counts.only_b) / n;
    if (table)
      fmt::print("{:<18} {:>8.4f} {:>8.4f} {:>6} {:>7} {:>7} {:>8} {:>12.4f} {:>11.4g}\n",
                 name_of(filter), score_a, score_b, counts.both, counts.only_a, counts.only_b,
                 counts.neither, double(counts.both + counts.neither) / n, counts.p());
    filters[name_of(filter)] = json::object{{"a", score_a},
                                            {"b", score_b},
                                            {"both", counts.both},
                                            {"only_a", counts.only_a},
                                            {"only_b", counts.only_b},
                                            {"neither", counts.neither},
                                            {"mcnemar_p", counts.p()}};
  }
  if (table) print_flips(pairs, flags.show_flips);
  return {{"questions", pairs.size()}, {"same_answers", same}, {"results", std::move(filters)}};
}

double tokens_per_byte(const Run& run) {
  return JsonFields(run.settings, "settings").number("tokens_per_byte", 0, 1e6);
}

/// Windows that both have, B − A. They must hold the same tokens.
std::vector<TokenSum> pair_windows(Run& a, Run& b) {
  for (const char* field : {"text_sha256", "context_length", "stride"}) {
    const json::value* left = a.settings.get_object().if_contains(field);
    const json::value* right = b.settings.get_object().if_contains(field);
    if (!left || !right || *left != *right)
      fail(ErrorCode::invalid_argument,
           "A and B differ in {}, so that their windows are not the same text", field);
  }
  std::erase_if(a.windows, [&](const auto& entry) { return !b.windows.contains(entry.first); });
  std::erase_if(b.windows, [&](const auto& entry) { return !a.windows.contains(entry.first); });
  if (a.windows.empty()) fail(ErrorCode::invalid_argument, "A and B have no window in common");
  std::vector<TokenSum> sums;
  for (const auto& [index, window] : a.windows) {
    const WindowRecord& other = b.windows.at(index);
    if (window.scored != other.scored || window.end != other.end)
      fail(ErrorCode::invalid_argument,
           "window {} holds other tokens in B: the tokenizers differ; compare bits per byte",
           index);
    sums.push_back({other.nll - window.nll, double(window.tokens())});
  }
  return sums;
}

json::object compare_perplexity(Run& a, Run& b, const CompareFlags& flags) {
  const PairedDifference difference = compare_paired(pair_windows(a, b));
  const Perplexity left = perplexity_of(a.windows), right = perplexity_of(b.windows);
  const double bits_a = left.bits_per_byte(tokens_per_byte(a));
  const double bits_b = right.bits_per_byte(tokens_per_byte(b));
  if (flags.json != "-") {
    fmt::print("\n{} windows in both, {} tokens that count\n\n{:<18} {:>12} {:>12} {:>12}\n",
               a.windows.size(), left.tokens, "", "A", "B", "B - A");
    const auto row = [](std::string_view name, double x, double y) {
      fmt::print("{:<18} {:>12.6f} {:>12.6f} {:>+12.6f}\n", name, x, y, y - x);
    };
    row("perplexity", left.perplexity(), right.perplexity());
    row("nats per token", left.nll, right.nll);
    row("bits per byte", bits_a, bits_b);
    fmt::print(
        "\nnats per token, B - A: {:+.6f}, standard error {:.6f} over windows, two-sided p "
        "{:.3g};\n95 % bootstrap interval {:+.6f} to {:+.6f}; perplexity B / A: {:.6f}\n",
        difference.mean, difference.standard_error, difference.p_normal, difference.low,
        difference.high, std::exp(difference.mean));
  }
  json::object result{{"windows", a.windows.size()},       {"tokens", left.tokens},
                      {"perplexity_a", left.perplexity()}, {"perplexity_b", right.perplexity()},
                      {"bits_per_byte_a", bits_a},         {"bits_per_byte_b", bits_b},
                      {"nll_difference", difference.mean}, {"stderr", nullptr},
                      {"p_normal", difference.p_normal},   {"bootstrap_low", difference.low},
                      {"bootstrap_high", difference.high}};
  if (std::isfinite(difference.standard_error)) result["stderr"] = difference.standard_error;
  return result;
}

}  // namespace

int run_compare(const CompareFlags& flags) {
  Run a = read_run(flags.a), b = read_run(flags.b);
  if (a.task != b.task)
    fail(ErrorCode::invalid_argument, "{} is a run of {}, {} one of {}: nothing to compare",
         flags.a.string(), a.task, flags.b.string(), b.task);
  if (flags.json != "-") print_runs(flags, a, b);
  const json::object report =
      a.task == kGsm8kTask ? compare_gsm8k(a, b, flags) : compare_perplexity(a, b, flags);
  write_report(report, flags.json);
  return 0;
}

}  // namespace isotope::cli
