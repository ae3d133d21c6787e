#include "text/grammar/json_parts.h"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include "text/grammar/json_schema.h"
#include "text/grammar/regex_grammar.h"

namespace isotope::text {
namespace {

constexpr std::int32_t kMaxIndentation = 32;
/// Numbers that every reader can take: integers of 64 bits, and doubles without overflow.
constexpr std::string_view kInteger = R"(-?(0|[1-9][0-9]{0,17}))";
constexpr std::string_view kNumber =
    R"(-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,16})?([eE][+-]?[0-9]{1,2})?)";
/// Escapes in strings; halves of surrogate pairs only together.
constexpr std::string_view kEscape =
    R"(\\(["\\/bfnrt]|u([0-9A-Ca-cE-Fe-f][0-9A-Fa-f]{3}|[Dd][0-7][0-9A-Fa-f]{2}|)"
    R"([Dd][89ABab][0-9A-Fa-f]{2}\\u[Dd][C-Fc-f][0-9A-Fa-f]{2})))";

/// Characters that stand for themselves in a string.
const CodePoints& unescaped() {
  static const CodePoints set = CodePoints({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}).inverted();
  return set;
}

}  // namespace

std::string quote_json(std::string_view text) { return json::serialize(json::string(text)); }

GrammarExpr JsonParts::once(const std::string& name, const std::function<GrammarExpr()>& make) {
  const auto entry = made_.find(name);
  if (entry != made_.end()) return entry->second;
  const GrammarExpr made = make();
  made_[name] = made;
  return made;
}

/// As once(), called as a rule: shared also in the automaton. The rule is known before it is made,
/// so that it may contain itself.
GrammarExpr JsonParts::rule(const std::string& name, const std::function<GrammarExpr()>& make) {
  const auto entry = made_.find(name);
  if (entry != made_.end()) return entry->second;
  const GrammarRule rule = builder_.declare(name);
  const GrammarExpr call = made_[name] = builder_.call(rule);
  builder_.define(rule, make());
  return call;
}

GrammarExpr JsonParts::gap() {
  return rule("white space", [this] {
    const GrammarExpr indentation =
        builder_.alternatives({builder_.literal(" "), builder_.literal("\t")});
    return builder_.optional(builder_.alternatives(
        {builder_.literal(" "),
         builder_.sequence(
             {builder_.literal("\n"), builder_.repeat(indentation, 0, kMaxIndentation)})}));
  });
}

GrammarExpr JsonParts::after(std::string_view text) {
  return builder_.sequence({builder_.literal(text), gap()});
}

GrammarExpr JsonParts::any_value() {
  return rule("a JSON value", [this] {
    return builder_.alternatives(
        {any_object(), any_array(), any_string(), any_number(), boolean(), null()});
  });
}

GrammarExpr JsonParts::any_object() {
  return rule("a JSON object", [this] {
    return object({.elements = {},
                   .separator = comma(),
                   .rest = member(any_string(), any_value()),
                   .more = {}});
  });
}

GrammarExpr JsonParts::any_array() {
  return rule("a JSON array", [this] { return array_of(any_value(), 0, kUnbounded); });
}

GrammarExpr JsonParts::any_string() {
  return rule("a JSON string", [this] { return quoted(builder_.repeat(any_character(), 0)); });
}

GrammarExpr JsonParts::any_number() {
  return rule("a JSON number",
              [this] { return regex_grammar(builder_, kNumber, RegexMatch::whole); });
}

GrammarExpr JsonParts::any_integer() {
  return rule("an integer",
              [this] { return regex_grammar(builder_, kInteger, RegexMatch::whole); });
}

GrammarExpr JsonParts::boolean() {
  return once("a boolean", [this] { return builder_.choice({"true", "false"}); });
}

GrammarExpr JsonParts::null() {
  return once("null", [this] { return builder_.literal("null"); });
}

GrammarExpr JsonParts::any_character() {
  return once("a character of a string", [this] {
    return builder_.alternatives(
        {builder_.character(unescaped()), regex_grammar(builder_, kEscape, RegexMatch::whole)});
  });
}

GrammarExpr JsonParts::characters(std::int32_t min, std::int32_t max) {
  return builder_.repeat(any_character(), min, max);
}

GrammarExpr JsonParts::quoted(GrammarExpr inner) {
  return builder_.sequence({builder_.literal("\""), inner, builder_.literal("\"")});
}

GrammarExpr JsonParts::plain_character(GrammarBuilder& builder, const CodePoints& set) {
  std::vector<GrammarExpr> parts;
  const CodePoints plain = set.intersected(unescaped());
  if (!plain.empty()) parts.push_back(builder.character(plain));
  const CodePoints escaped = set.intersected(unescaped().inverted());
  for (const CodePoints::Range& range : escaped.ranges()) {
    for (char32_t c = range.first; c <= range.last; ++c) {
      const std::string quotes = quote_json(std::string(1, char(c)));
      parts.push_back(builder.literal(std::string_view(quotes).substr(1, quotes.size() - 2)));
    }
  }
  return builder.alternatives(std::move(parts));
}

GrammarExpr JsonParts::value(const json::value& value) {
  if (const json::array* items = value.if_array()) {
    GrammarList list{.elements = {}, .separator = comma(), .rest = {}, .more = {}};
    for (const json::value& item : *items) list.elements.push_back({this->value(item), true});
    return array(builder_.list(std::move(list)));
  }
  if (const json::object* members = value.if_object()) {
    GrammarList list{.elements = {}, .separator = comma(), .rest = {}, .more = {}};
    for (const auto& [key, item] : *members)
      list.elements.push_back({member(builder_.literal(quote_json(key)), this->value(item)), true});
    return object(std::move(list));
  }
  if (const double* number = value.if_double()) return builder_.literal(fmt::format("{}", *number));
  return builder_.literal(json::serialize(value));
}

GrammarExpr JsonParts::other_key(const std::vector<std::string>& names) {
  const GrammarExpr any = quoted(builder_.repeat(builder_.character(unescaped()), 0));
  if (names.empty()) return any;
  std::vector<std::string> taken;
  for (const std::string& name : names) taken.push_back(quote_json(name));
  return builder_.except(any, builder_.choice(taken));
}

GrammarExpr JsonParts::member(GrammarExpr key, GrammarExpr value) {
  return builder_.sequence({key, colon(), value});
}

GrammarExpr JsonParts::object(GrammarList members) {
  const bool empty = members.elements.empty() && members.rest.index < 0;
  const GrammarExpr inside = builder_.list(std::move(members));
  if (empty) return builder_.sequence({builder_.literal("{"), inside, builder_.literal("}")});
  return builder_.sequence({builder_.literal("{"), gap(), inside, gap(), builder_.literal("}")});
}

GrammarExpr JsonParts::array(GrammarExpr items) {
  return builder_.sequence({builder_.literal("["), gap(), items, gap(), builder_.literal("]")});
}

GrammarExpr JsonParts::array_of(GrammarExpr item, std::int32_t min, std::int32_t max) {
  return array(builder_.list(
      {.elements = {}, .separator = comma(), .rest = item, .more = {}, .min = min, .max = max}));
}

GrammarExpr any_json(GrammarBuilder& builder) { return JsonParts(builder).any_value(); }
GrammarExpr any_json_object(GrammarBuilder& builder) { return JsonParts(builder).any_object(); }

}  // namespace isotope::text
