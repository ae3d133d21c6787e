// The pieces of JSON texts as grammars, each made once.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/grammar/grammar.h"

namespace isotope::text {

class JsonParts {
 public:
  explicit JsonParts(GrammarBuilder& builder) : builder_(builder) {}

  GrammarBuilder& builder() { return builder_; }

  /// What may stand between tokens: nothing, a space, or a new line with some indentation. Bounded,
  /// so that a model cannot go on with spaces for ever.
  GrammarExpr gap();
  /// The comma, the colon, with what may follow them.
  GrammarExpr comma() {
    return once(",", [this] { return after(","); });
  }
  GrammarExpr colon() {
    return once(":", [this] { return after(":"); });
  }

  GrammarExpr any_value();
  GrammarExpr any_object();
  GrammarExpr any_array();
  GrammarExpr any_string();
  GrammarExpr any_number();
  GrammarExpr any_integer();
  GrammarExpr boolean();
  GrammarExpr null();

  /// Characters of a string, min to max of them, written in any way.
  GrammarExpr characters(std::int32_t min, std::int32_t max);
  /// `inner` between quotes.
  GrammarExpr quoted(GrammarExpr inner);
  GrammarExpr quoted_or_any(std::optional<GrammarExpr> inner) {
    return inner ? quoted(*inner) : any_string();
  }
  /// One of the characters in the one way in which this program writes it inside a string.
  static GrammarExpr plain_character(GrammarBuilder& builder, const CodePoints& set);
  /// Exactly this value; with gaps.
  GrammarExpr value(const json::value& value);
  /// A key that is none of `names`, of characters that need no escapes.
  GrammarExpr other_key(const std::vector<std::string>& names);
  /// Key, colon, value.
  GrammarExpr member(GrammarExpr key, GrammarExpr value);
  GrammarExpr object(GrammarList members);
  GrammarExpr array(GrammarExpr items);
  /// As object() and array(): "min to max of `item`, with commas".
  GrammarExpr array_of(GrammarExpr item, std::int32_t min, std::int32_t max);

 private:
  GrammarExpr once(const std::string& name, const std::function<GrammarExpr()>& make);
  GrammarExpr rule(const std::string& name, const std::function<GrammarExpr()>& make);
  GrammarExpr after(std::string_view text);
  GrammarExpr any_character();

  GrammarBuilder& builder_;
  std::map<std::string, GrammarExpr> made_;
};

/// `text` as a JSON string with its quotes; characters beyond ASCII stand for themselves.
std::string quote_json(std::string_view text);

}  // namespace isotope::text
