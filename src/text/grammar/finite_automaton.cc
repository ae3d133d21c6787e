#include "text/grammar/finite_automaton.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/error.h"

namespace isotope::text {
namespace {

/// What a new state costs: memory more than time.
constexpr std::int64_t kStateWork = 32;

struct HashStates {
  std::size_t operator()(const std::vector<std::int32_t>& states) const {
    std::size_t hash = states.size();
    for (const std::int32_t state : states) hash = (hash ^ std::size_t(state)) * 0x9e3779b97f4a7c15;
    return hash ^ (hash >> 32);
  }
};

/// The subset construction.
class Determinizer {
 public:
  Determinizer(const Nfa& nfa, WorkBudget& budget)
      : nfa_(nfa), budget_(budget), seen_(nfa.states.size(), 0) {}

  Dfa run() {
    number({nfa_.start});
    for (std::size_t i = 0; i < subsets_.size(); ++i) {
      const std::vector<std::int32_t> subset = *subsets_[i];
      add_byte_edges(i, subset);
      add_symbol_edges(i, subset);
    }
    return std::move(dfa_);
  }

 private:
  /// The deterministic state for these states and all that follow without reading.
  std::int32_t number(const std::vector<std::int32_t>& states) {
    ++mark_;
    std::vector<std::int32_t> closure, pending = states;
    bool final = false;
    while (!pending.empty()) {
      const std::int32_t state = pending.back();
      pending.pop_back();
      if (std::exchange(seen_[std::size_t(state)], mark_) == mark_) continue;
      const Nfa::State& from = nfa_.states[std::size_t(state)];
      final |= state == nfa_.end;
      if (!from.edges.empty() || state == nfa_.end) closure.push_back(state);
      pending.insert(pending.end(), from.empty_edges.begin(), from.empty_edges.end());
      budget_.spend(1 + std::int64_t(from.empty_edges.size()));
    }
    std::sort(closure.begin(), closure.end());
    const auto [entry, is_new] =
        numbers_.try_emplace(std::move(closure), std::int32_t(subsets_.size()));
    if (is_new) {
      budget_.spend(kStateWork + std::int64_t(entry->first.size()));
      subsets_.push_back(&entry->first);
      dfa_.states.push_back({{}, final});
    }
    return entry->second;
  }

  /// Between two neighbouring bounds all bytes are alike.
  void add_byte_edges(std::size_t from, const std::vector<std::int32_t>& subset) {
    std::vector<const Nfa::Edge*> edges;
    std::vector<int> bounds;
    for (const std::int32_t state : subset)
      for (const Nfa::Edge& edge : nfa_.states[std::size_t(state)].edges)
        if (edge.label.kind == EdgeLabel::bytes) {
          edges.push_back(&edge);
          bounds.push_back(edge.label.lo);
          bounds.push_back(edge.label.hi + 1);
        }
    std::sort(bounds.begin(), bounds.end());
    bounds.erase(std::unique(bounds.begin(), bounds.end()), bounds.end());
    std::vector<Nfa::Edge> result;
    for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
      std::vector<std::int32_t> targets;
      for (const Nfa::Edge* edge : edges)
        if (edge->label.lo <= bounds[i] && bounds[i] <= edge->label.hi)
          targets.push_back(edge->target);
      budget_.spend(std::int64_t(edges.size()));
      if (targets.empty()) continue;
      const std::int32_t target = number(targets);
      const auto lo = std::uint8_t(bounds[i]), hi = std::uint8_t(bounds[i + 1] - 1);
      if (!result.empty() && result.back().target == target && result.back().label.hi + 1 == lo)
        result.back().label.hi = hi;
      else
        result.push_back({{EdgeLabel::bytes, lo, hi, 0}, target});
    }
    dfa_.states[from].edges = std::move(result);
  }

  void add_symbol_edges(std::size_t from, const std::vector<std::int32_t>& subset) {
    std::map<std::int32_t, std::vector<std::int32_t>> targets;
    for (const std::int32_t state : subset)
      for (const Nfa::Edge& edge : nfa_.states[std::size_t(state)].edges)
        if (edge.label.kind == EdgeLabel::symbol) targets[edge.label.value].push_back(edge.target);
    for (const auto& [symbol, states] : targets) {
      const std::int32_t target = number(states);
      dfa_.states[from].edges.push_back({{EdgeLabel::symbol, 0, 0, symbol}, target});
    }
  }

  const Nfa& nfa_;
  WorkBudget& budget_;
  Dfa dfa_;
  std::unordered_map<std::vector<std::int32_t>, std::int32_t, HashStates> numbers_;
  std::vector<const std::vector<std::int32_t>*> subsets_;  // keys of numbers_
  std::vector<std::int32_t> seen_;                         // scratch of number()
  std::int32_t mark_ = 0;
};

}  // namespace

void WorkBudget::spend(std::int64_t units) {
  left_ -= units;
  if (left_ < 0)
    fail(ErrorCode::invalid_argument,
         "the grammar is too complex to compile; shorten repetitions with bounds, enumerations and "
         "patterns");
}

Dfa determinize(const Nfa& nfa, WorkBudget& budget) { return Determinizer(nfa, budget).run(); }

Dfa product(const Dfa& a, const Dfa& b, bool negate_b, WorkBudget& budget) {
  constexpr std::int32_t kDead = -1;  // where `b` is once it can accept nothing any more
  Dfa result;
  std::map<std::pair<std::int32_t, std::int32_t>, std::int32_t> numbers;
  std::vector<std::pair<std::int32_t, std::int32_t>> pairs;
  const auto number = [&](std::int32_t x, std::int32_t y) {
    const auto [entry, is_new] = numbers.try_emplace({x, y}, std::int32_t(pairs.size()));
    if (is_new) {
      budget.spend(kStateWork);
      const bool in_b = y != kDead && b.states[std::size_t(y)].final;
      pairs.emplace_back(x, y);
      result.states.push_back({{}, a.states[std::size_t(x)].final && in_b != negate_b});
    }
    return entry->second;
  };
  number(0, 0);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const auto [x, y] = pairs[i];
    std::vector<Nfa::Edge> edges;
    const auto add = [&](int lo, int hi, std::int32_t to_x, std::int32_t to_y) {
      budget.spend(1);
      if (lo > hi || (to_y == kDead && !negate_b)) return;
      const std::int32_t target = number(to_x, to_y);
      edges.push_back({{EdgeLabel::bytes, std::uint8_t(lo), std::uint8_t(hi), 0}, target});
    };
    for (const Nfa::Edge& edge : a.states[std::size_t(x)].edges) {
      ISOTOPE_ASSERT(edge.label.kind == EdgeLabel::bytes);
      int next = edge.label.lo;  // the first byte of the edge that `b` has not been asked about
      if (y != kDead) {
        for (const Nfa::Edge& other : b.states[std::size_t(y)].edges) {
          const int lo = std::max<int>(next, other.label.lo);
          const int hi = std::min(edge.label.hi, other.label.hi);
          if (lo > hi) continue;
          add(next, lo - 1, edge.target, kDead);
          add(lo, hi, edge.target, other.target);
          next = hi + 1;
        }
      }
      add(next, edge.label.hi, edge.target, kDead);
    }
    result.states[i].edges = std::move(edges);
  }
  return result;
}

}  // namespace isotope::text
