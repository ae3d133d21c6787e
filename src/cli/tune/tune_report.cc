#include "cli/tune/tune_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "cli/tune/tune_log.h"

namespace isotope::cli {
namespace {

using ops::Choice;
using ops::TrialResult;

std::string text_of(const ops::TuningValues& values) {
  std::string text;
  for (const auto& [key, value] : values)
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", key, value);
  return text;
}

bool changed(const Choice& choice) {
  return choice.chosen && choice.chosen != &choice.result->trials.front();
}

void print_changed(std::FILE* out, const std::vector<Choice>& choices) {
  bool head = true;
  for (const Choice& choice : choices) {
    if (!changed(choice)) continue;
    if (head)
      fmt::print(out, "{:<44} {:<17} {:>10} {:>10} {:>7}  {}\n", "case", "kernel", "before us",
                 "after us", "gain", "choice");
    head = false;
    fmt::print(out, "{:<44} {:<17} {:>10.2f} {:>10.2f} {:>5.1f} %  {}\n",
               fmt::format("{} [{}, {}]", choice.result->name, choice.result->shape.n,
                           choice.result->shape.k),
               choice.result->op, choice.result->trials.front().seconds * 1e6,
               choice.chosen->seconds * 1e6, 100 * choice.gain(), text_of(choice.chosen->values));
  }
}

void print_sums(std::FILE* out, const std::vector<Choice>& choices) {
  std::int64_t changes = 0, timed = 0;
  double logs = 0, most = 0;
  for (const Choice& choice : choices) {
    if (!choice.chosen) continue;
    ++timed;
    changes += changed(choice);
    logs += std::log(1 - std::min(0.999, choice.gain()));
    most = std::max(most, choice.gain());
  }
  fmt::print(out, "{} of {} shapes have a better choice; mean gain {:.1f} %, greatest {:.1f} %\n",
             changes, timed, timed == 0 ? 0.0 : 100 * (1 - std::exp(logs / double(timed))),
             100 * most);
}

void print_rejected(std::FILE* out, const std::vector<Choice>& choices) {
  std::int64_t others = 0;
  for (const Choice& choice : choices)
    for (const TrialResult& trial : choice.result->trials) {
      if (trial.rejected.empty()) continue;
      if (!trial.rejected.starts_with("wrong result")) {
        ++others;
        continue;
      }
      fmt::print(out, "rejected: {} with {}: {}: {}\n", choice.result->op, text_of(trial.values),
                 choice.result->name, trial.rejected);
    }
  if (others > 0)
    fmt::print(out, "{} candidates do not compile or do not fit on the card\n", others);
}

}  // namespace

void print_choices(std::FILE* out, const std::vector<Choice>& choices, bool simulated) {
  print_changed(out, choices);
  print_rejected(out, choices);
  print_sums(out, choices);
  if (simulated)
    fmt::print(out,
               "No time was measured: microseconds are what counted loads and instructions would "
               "take at best.\n");
}

json::array choices_json(const std::vector<Choice>& choices) {
  json::array array;
  for (const Choice& choice : choices) {
    json::object object = to_json(*choice.result);
    if (choice.chosen) {
      object["choice"] = choice.chosen - choice.result->trials.data();
      object["gain"] = choice.gain();
    }
    array.push_back(std::move(object));
  }
  return array;
}

}  // namespace isotope::cli
