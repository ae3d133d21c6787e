// What an answer may be: a context-free grammar over the bytes of its text and over single tokens.
// Front ends (json_schema.h, regex_grammar.h, ebnf_grammar.h) add parts to a GrammarBuilder, which
// joins them with markers, free text and each other; compiled_grammar.h makes the result run.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/tensor.h"
#include "text/grammar/code_points.h"

namespace isotope::text {

/// A part of a grammar: the texts that it stands for. Belongs to the builder that made it, and may
/// be used there in several places.
struct GrammarExpr {
  std::int32_t index = -1;
};

/// A part with a name, which may contain itself.
struct GrammarRule {
  std::int32_t index = -1;
};

/// As `max` of a repetition: as often as one likes.
inline constexpr std::int32_t kUnbounded = std::numeric_limits<std::int32_t>::max();

/// The members of an object, the items of a list: in this order, some of them missing, with
/// separators between those that are there, and then any number of `rest`.
struct GrammarList {
  struct Element {
    GrammarExpr expr;
    bool required = true;
  };
  std::vector<Element> elements;
  GrammarExpr separator;
  GrammarExpr rest;                        ///< index -1: nothing else follows
  GrammarExpr more;                        ///< the builder's: separator and rest
  std::int32_t min = 0, max = kUnbounded;  ///< elements in all
};

/// What a builder has collected. Nodes refer to others by index, always to earlier ones; cycles go
/// through rules.
class Grammar {
 public:
  enum class Kind : std::uint8_t {
    sequence,      ///< all children, one after another; without children the empty text
    alternatives,  ///< one of the children; without children nothing matches
    bytes,         ///< one byte of [lo, hi]
    token,         ///< the token `value`, whatever its bytes
    repeat,        ///< the child, lo to hi times
    multiple,      ///< decimal digits of a multiple of `value`
    list,          ///< lists[value]
    call,          ///< rules[value]
    both,          ///< texts of both children, which call no rules and have no tokens
    except,        ///< texts of the first child that are none of the second
  };
  struct Node {
    Kind kind = Kind::sequence;
    std::int32_t value = 0, lo = 0, hi = 0;
    std::vector<std::int32_t> children;
  };
  struct Rule {
    std::string name;
    std::int32_t body = -1;
  };

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<GrammarList>& lists() const { return lists_; }
  const std::vector<Rule>& rules() const { return rules_; }
  std::int32_t root() const { return root_; }

 private:
  friend class GrammarBuilder;
  std::vector<Node> nodes_;
  std::vector<GrammarList> lists_;
  std::vector<Rule> rules_;
  std::int32_t root_ = -1;
};

/// Errors of all members: invalid_argument if the grammar grows beyond these limits.
class GrammarBuilder {
 public:
  GrammarExpr literal(std::string_view bytes);
  /// One byte of [lo, hi].
  GrammarExpr byte_range(std::uint8_t lo, std::uint8_t hi);
  /// One of these characters, as UTF-8.
  GrammarExpr character(const CodePoints& set);
  /// One token by its id: a marker that text cannot spell. Such a token is no text anywhere in the
  /// same grammar.
  GrammarExpr token(TokenId id);

  GrammarExpr empty() { return sequence({}); }
  /// Matches nothing, not even the empty text.
  GrammarExpr never() { return alternatives({}); }
  GrammarExpr sequence(std::vector<GrammarExpr> parts);
  GrammarExpr alternatives(std::vector<GrammarExpr> parts);
  GrammarExpr choice(const std::vector<std::string>& literals);
  GrammarExpr repeat(GrammarExpr part, std::int32_t min, std::int32_t max = kUnbounded);
  GrammarExpr optional(GrammarExpr part) { return repeat(part, 0, 1); }
  GrammarExpr list(GrammarList list);
  /// Decimal digits, perhaps with zeros in front, that write a multiple of `divisor` > 0.
  GrammarExpr digits_of_multiple(std::int32_t divisor);
  /// Texts of both; of the first that are none of the second. The parts call no rules and have no
  /// tokens.
  GrammarExpr both(GrammarExpr a, GrammarExpr b);
  GrammarExpr except(GrammarExpr a, GrammarExpr b);

  /// Any bytes, also none.
  GrammarExpr free_text() { return repeat(byte_range(0, 255), 0); }
  /// Any bytes up to and with the first `marker`, a text or a token.
  GrammarExpr text_until(std::string_view marker);
  GrammarExpr text_until(TokenId marker) { return sequence({free_text(), token(marker)}); }

  /// `name` is for error messages. A rule is defined once, before finish().
  GrammarRule declare(std::string name);
  void define(GrammarRule rule, GrammarExpr body);
  GrammarExpr call(GrammarRule rule);

  /// Leaves the builder empty.
  Grammar finish(GrammarExpr root);

 private:
  GrammarExpr add(Grammar::Node node);
  GrammarExpr code_point_bytes(char32_t first, char32_t last);

  Grammar grammar_;
};

inline constexpr std::size_t kMaxGrammarNodes = 400'000, kMaxGrammarRules = 5000;

}  // namespace isotope::text
