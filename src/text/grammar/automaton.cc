#include "text/grammar/automaton.h"

#include <algorithm>
#include <bitset>
#include <functional>
#include <string>
#include <utility>

#include "base/error.h"
#include "text/grammar/rule_nfa.h"

namespace isotope::text {
namespace {

class AutomatonBuilder {
 public:
  explicit AutomatonBuilder(const Grammar& grammar)
      : budget_(kMaxCompileWork), rules_(grammar, budget_) {}

  Automaton build() {
    for (std::size_t rule = 0; rule < rules_.size(); ++rule) {
      dfas_.push_back(rules_.automaton(rule));
      starts_.push_back(std::int32_t(num_states_));
      num_states_ += dfas_.back().states.size();
      if (num_states_ > kMaxAutomatonStates)
        fail(ErrorCode::invalid_argument,
             "the grammar needs more than {} states; shorten repetitions with bounds, enumerations "
             "and patterns",
             kMaxAutomatonStates);
    }
    result_.root = std::int32_t(rules_.root());
    add_states();
    find_nullable();
    find_distances();
    refuse_left_recursion();
    drop_dead_calls();
    find_classes();
    fill_table();
    return std::move(result_);
  }

 private:
  template <typename Visit>
  void for_each_state(const Visit& visit) const {
    for (std::size_t rule = 0; rule < dfas_.size(); ++rule)
      for (std::size_t i = 0; i < dfas_[rule].states.size(); ++i)
        visit(rule, starts_[rule] + std::int32_t(i), dfas_[rule].states[i]);
  }

  void add_states() {
    result_.rules.resize(dfas_.size());
    for (std::size_t rule = 0; rule < dfas_.size(); ++rule)
      result_.rules[rule].start = starts_[rule];
    for_each_state([&](std::size_t rule, std::int32_t, const Dfa::State& from) {
      Automaton::State state;
      state.final = from.final;
      state.first_call = std::int32_t(result_.calls.size());
      state.first_token = std::int32_t(result_.token_edges.size());
      for (const Nfa::Edge& edge : from.edges) {
        const std::int32_t target = starts_[rule] + edge.target;
        if (edge.label.kind == EdgeLabel::bytes) {
          state.reads = true;
          continue;
        }
        const RuleSet::Symbol& symbol = rules_.symbol(edge.label.value);
        if (symbol.kind == RuleSet::Symbol::token) {
          state.reads = true;
          result_.token_edges.push_back({symbol.value, target});
          result_.markers.push_back(symbol.value);
        } else {
          result_.calls.push_back({symbol.value, symbol.min, symbol.max, target});
        }
      }
      const bool calls = state.first_call < std::int32_t(result_.calls.size());
      state.plain = !calls && !state.final;
      state.last = state.final && !calls && !state.reads;
      result_.states.push_back(state);
    });
    result_.states.push_back({.first_call = std::int32_t(result_.calls.size()),
                              .first_token = std::int32_t(result_.token_edges.size())});
    auto& markers = result_.markers;
    std::sort(markers.begin(), markers.end());
    markers.erase(std::unique(markers.begin(), markers.end()), markers.end());
  }

  bool may_be_empty(const Automaton::Call& call) const {
    return call.min == 0 || result_.rules[std::size_t(call.rule)].nullable;
  }

  /// The states of a rule that can be there before anything was read.
  std::vector<std::int32_t> first_states(std::size_t rule) const {
    std::vector<std::int32_t> found = {result_.rules[rule].start};
    for (std::size_t i = 0; i < found.size(); ++i)
      for (const Automaton::Call& call : result_.calls_of(found[i]))
        if (may_be_empty(call) && std::find(found.begin(), found.end(), call.target) == found.end())
          found.push_back(call.target);
    return found;
  }

  void find_nullable() {
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t rule = 0; rule < result_.rules.size(); ++rule) {
        if (result_.rules[rule].nullable) continue;
        for (const std::int32_t state : first_states(rule)) {
          budget_.spend(1);
          if (result_.states[std::size_t(state)].final)
            changed = result_.rules[rule].nullable = true;
        }
      }
    }
  }

  std::int32_t distance_through(const Automaton::Call& call) const {
    std::int64_t inside = std::int64_t(result_.rules[std::size_t(call.rule)].distance) *
                          std::int64_t(may_be_empty(call) ? 0 : call.min);
    return add_distance(std::int32_t(std::min<std::int64_t>(inside, kNever)),
                        result_.states[std::size_t(call.target)].distance);
  }

