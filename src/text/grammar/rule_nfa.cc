#include "text/grammar/rule_nfa.h"

#include <algorithm>

#include "base/error.h"

namespace isotope::text {
namespace {

/// Repetitions up to so many states are copies: larger ones are calls that count, which take no
/// more states for more repetitions, but more time for each token. Bytes alone are copied up to
/// more, because then a walk over the tokens needs nothing but a table.
constexpr std::int64_t kMaxCopies = 96, kMaxRegularCopies = 16'000, kMaxAllCopies = 400'000;
constexpr std::int64_t kMuch = std::int64_t(1) << 40;

}  // namespace

RuleSet::RuleSet(const Grammar& grammar, WorkBudget& budget)
    : grammar_(grammar),
      budget_(budget),
      root_(grammar.rules().size()),
      copies_left_(kMaxAllCopies) {
  for (const Grammar::Rule& rule : grammar.rules()) {
    bodies_.push_back(rule.body);
    names_.push_back(rule.name);
  }
  bodies_.push_back(grammar.root());
  names_.push_back("the whole answer");
  measure();
}

/// Children come before their parents, so one pass is enough.
void RuleSet::measure() {
  for (const Grammar::Node& node : grammar_.nodes()) {
    std::int64_t size = 1;
    bool regular = node.kind != Grammar::Kind::call && node.kind != Grammar::Kind::token;
    for (const std::int32_t child : node.children) {
      size += sizes_[std::size_t(child)];
      regular = regular && regular_[std::size_t(child)];
    }
    regular_.push_back(regular);
    if (node.kind == Grammar::Kind::repeat) {
      const std::int64_t copies = node.hi == kUnbounded ? node.lo + 1 : node.hi;
      const std::int64_t most = regular ? kMaxRegularCopies : kMaxCopies;
      size = copies * size <= most ? copies * size : 2;
    }
    sizes_.push_back(std::min(size, kMuch));
  }
}

Dfa RuleSet::automaton(std::size_t rule) {
  Nfa nfa;
  nfa.start = nfa.add_state();
  nfa.end = append(nfa, bodies_[rule], nfa.start);
  return determinize(nfa, budget_);
}

std::int32_t RuleSet::add_state(Nfa& nfa) {
  budget_.spend(4);
  return nfa.add_state();
}

/// Adds paths for the texts of a node that begin in `from`; returns where they end. Nothing is ever
/// added that leads into `from`, so that what others begin there is not disturbed.
std::int32_t RuleSet::append(Nfa& nfa, std::int32_t index, std::int32_t from) {
  const Grammar::Node& node = grammar_.nodes()[std::size_t(index)];
  switch (node.kind) {
    case Grammar::Kind::sequence:
      for (const std::int32_t child : node.children) from = append(nfa, child, from);
      return from;
    case Grammar::Kind::alternatives: {
      const std::int32_t end = add_state(nfa);
      for (const std::int32_t child : node.children) {
        const std::int32_t last = append(nfa, child, from);
        nfa.states[std::size_t(last)].empty_edges.push_back(end);
      }
      return end;
    }
    case Grammar::Kind::bytes: {
      const std::int32_t end = add_state(nfa);
      nfa.states[std::size_t(from)].edges.push_back(
          {{EdgeLabel::bytes, std::uint8_t(node.lo), std::uint8_t(node.hi), 0}, end});
      return end;
    }
    case Grammar::Kind::token:
      return append_symbol(nfa, {Symbol::token, node.value, 0, 0}, from);
    case Grammar::Kind::call:
      return append_symbol(nfa, {Symbol::call, node.value, 1, 1}, from);
    case Grammar::Kind::repeat:
      return append_repeat(nfa, node, from);
    case Grammar::Kind::list:
      return append_list(nfa, grammar_.lists()[std::size_t(node.value)], from);
    case Grammar::Kind::multiple:
      return append_multiple(nfa, node.value, from);
    case Grammar::Kind::both:
    case Grammar::Kind::except:
      return append_product(nfa, node, from);
  }
  return from;
}

std::int32_t RuleSet::append_symbol(Nfa& nfa, const Symbol& symbol, std::int32_t from) {
  ISOTOPE_ASSERT(!regular_only_);
  const auto [entry, is_new] = symbol_numbers_.try_emplace(symbol, std::int32_t(symbols_.size()));
  if (is_new) symbols_.push_back(symbol);
  const std::int32_t end = add_state(nfa);
  nfa.states[std::size_t(from)].edges.push_back({{EdgeLabel::symbol, 0, 0, entry->second}, end});
  return end;
}

std::int32_t RuleSet::rule_for(std::int32_t node) {
  const Grammar::Node& body = grammar_.nodes()[std::size_t(node)];
  if (body.kind == Grammar::Kind::call) return body.value;
  const auto [entry, is_new] = repeated_.try_emplace(node, std::int32_t(bodies_.size()));
  if (is_new) {
    bodies_.push_back(node);
    names_.push_back("a repeated part");
  }
  return entry->second;
}

bool RuleSet::takes_copies(const Grammar::Node& node) {
  const auto child = std::size_t(node.children[0]);
  const std::int64_t copies = node.hi == kUnbounded ? node.lo + 1 : node.hi;
  const std::int64_t size = copies * (1 + sizes_[child]);
  if (copies == 1 || regular_only_ || size <= kMaxCopies) return true;
  if (!regular_[child] || size > std::min(kMaxRegularCopies, copies_left_)) return false;
  copies_left_ -= size;
  return true;
}

std::int32_t RuleSet::append_repeat(Nfa& nfa, const Grammar::Node& node, std::int32_t from) {
  if (takes_copies(node)) return append_copies(nfa, node, from);
  return append_symbol(nfa, {Symbol::call, rule_for(node.children[0]), node.lo, node.hi}, from);
}

std::int32_t RuleSet::append_copies(Nfa& nfa, const Grammar::Node& node, std::int32_t from) {
  const std::int32_t child = node.children[0];
  for (std::int32_t i = 0; i < node.lo; ++i) from = append(nfa, child, from);
  const std::int32_t end = add_state(nfa);
  const auto join = [&](std::int32_t state, std::int32_t target) {
    nfa.states[std::size_t(state)].empty_edges.push_back(target);
  };
  if (node.hi == kUnbounded) {
    // `end` is the head of a loop: entered from outside and from its body.
    join(from, end);
    join(append(nfa, child, end), end);
    const std::int32_t out = add_state(nfa);
    join(end, out);
    return out;
  }
  join(from, end);
  for (std::int32_t i = node.lo; i < node.hi; ++i) {
    from = append(nfa, child, from);
    join(from, end);
  }
  return end;
}

/// States (i, n): the elements before i have been decided on, and n of them are there. Beyond the
/// largest number that makes a difference they are not counted.
std::int32_t RuleSet::append_list(Nfa& nfa, const GrammarList& list, std::int32_t from) {
  const auto size = std::int32_t(list.elements.size());
  const std::int32_t bound = list.max == kUnbounded ? list.min : std::max(list.min, list.max);
  const std::int32_t most = std::max(1, std::min(bound, size));
  const auto join = [&](std::int32_t state, std::int32_t target) {
    nfa.states[std::size_t(state)].empty_edges.push_back(target);
  };
  std::vector<std::int32_t> here(std::size_t(most) + 1), next(here.size());
  const auto fill = [&](std::vector<std::int32_t>& states) {
    for (std::int32_t& state : states) state = add_state(nfa);
  };
  fill(here);
  join(from, here[0]);
  for (const GrammarList::Element& element : list.elements) {
    fill(next);
    for (std::int32_t n = 0; n <= most; ++n) {
      const std::int32_t state = here[std::size_t(n)];
      if (!element.required) join(state, next[std::size_t(n)]);
      if (n >= list.max) continue;
      const std::int32_t begin = n == 0 ? state : append(nfa, list.separator.index, state);
      join(append(nfa, element.expr.index, begin), next[std::size_t(std::min(n + 1, most))]);
    }
    here.swap(next);
  }
  const std::int32_t end = add_state(nfa);
  for (std::int32_t n = 0; n <= most; ++n) append_rest(nfa, list, n, here[std::size_t(n)], end);
  return end;
}

/// What may follow when `count` elements are there: the end, or `rest` with separators.
void RuleSet::append_rest(Nfa& nfa, const GrammarList& list, std::int32_t count, std::int32_t from,
                          std::int32_t end) {
  const auto join = [&](std::int32_t state) {
    nfa.states[std::size_t(state)].empty_edges.push_back(end);
  };
  const bool may_end = count >= list.min && count <= list.max;
  if (list.rest.index < 0 || count >= list.max) {
    if (may_end) join(from);
    return;
  }
  if (count == 0) {
    if (may_end) join(from);
    from = append(nfa, list.rest.index, from);
    count = 1;
  }
  const std::int32_t max = list.max == kUnbounded ? kUnbounded : list.max - count;
  if (max == 0) return join(from);
  join(append_repeat(
      nfa, {Grammar::Kind::repeat, 0, std::max(0, list.min - count), max, {list.more.index}},
      from));
}

/// A state for each remainder of the digits so far.
std::int32_t RuleSet::append_multiple(Nfa& nfa, std::int32_t divisor, std::int32_t from) {
  const auto first = std::int32_t(nfa.states.size());
  for (std::int32_t i = 0; i < divisor; ++i) add_state(nfa);
  const auto add_digits = [&](std::int32_t state, std::int64_t remainder) {
    for (std::uint8_t digit = 0; digit < 10; ++digit) {
      const auto target = first + std::int32_t((10 * remainder + digit) % divisor);
      const auto byte = std::uint8_t('0' + digit);
      nfa.states[std::size_t(state)].edges.push_back({{EdgeLabel::bytes, byte, byte, 0}, target});
    }
  };
  add_digits(from, 0);
  for (std::int32_t i = 0; i < divisor; ++i) add_digits(first + i, i);
  const std::int32_t end = add_state(nfa);
  nfa.states[std::size_t(first)].empty_edges.push_back(end);
  return end;
}

Dfa RuleSet::regular_automaton(std::int32_t node) {
  const bool outer = std::exchange(regular_only_, true);
  Nfa nfa;
  nfa.start = nfa.add_state();
  nfa.end = append(nfa, node, nfa.start);
  regular_only_ = outer;
  return determinize(nfa, budget_);
}

std::int32_t RuleSet::append_product(Nfa& nfa, const Grammar::Node& node, std::int32_t from) {
  const Dfa dfa = product(regular_automaton(node.children[0]), regular_automaton(node.children[1]),
                          node.kind == Grammar::Kind::except, budget_);
  const std::int32_t end = add_state(nfa);
  const auto first = std::int32_t(nfa.states.size());
  for (std::size_t i = 0; i < dfa.states.size(); ++i) add_state(nfa);
  for (std::size_t i = 0; i < dfa.states.size(); ++i) {
    Nfa::State& state = nfa.states[std::size_t(first) + i];
    for (const Nfa::Edge& edge : dfa.states[i].edges)
      state.edges.push_back({edge.label, first + edge.target});
    if (dfa.states[i].final) state.empty_edges.push_back(end);
  }
  nfa.states[std::size_t(from)].empty_edges.push_back(first);
  return end;
}

}  // namespace isotope::text
