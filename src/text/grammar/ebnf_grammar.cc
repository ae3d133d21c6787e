#include "text/grammar/ebnf_grammar.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "text/utf8.h"

namespace isotope::text {
namespace {

constexpr std::size_t kMaxSourceBytes = 1 << 18;
constexpr int kMaxDepth = 100;
constexpr std::int32_t kMaxRepetition = 10000;

bool is_name(char c, bool first) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  return letter || (!first && ((c >= '0' && c <= '9') || c == '-' || c == '.'));
}

/// rule  ::= name "::=" alternatives
/// alternatives ::= sequence ("|" sequence)*
/// sequence ::= (atom ("*" | "+" | "?" | "{" bounds "}")?)*
/// atom  ::= "text" | [class] | . | name | "(" alternatives ")"
/// A rule ends where the next one begins; '#' begins a comment.
class EbnfParser {
 public:
  EbnfParser(GrammarBuilder& builder, std::string_view source)
      : builder_(builder), source_(source) {}

  GrammarExpr parse() {
    if (source_.size() > kMaxSourceBytes)
      fail(ErrorCode::invalid_argument, "the grammar has {} bytes; at most {} are allowed",
           source_.size(), kMaxSourceBytes);
    if (replace_invalid_utf8(source_) != source_)
      fail(ErrorCode::invalid_argument, "the grammar is not valid UTF-8");
    for (skip_space(); !at_end(); skip_space()) parse_rule();
    for (const auto& [name, rule] : rules_) {
      if (rule.defined) continue;
      position_ = rule.first_use;
      broken(fmt::format("the rule '{}' is not defined", name));
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) broken("there is no rule 'root'");
    return builder_.call(root->second.rule);
  }

 private:
  struct NamedRule {
    GrammarRule rule;
    std::size_t first_use;
    bool defined = false;
  };

  [[noreturn]] void broken(std::string_view why) const {
    const std::string_view before = source_.substr(0, position_);
    const std::size_t line = 1 + std::size_t(std::count(before.begin(), before.end(), '\n'));
    const std::size_t begin = before.rfind('\n');
    const std::size_t column = position_ - (begin == std::string_view::npos ? 0 : begin + 1) + 1;
    fail(ErrorCode::invalid_argument, "line {}, column {} of the grammar: {}", line, column, why);
  }

  bool at_end() const { return position_ >= source_.size(); }
  bool looking_at(std::string_view text) const {
    return source_.substr(position_).starts_with(text);
  }
  bool take(std::string_view text) {
    if (!looking_at(text)) return false;
    position_ += text.size();
    return true;
  }
  void skip_space() {
    while (!at_end()) {
      if (looking_at("#"))
        position_ = std::min(source_.find('\n', position_), source_.size());
      else if (std::string_view(" \t\r\n").find(source_[position_]) != std::string_view::npos)
        ++position_;
      else
        return;
    }
  }
  char32_t take_character() {
    if (at_end()) broken("the grammar ends too early");
    std::size_t length;
    const char32_t c = first_code_point(source_.substr(position_), length);
    position_ += length;
    return c;
  }

  std::string take_name() {
    const std::size_t begin = position_;
    while (!at_end() && is_name(source_[position_], position_ == begin)) ++position_;
    if (position_ == begin) broken("a rule's name is expected");
    return std::string(source_.substr(begin, position_ - begin));
  }

  NamedRule& rule_named(const std::string& name, std::size_t place) {
    const auto entry = rules_.find(name);
    if (entry != rules_.end()) return entry->second;
    return rules_.emplace(name, NamedRule{builder_.declare(name), place}).first->second;
  }

  void parse_rule() {
    const std::size_t begin = position_;
    const std::string name = take_name();
    skip_space();
    if (!take("::=")) broken(fmt::format("'::=' is expected after '{}'", name));
    NamedRule& rule = rule_named(name, begin);
    if (rule.defined) broken(fmt::format("the rule '{}' is defined twice", name));
    rule.defined = true;
    builder_.define(rule.rule, parse_alternatives());
    if (!at_end() && !begins_rule()) broken("a rule, '|' or the end is expected");
  }

  /// A name with "::=" after it.
  bool begins_rule() {
    const std::size_t here = position_;
    bool result = false;
    if (!at_end() && is_name(source_[position_], true)) {
      take_name();
      skip_space();
      result = looking_at("::=");
    }
    position_ = here;
    return result;
  }

