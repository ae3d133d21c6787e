#include "ops/tuning/tuned_rows.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace isotope::ops {
namespace {

constexpr double kLeastGain = 0.01;  ///< for which a choice that the table made is given up
constexpr double kMostLoss = 0.01;   ///< of one number of rows, for the sake of others

using Group = std::vector<const SweepResult*>;  // one kernel and weight, by rows

/// Those of `values` that decide bits, or those that do not.
TuningValues part_of(std::string_view op, const TuningValues& values, bool decides_bits) {
  TuningValues part;
  for (const auto& value : values)
    if (same_bits(op, {value}, {}) != decides_bits) part.push_back(value);
  return part;
}

/// The fastest trial with these bits, but the table's where it is nearly as fast; null: none.
const TrialResult* best_trial(const SweepResult& result, const TuningValues& bits) {
  const TrialResult* best = nullptr;
  for (const TrialResult& trial : result.trials) {
    if (!trial.rejected.empty() || part_of(result.op, trial.values, true) != bits) continue;
    const double needed = best == &result.trials.front() ? 1 - kLeastGain : 1;
    if (!best || trial.seconds < needed * best->seconds) best = &trial;
  }
  return best;
}

/// How much slower than before the group is with these bits, as the mean of logarithms; infinite
/// where it may not be.
double loss_of(const Group& group, const TuningValues& bits) {
  double sum = 0;
  for (const SweepResult* result : group) {
    const TrialResult* best = best_trial(*result, bits);
    const TrialResult& before = result->trials.front();
    if (!best || !before.rejected.empty()) return HUGE_VAL;
    const double loss = std::log(best->seconds / before.seconds);
    if (loss > kMostLoss) return HUGE_VAL;
    sum += loss;
  }
  return sum / double(group.size());
}

TuningValues best_bits(const Group& group) {
  const SweepResult& first = *group.front();
  TuningValues best = part_of(first.op, first.trials.front().values, true);
  double least = loss_of(group, best) - kLeastGain;
  for (const TrialResult& trial : first.trials) {
    const TuningValues bits = part_of(first.op, trial.values, true);
    if (const double loss = loss_of(group, bits); loss < least) {
      best = bits;
      least = loss;
    }
  }
  return best;
}

TunedRow row_of(const SweepResult& result) {
  TunedRow row;
  row.op = result.op;
  row.weight = result.shape.weight;
  row.n = result.shape.n;
  row.k = result.shape.k;
  return row;
}

void add_rows(const Group& group, TunedTable& table) {
  const TuningValues bits = best_bits(group);
  std::vector<TunedRow> rows;
  for (const SweepResult* result : group) {
    const TrialResult* chosen = best_trial(*result, bits);
    table.choices.push_back({result, chosen});
    if (!chosen) continue;
    TunedRow row = row_of(*result);
    row.first_rows = row.last_rows = result->shape.rows;
    row.values = part_of(result->op, chosen->values, false);
    if (!rows.empty() && rows.back().values == row.values)
      rows.back().last_rows = row.last_rows;
    else
      rows.push_back(std::move(row));
  }
  if (!bits.empty() && !rows.empty()) {
    TunedRow row = row_of(*group.front());
    row.values = bits;
    table.rows.push_back(std::move(row));
  }
  for (TunedRow& row : rows)
    if (!row.values.empty()) table.rows.push_back(std::move(row));
}

}  // namespace

double Choice::gain() const {
  if (!chosen || result->trials.front().seconds <= 0) return 0;
  return 1 - chosen->seconds / result->trials.front().seconds;
}

TunedTable choose(const std::vector<SweepResult>& results) {
  std::map<std::tuple<std::string, DType, std::int64_t, std::int64_t>, Group> groups;
  for (const SweepResult& result : results)
    groups[{result.op, result.shape.weight, result.shape.n, result.shape.k}].push_back(&result);
  TunedTable table;
  for (auto& [key, group] : groups) {
    std::stable_sort(group.begin(), group.end(), [](const SweepResult* a, const SweepResult* b) {
      return a->shape.rows < b->shape.rows;
    });
    add_rows(group, table);
  }
  return table;
}

std::string to_toml(const std::vector<TunedRow>& rows, const std::string& comment) {
  std::string text;
  for (std::size_t at = 0; at < comment.size();) {
    const std::size_t end = std::min(comment.find('\n', at), comment.size());
    text += fmt::format("# {}\n", comment.substr(at, end - at));
    at = end + 1;
  }
  for (const TunedRow& row : rows) {
    text += fmt::format("\n[[{}]]\nweight = \"{}\"\nn = {}\nk = {}\n", row.op, name_of(row.weight),
                        row.n, row.k);
    if (row.last_rows > 0)
      text += row.first_rows == row.last_rows
                  ? fmt::format("rows = {}\n", row.first_rows)
                  : fmt::format("rows = [{}, {}]\n", row.first_rows, row.last_rows);
    for (const auto& [key, value] : row.values) text += fmt::format("{} = {}\n", key, value);
  }
  return text;
}

}  // namespace isotope::ops