  /// Lowers distances until none can be lowered. States are numbered from the start of a rule
  /// onwards, so going backwards settles most of them at once.
  void find_distances() {
    for (Automaton::State& state : result_.states)
      if (state.final) state.distance = 0;
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t rule = dfas_.size(); rule-- > 0;) {
        for (std::size_t i = dfas_[rule].states.size(); i-- > 0;)
          changed |=
              lower_distance(starts_[rule], std::size_t(starts_[rule]) + i, dfas_[rule].states[i]);
        result_.rules[rule].distance =
            result_.states[std::size_t(result_.rules[rule].start)].distance;
      }
    }
    if (result_.rules[std::size_t(result_.root)].distance >= kNever)
      fail(ErrorCode::invalid_argument,
           "no text can satisfy this: its parts contradict each other or contain themselves "
           "without end");
  }

  bool lower_distance(std::int32_t first, std::size_t number, const Dfa::State& from) {
    Automaton::State& state = result_.states[number];
    std::int32_t best = state.distance;
    for (const Nfa::Edge& edge : from.edges) {
      const bool call = edge.label.kind == EdgeLabel::symbol &&
                        rules_.symbol(edge.label.value).kind == RuleSet::Symbol::call;
      if (!call)
        best = std::min(best,
                        add_distance(1, result_.states[std::size_t(first + edge.target)].distance));
    }
    for (const Automaton::Call& call : result_.calls_of(std::int32_t(number)))
      best = std::min(best, distance_through(call));
    budget_.spend(1 + std::int64_t(from.edges.size()));
    return std::exchange(state.distance, best) != best;
  }

  /// A rule that calls itself before it has read anything would be entered without end.
  void refuse_left_recursion() {
    enum Mark : std::uint8_t { unseen, open, done };
    std::vector<Mark> marks(result_.rules.size(), unseen);
    const std::function<void(std::size_t)> visit = [&](std::size_t rule) {
      marks[rule] = open;
      for (const std::int32_t state : first_states(rule)) {
        for (const Automaton::Call& call : result_.calls_of(state)) {
          const auto called = std::size_t(call.rule);
          if (marks[called] == open)
            fail(ErrorCode::invalid_argument,
                 "the rule '{}' begins with itself (left recursion); write it as a repetition or "
                 "with the recursion at its end",
                 rules_.name(called));
          if (marks[called] == unseen) visit(called);
        }
      }
      marks[rule] = done;
    };
    for (std::size_t rule = 0; rule < marks.size(); ++rule)
      if (marks[rule] == unseen) visit(rule);
  }

  void drop_dead_calls() {
    const auto dead = [](const auto& place) { return place.distance >= kNever; };
    for (Automaton::Call& call : result_.calls) {
      call.may_be_empty = may_be_empty(call);
      if (dead(result_.rules[std::size_t(call.rule)])) call.max = 0;
      if (dead(result_.states[std::size_t(call.target)])) {
        call.max = 0;
        call.may_be_empty = false;
      }
    }
  }

  /// Bytes that no state tells apart share a column of the table.
  void find_classes() {
    std::bitset<257> begins;
    begins.set(0);
    for_each_state([&](std::size_t, std::int32_t, const Dfa::State& state) {
      for (const Nfa::Edge& edge : state.edges) {
        if (edge.label.kind != EdgeLabel::bytes) continue;
        begins.set(edge.label.lo);
        begins.set(std::size_t(edge.label.hi) + 1);
      }
    });
    int number = -1;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      number += begins[byte];
      result_.byte_class[byte] = std::uint8_t(number);
    }
    result_.num_classes = number + 1;
  }

  /// Edges from which no end can be reached are left out, so that no answer gets stuck.
  void fill_table() {
    const std::size_t cells = num_states_ * std::size_t(result_.num_classes);
    if (cells * sizeof(std::int32_t) > kMaxTableBytes)
      fail(ErrorCode::invalid_argument,
           "the grammar needs a table of {} MB, more than {} MB; shorten repetitions with bounds, "
           "enumerations and patterns",
           cells * sizeof(std::int32_t) >> 20, kMaxTableBytes >> 20);
    result_.next.assign(cells, -1);
    for_each_state([&](std::size_t rule, std::int32_t number, const Dfa::State& state) {
      std::int32_t* row =
          result_.next.data() + std::size_t(number) * std::size_t(result_.num_classes);
      for (const Nfa::Edge& edge : state.edges) {
        const std::int32_t target = starts_[rule] + edge.target;
        if (edge.label.kind != EdgeLabel::bytes ||
            result_.states[std::size_t(target)].distance >= kNever)
          continue;
        for (int c = result_.byte_class[edge.label.lo]; c <= result_.byte_class[edge.label.hi]; ++c)
          row[c] = target;
      }
    });
  }

  WorkBudget budget_;
  RuleSet rules_;
  std::vector<Dfa> dfas_;
  std::vector<std::int32_t> starts_;  // by rule: its first state
  std::size_t num_states_ = 0;
  Automaton result_;
};

}  // namespace

Automaton build_automaton(const Grammar& grammar) { return AutomatonBuilder(grammar).build(); }

}  // namespace isotope::text