  GrammarExpr parse_alternatives() {
    if (++depth_ > kMaxDepth) broken("parentheses are nested too deeply");
    std::vector<GrammarExpr> branches = {parse_sequence()};
    while (take("|")) branches.push_back(parse_sequence());
    --depth_;
    return builder_.alternatives(std::move(branches));
  }

  GrammarExpr parse_sequence() {
    std::vector<GrammarExpr> parts;
    for (skip_space(); !at_end() && !looking_at("|") && !looking_at(")") && !begins_rule();
         skip_space())
      parts.push_back(parse_repeated());
    return builder_.sequence(std::move(parts));
  }

  GrammarExpr parse_repeated() {
    GrammarExpr part = parse_atom();
    for (;;) {
      if (take("*")) {
        part = builder_.repeat(part, 0);
      } else if (take("+")) {
        part = builder_.repeat(part, 1);
      } else if (take("?")) {
        part = builder_.optional(part);
      } else if (take("{")) {
        part = parse_bounds(part);
      } else {
        return part;
      }
    }
  }

  std::optional<std::int32_t> take_number() {
    skip_space();
    std::int64_t number = 0;
    const std::size_t begin = position_;
    for (; !at_end() && source_[position_] >= '0' && source_[position_] <= '9'; ++position_)
      number = std::min<std::int64_t>(10 * number + (source_[position_] - '0'), kUnbounded);
    if (position_ == begin) return std::nullopt;
    if (number > kMaxRepetition)
      broken(fmt::format("a repetition of more than {} is not supported", kMaxRepetition));
    return std::int32_t(number);
  }

  GrammarExpr parse_bounds(GrammarExpr part) {
    const auto min = take_number();
    std::optional<std::int32_t> max = min;
    skip_space();
    if (take(",")) {
      max = take_number();
      if (!min && !max) broken("a number is expected");
      max = max.value_or(kUnbounded);
    }
    skip_space();
    if (!max || !take("}")) broken("a repetition is written {n}, {n,} or {n,m}");
    if (*max < min.value_or(0)) broken("the bounds of a repetition are in the wrong order");
    return builder_.repeat(part, min.value_or(0), *max);
  }

  GrammarExpr parse_atom() {
    if (take("\"")) return parse_text();
    if (take("[")) return builder_.character(parse_class());
    if (take(".")) return builder_.character(CodePoints::all());
    if (take("(")) {
      const GrammarExpr inner = parse_alternatives();
      if (!take(")")) broken("a '(' without its ')'");
      return inner;
    }
    const std::size_t begin = position_;
    return builder_.call(rule_named(take_name(), begin).rule);
  }

  GrammarExpr parse_text() {
    std::string text;
    while (!take("\"")) {
      if (looking_at("\n")) broken("a text without its closing quote");
      append_utf8(take("\\") ? take_escape() : take_character(), text);
    }
    return builder_.literal(text);
  }

  char32_t take_hex(int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char32_t c = take_character();
      const auto digit = c < 128 ? std::string_view("0123456789abcdef").find(char(c | 0x20))
                                 : std::string_view::npos;
      if (digit == std::string_view::npos) broken("a hexadecimal digit is expected");
      value = 16 * value + char32_t(digit);
    }
    if (value > kLastCodePoint || (value >= 0xD800 && value <= 0xDFFF))
      broken("this is not a character");
    return value;
  }

  char32_t take_escape() {
    const char32_t c = take_character();
    switch (c) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'x':
        return take_hex(2);
      case 'u':
        return take_hex(4);
      case 'U':
        return take_hex(8);
      default:
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
          broken("an unknown escape");
        return c;
    }
  }

  CodePoints parse_class() {
    const bool inverted = take("^");
    CodePoints set;
    while (!take("]")) {
      const char32_t first = take("\\") ? take_escape() : take_character();
      if (!looking_at("-") || looking_at("-]")) {
        set.add(first, first);
        continue;
      }
      take("-");
      const char32_t last = take("\\") ? take_escape() : take_character();
      if (last < first) broken("the bounds of a range are in the wrong order");
      set.add(first, last);
    }
    return inverted ? set.inverted() : set;
  }

  GrammarBuilder& builder_;
  std::string_view source_;
  std::size_t position_ = 0;
  int depth_ = 0;
  std::map<std::string, NamedRule> rules_;
};

}  // namespace

GrammarExpr ebnf_grammar(GrammarBuilder& builder, std::string_view source) {
  return EbnfParser(builder, source).parse();
}

}  // namespace isotope::text
