// A grammar as automata that call each other: one deterministic automaton over bytes for each rule,
// whose other edges are whole texts of rules.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/tensor.h"
#include "text/grammar/grammar.h"

namespace isotope::text {

/// Bytes, as far as anyone counts them: "cannot be reached" is more than any text.
inline constexpr std::int32_t kNever = 1 << 28;
inline std::int32_t add_distance(std::int32_t a, std::int32_t b) {
  return a + b < kNever ? a + b : kNever;
}

struct Automaton {
  /// From one state to `target` by min to max texts of a rule.
  struct Call {
    std::int32_t rule, min, max, target;
    bool may_be_empty = false;  ///< min is 0, or the rule has the empty text
  };
  struct TokenEdge {
    TokenId id;
    std::int32_t target;
  };
  struct State {
    std::int32_t first_call = 0, first_token = 0;  ///< those of the next state begin at their ends
    std::int32_t distance = kNever;  ///< fewest bytes to the end of the rule, tokens count as one
    bool final = false;
    bool reads = false;  ///< has edges for bytes or tokens
    bool plain = false;  ///< has no calls and is not final
    bool last = false;   ///< final, and nothing else
  };
  struct Rule {
    std::int32_t start = 0, distance = kNever;
    bool nullable = false;
  };

  std::vector<State> states;  ///< and one more, as the end of the last
  std::vector<Call> calls;
  std::vector<TokenEdge> token_edges;
  std::vector<Rule> rules;
  std::int32_t root = 0;         ///< a rule
  std::vector<TokenId> markers;  ///< ids of token edges, sorted

  std::array<std::uint8_t, 256> byte_class{};
  std::int32_t num_classes = 1;
  std::vector<std::int32_t> next;  ///< [states, classes]; -1: nowhere

  std::int32_t step(std::int32_t state, std::uint8_t byte) const {
    return next[std::size_t(state) * std::size_t(num_classes) + byte_class[byte]];
  }
  std::span<const Call> calls_of(std::int32_t state) const {
    const auto s = std::size_t(state);
    return std::span(calls).subspan(std::size_t(states[s].first_call),
                                    std::size_t(states[s + 1].first_call - states[s].first_call));
  }
  std::span<const TokenEdge> tokens_of(std::int32_t state) const {
    const auto s = std::size_t(state);
    return std::span(token_edges)
        .subspan(std::size_t(states[s].first_token),
                 std::size_t(states[s + 1].first_token - states[s].first_token));
  }
};

/// Limits of one grammar. States count those of all rules.
inline constexpr std::size_t kMaxAutomatonStates = 200'000;
inline constexpr std::size_t kMaxTableBytes = std::size_t(96) << 20;
inline constexpr std::int64_t kMaxCompileWork = 40'000'000;

/// Errors: as compile_grammar.
Automaton build_automaton(const Grammar& grammar);

}  // namespace isotope::text
