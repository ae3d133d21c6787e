// Finite automata over bytes and other symbols: from nondeterministic to deterministic, and
// products of these.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace isotope::text {

/// Bounds the work that one grammar may cause, in visits of states and edges.
class WorkBudget {
 public:
  explicit WorkBudget(std::int64_t units) : left_(units) {}
  /// Errors: invalid_argument once all is spent.
  void spend(std::int64_t units);

 private:
  std::int64_t left_;
};

/// What an edge reads.
struct EdgeLabel {
  enum Kind : std::uint8_t {
    bytes,   ///< one byte of [lo, hi]
    symbol,  ///< the symbol `value`: something that is equal only to itself
  };
  Kind kind = bytes;
  std::uint8_t lo = 0, hi = 0;
  std::int32_t value = 0;
};

struct Nfa {
  struct Edge {
    EdgeLabel label;
    std::int32_t target;
  };
  struct State {
    std::vector<Edge> edges;
    std::vector<std::int32_t> empty_edges;  ///< followed without reading
  };
  std::vector<State> states;
  std::int32_t start = 0, end = 0;

  std::int32_t add_state() {
    states.emplace_back();
    return std::int32_t(states.size() - 1);
  }
};

/// State 0 is the start. Byte edges of a state are sorted and do not overlap; symbols are distinct.
struct Dfa {
  struct State {
    std::vector<Nfa::Edge> edges;  ///< those of bytes first
    bool final = false;
  };
  std::vector<State> states;
};

Dfa determinize(const Nfa& nfa, WorkBudget& budget);

/// Texts of `a` that are also texts of `b`, or that are none. Both read bytes only.
Dfa product(const Dfa& a, const Dfa& b, bool negate_b, WorkBudget& budget);

}  // namespace isotope::text
