// From a rule of a grammar to a finite automaton.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "text/grammar/finite_automaton.h"
#include "text/grammar/grammar.h"

namespace isotope::text {

/// The rules of a grammar, and the bodies of its long repetitions: a hundred characters are one
/// call that counts, not a hundred copies.
class RuleSet {
 public:
  RuleSet(const Grammar& grammar, WorkBudget& budget);

  /// What a symbol on an edge stands for.
  struct Symbol {
    enum Kind : std::uint8_t { call, token } kind;
    std::int32_t value;     ///< a rule, a token
    std::int32_t min, max;  ///< of a call
    auto operator<=>(const Symbol&) const = default;
  };
  const Symbol& symbol(std::int32_t number) const { return symbols_[std::size_t(number)]; }

  /// Grows while automata are built.
  std::size_t size() const { return bodies_.size(); }
  const std::string& name(std::size_t rule) const { return names_[rule]; }
  std::size_t root() const { return root_; }
  Dfa automaton(std::size_t rule);

 private:
  std::int32_t append(Nfa& nfa, std::int32_t node, std::int32_t from);
  std::int32_t append_repeat(Nfa& nfa, const Grammar::Node& node, std::int32_t from);
  std::int32_t append_copies(Nfa& nfa, const Grammar::Node& node, std::int32_t from);
  std::int32_t append_list(Nfa& nfa, const GrammarList& list, std::int32_t from);
  void append_rest(Nfa& nfa, const GrammarList& list, std::int32_t count, std::int32_t from,
                   std::int32_t end);
  std::int32_t append_multiple(Nfa& nfa, std::int32_t divisor, std::int32_t from);
  std::int32_t append_product(Nfa& nfa, const Grammar::Node& node, std::int32_t from);
  std::int32_t append_symbol(Nfa& nfa, const Symbol& symbol, std::int32_t from);
  std::int32_t add_state(Nfa& nfa);
  Dfa regular_automaton(std::int32_t node);
  std::int32_t rule_for(std::int32_t node);
  bool takes_copies(const Grammar::Node& node);
  void measure();

  const Grammar& grammar_;
  WorkBudget& budget_;
  std::vector<std::int32_t> bodies_;  // by rule: a node
  std::vector<std::string> names_;
  std::size_t root_;
  std::vector<std::int64_t> sizes_;  // by node: states that copying it takes, about
  std::vector<bool> regular_;        // by node: it calls no rules and has no tokens
  std::int64_t copies_left_;         // states that copies may still take, in all rules
  std::vector<Symbol> symbols_;
  std::map<Symbol, std::int32_t> symbol_numbers_;
  std::map<std::int32_t, std::int32_t> repeated_;  // node -> its rule
  bool regular_only_ = false;                      // within both and except
};

}  // namespace isotope::text
