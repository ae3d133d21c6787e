// Tokens to a tree.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/jinja_ast.h"
#include "text/jinja_lexer.h"

namespace isotope::text::jinja {

/// Walks over the tokens of one template. Errors (corrupt_data) name template, line and what was
/// expected.
class TokenStream {
 public:
  TokenStream(std::vector<Token> tokens, std::string_view template_name)
      : tokens_(std::move(tokens)), name_(template_name) {}

  const Token& current() const { return tokens_[position_]; }
  const Token& following() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  int line() const { return current().line; }
  /// The current token, which is passed.
  const Token& next();

  bool at(TokenType type) const { return current().type == type; }
  bool at_operator(std::string_view text) const { return is(current(), TokenType::op, text); }
  bool at_name(std::string_view text) const { return is(current(), TokenType::name, text); }
  bool follows_name(std::string_view text) const { return is(following(), TokenType::name, text); }
  bool follows_operator(std::string_view text) const {
    return is(following(), TokenType::op, text);
  }
  /// Passes the operator or name if it is the current token.
  bool skip_operator(std::string_view text);
  bool skip_name(std::string_view text);
  void expect_operator(std::string_view text);
  void expect_name(std::string_view text);
  void expect(TokenType type);
  std::string expect_any_name();

  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    isotope::fail(ErrorCode::corrupt_data, "{}, line {}: {}", name_, line(),
                  fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void fail_expected(std::string_view what) const;

 private:
  static bool is(const Token& token, TokenType type, std::string_view text) {
    return token.type == type && token.text == text;
  }
  std::vector<Token> tokens_;
  std::string_view name_;
  std::size_t position_ = 0;
};

/// Bounds how deep the parser, and every recursion over the tree that it builds, goes.
class Nesting {
 public:
  Nesting(const TokenStream& tokens, int& depth, int limit) : depth_(depth) {
    if (depth >= limit) tokens.fail("expressions and blocks are nested more than {} deep", limit);
    ++depth_;
  }
  ~Nesting() { --depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  int& depth_;
};

class ExpressionParser {
 public:
  ExpressionParser(TokenStream& tokens, int depth_limit)
      : tokens_(tokens), depth_limit_(depth_limit) {}

  ExpressionPointer parse();
  ExpressionPointer parse_without_condition() { return parse_or(); }
  /// Also a, b, c without brackets: a tuple. It ends at a tag's end, or at the name `end`.
  ExpressionPointer parse_tuple(bool with_condition, std::string_view end = {});
  /// filter(…)|filter… without the value: after {% filter or {% set x |.
  std::vector<Link> parse_filters();
  /// Names that were read since this was last set; a macro asks whether its body uses caller,
  /// varargs…
  struct NamesUsed {
    bool caller = false, varargs = false, kwargs = false;
  };
  NamesUsed names_used;

  [[nodiscard]] Nesting nested() { return Nesting(tokens_, depth_, depth_limit_); }

 private:
  ExpressionPointer parse_or();
  ExpressionPointer parse_logical(bool any);
  ExpressionPointer parse_not();
  ExpressionPointer parse_comparison();
  ExpressionPointer parse_sum();
  ExpressionPointer parse_concatenation();
  ExpressionPointer parse_product();
  ExpressionPointer parse_power();
  ExpressionPointer parse_unary(bool with_filters);
  ExpressionPointer parse_primary();
  ExpressionPointer parse_name();
  ExpressionPointer parse_parentheses();
  ExpressionPointer parse_list();
  ExpressionPointer parse_dict();
  ExpressionPointer parse_postfix(ExpressionPointer base, bool with_filters);
  using Operators = std::initializer_list<std::pair<std::string_view, Operator>>;
  using Operand = ExpressionPointer (ExpressionParser::*)();
  ExpressionPointer parse_arithmetic(Operators operators, Operand operand);
  bool at_tuple_end(std::string_view end) const;
  Link parse_attribute();
  Link parse_subscript();
  Link parse_call();
  Link parse_filter();
  Link parse_test();
  CallArguments parse_arguments();

  TokenStream& tokens_;
  const int depth_limit_;
  int depth_ = 0;
};

/// Parses a whole template. Errors: corrupt_data naming template, line and what was expected;
/// unsupported for tags that reach for other templates.
Body parse_template(std::string_view source, std::string_view name, int depth_limit);

}  // namespace isotope::text::jinja
