#include <algorithm>

#include "text/jinja_parser.h"

namespace isotope::text::jinja {

ExpressionPointer ExpressionParser::parse() {
  const Nesting nesting = nested();
  ExpressionPointer value = parse_or();
  while (tokens_.at_name("if")) {
    auto conditional = std::make_unique<Conditional>(tokens_.next().line);
    conditional->condition = parse_or();
    if (tokens_.skip_name("else")) conditional->else_value = parse();
    conditional->then_value = std::move(value);
    value = std::move(conditional);
    // a if b if c nests to the left; nobody writes that, so it does not go on forever.
    if (tokens_.at_name("if")) tokens_.fail("a condition after a condition needs parentheses");
  }
  return value;
}

bool ExpressionParser::at_tuple_end(std::string_view end) const {
  return tokens_.at(TokenType::variable_end) || tokens_.at(TokenType::block_end) ||
         tokens_.at_operator(")") || (!end.empty() && tokens_.at_name(end));
}

ExpressionPointer ExpressionParser::parse_tuple(bool with_condition, std::string_view end) {
  const int line = tokens_.line();
  if (at_tuple_end(end)) tokens_.fail_expected("an expression");
  ExpressionPointer first = with_condition ? parse() : parse_or();
  if (!tokens_.at_operator(",")) return first;
  auto tuple = std::make_unique<ListDisplay>(line);
  tuple->tuple = true;
  tuple->items.push_back(std::move(first));
  while (tokens_.skip_operator(",")) {
    if (at_tuple_end(end)) break;
    tuple->items.push_back(with_condition ? parse() : parse_or());
  }
  return tuple;
}

ExpressionPointer ExpressionParser::parse_or() { return parse_logical(true); }

ExpressionPointer ExpressionParser::parse_logical(bool any) {
  const auto operand = [&] { return any ? parse_logical(false) : parse_not(); };
  const std::string_view word = any ? "or" : "and";
  const int line = tokens_.line();
  ExpressionPointer first = operand();
  if (!tokens_.at_name(word)) return first;
  auto logical = std::make_unique<Logical>(line);
  logical->any = any;
  logical->operands.push_back(std::move(first));
  while (tokens_.skip_name(word)) logical->operands.push_back(operand());
  return logical;
}

ExpressionPointer ExpressionParser::parse_not() {
  if (!tokens_.at_name("not")) return parse_comparison();
  const Nesting nesting = nested();
  auto negation = std::make_unique<Not>(tokens_.next().line);
  negation->operand = parse_not();
  return negation;
}

ExpressionPointer ExpressionParser::parse_comparison() {
  static constexpr std::pair<std::string_view, Relation> kRelations[] = {
      {"==", Relation::equal},      {"!=", Relation::unequal}, {"<", Relation::less},
      {"<=", Relation::less_equal}, {">", Relation::greater},  {">=", Relation::greater_equal}};
  const auto relation = [&]() -> std::optional<Relation> {
    for (const auto& [text, meaning] : kRelations) {
      if (tokens_.skip_operator(text)) return meaning;
    }
    if (tokens_.skip_name("in")) return Relation::in;
    if (!tokens_.at_name("not") || !tokens_.follows_name("in")) return std::nullopt;
    tokens_.next();
    tokens_.next();
    return Relation::not_in;
  };
  const int line = tokens_.line();
  ExpressionPointer first = parse_sum();
  std::optional<Relation> found = relation();
  if (!found) return first;
  auto comparison = std::make_unique<Comparison>(line);
  comparison->first = std::move(first);
  for (; found; found = relation()) comparison->rest.emplace_back(*found, parse_sum());
  return comparison;
}

ExpressionPointer ExpressionParser::parse_arithmetic(Operators operators, Operand operand) {
  const auto operation = [&]() -> std::optional<Operator> {
    for (const auto& [text, meaning] : operators) {
      if (tokens_.skip_operator(text)) return meaning;
    }
    return std::nullopt;
  };
  const int line = tokens_.line();
  ExpressionPointer first = (this->*operand)();
  std::optional<Operator> found = operation();
  if (!found) return first;
  auto arithmetic = std::make_unique<Arithmetic>(line);
  arithmetic->first = std::move(first);
  for (; found; found = operation()) arithmetic->rest.emplace_back(*found, (this->*operand)());
  return arithmetic;
}

ExpressionPointer ExpressionParser::parse_sum() {
  return parse_arithmetic({{"+", Operator::add}, {"-", Operator::subtract}},
                          &ExpressionParser::parse_concatenation);
}

ExpressionPointer ExpressionParser::parse_concatenation() {
  const int line = tokens_.line();
  ExpressionPointer first = parse_product();
  if (!tokens_.at_operator("~")) return first;
  auto concatenation = std::make_unique<Concatenation>(line);
  concatenation->operands.push_back(std::move(first));
  while (tokens_.skip_operator("~")) concatenation->operands.push_back(parse_product());
  return concatenation;
}

ExpressionPointer ExpressionParser::parse_product() {
  return parse_arithmetic({{"*", Operator::multiply},
                           {"/", Operator::divide},
                           {"//", Operator::floor_divide},
                           {"%", Operator::modulo}},
                          &ExpressionParser::parse_power);
}

ExpressionPointer ExpressionParser::parse_power() {
  // Jinja's powers associate to the left, unlike Python's, and -2 ** 2 is 4.
  const int line = tokens_.line();
  ExpressionPointer first = parse_unary(true);
  if (!tokens_.at_operator("**")) return first;
  auto arithmetic = std::make_unique<Arithmetic>(line);
  arithmetic->first = std::move(first);
  while (tokens_.skip_operator("**"))
    arithmetic->rest.emplace_back(Operator::power, parse_unary(true));
  return arithmetic;
}

ExpressionPointer ExpressionParser::parse_unary(bool with_filters) {
  if (!tokens_.at_operator("-") && !tokens_.at_operator("+"))
    return parse_postfix(parse_primary(), with_filters);
  const Nesting nesting = nested();
  const Token& token = tokens_.next();
  auto sign = std::make_unique<Sign>(token.line);
  sign->negative = token.text == "-";
  sign->operand = parse_unary(false);
  return parse_postfix(std::move(sign), with_filters);
}

ExpressionPointer ExpressionParser::parse_name() {
  const Token& token = tokens_.next();
  const auto constant = [&](Value value) {
    return std::make_unique<Literal>(token.line, std::move(value));
  };
  if (token.text == "true" || token.text == "True") return constant(Value::boolean(true));
  if (token.text == "false" || token.text == "False") return constant(Value::boolean(false));
  if (token.text == "none" || token.text == "None") return constant(Value::none());
  if (token.text == "caller") names_used.caller = true;
  if (token.text == "varargs") names_used.varargs = true;
  if (token.text == "kwargs") names_used.kwargs = true;
  return std::make_unique<Name>(token.line, token.text);
}

ExpressionPointer ExpressionParser::parse_primary() {
  const int line = tokens_.line();
  switch (tokens_.current().type) {
    case TokenType::name:
      return parse_name();
    case TokenType::string: {
      std::string text;  // strings side by side are one
      while (tokens_.at(TokenType::string)) text += tokens_.next().text;
      return std::make_unique<Literal>(line, Value::constant(std::move(text)));
    }
    case TokenType::integer:
      return std::make_unique<Literal>(line, Value::integer(tokens_.next().integer));
    case TokenType::real:
      return std::make_unique<Literal>(line, Value::real(tokens_.next().real));
    default:
      break;
  }
  if (tokens_.at_operator("(")) return parse_parentheses();
  if (tokens_.at_operator("[")) return parse_list();
  if (tokens_.at_operator("{")) return parse_dict();
  tokens_.fail_expected("an expression");
}

ExpressionPointer ExpressionParser::parse_parentheses() {
  const Nesting nesting = nested();
  const int line = tokens_.next().line;
  ExpressionPointer value;
  if (tokens_.at_operator(")")) {
    auto empty = std::make_unique<ListDisplay>(line);
    empty->tuple = true;
    value = std::move(empty);
  } else {
    value = parse_tuple(true);
  }
  tokens_.expect_operator(")");
  return value;
}

ExpressionPointer ExpressionParser::parse_list() {
  const Nesting nesting = nested();
  auto list = std::make_unique<ListDisplay>(tokens_.next().line);
  while (!tokens_.at_operator("]")) {
    if (!list->items.empty()) tokens_.expect_operator(",");
    if (tokens_.at_operator("]")) break;
    list->items.push_back(parse());
  }
  tokens_.expect_operator("]");
  return list;
}

ExpressionPointer ExpressionParser::parse_dict() {
  const Nesting nesting = nested();
  auto dict = std::make_unique<DictDisplay>(tokens_.next().line);
  while (!tokens_.at_operator("}")) {
    if (!dict->entries.empty()) tokens_.expect_operator(",");
    if (tokens_.at_operator("}")) break;
    ExpressionPointer key = parse();
    tokens_.expect_operator(":");
    dict->entries.emplace_back(std::move(key), parse());
  }
  tokens_.expect_operator("}");
  return dict;
}

ExpressionPointer ExpressionParser::parse_postfix(ExpressionPointer base, bool with_filters) {
  auto chain = std::make_unique<Chain>(base->line);
  while (true) {
    if (tokens_.at_operator("."))
      chain->links.push_back(parse_attribute());
    else if (tokens_.at_operator("["))
      chain->links.push_back(parse_subscript());
    else if (tokens_.at_operator("("))
      chain->links.push_back(parse_call());
    else
      break;
  }
  // After the first filter or test only filters, tests and calls go on.
  while (with_filters) {
    if (tokens_.at_operator("|")) {
      tokens_.next();
      chain->links.push_back(parse_filter());
    } else if (tokens_.at_name("is")) {
      chain->links.push_back(parse_test());
    } else if (tokens_.at_operator("(")) {
      chain->links.push_back(parse_call());
    } else {
      break;
    }
  }
  if (chain->links.empty()) return base;
  chain->base = std::move(base);
  return chain;
}

Link ExpressionParser::parse_attribute() {
  Link link;
  link.line = tokens_.next().line;
  if (tokens_.at(TokenType::integer)) {
    link.kind = Link::Kind::item;
    link.first = std::make_unique<Literal>(link.line, Value::integer(tokens_.next().integer));
  } else {
    link.kind = Link::Kind::attribute;
    link.name = tokens_.expect_any_name();
  }
  return link;
}

Link ExpressionParser::parse_subscript() {
  const Nesting nesting = nested();
  Link link;
  link.line = tokens_.next().line;
  link.kind = Link::Kind::item;
  const auto at_end = [&] { return tokens_.at_operator("]") || tokens_.at_operator(":"); };
  if (tokens_.at_operator("]")) tokens_.fail_expected("an index");
  if (!at_end()) link.first = parse();
  if (tokens_.skip_operator(":")) {
    link.kind = Link::Kind::slice;
    if (!at_end()) link.last = parse();
    if (tokens_.skip_operator(":") && !at_end()) link.stride = parse();
  } else if (tokens_.at_operator(",")) {
    auto tuple = std::make_unique<ListDisplay>(link.line);
    tuple->tuple = true;
    tuple->items.push_back(std::move(link.first));
    while (tokens_.skip_operator(",") && !tokens_.at_operator("]")) tuple->items.push_back(parse());
    link.first = std::move(tuple);
  }
  tokens_.expect_operator("]");
  return link;
}

Link ExpressionParser::parse_call() {
  Link link;
  link.kind = Link::Kind::call;
  link.line = tokens_.line();
  link.arguments = parse_arguments();
  return link;
}

CallArguments ExpressionParser::parse_arguments() {
  const Nesting nesting = nested();
  CallArguments arguments;
  const auto check = [&](bool valid) {
    if (!valid) tokens_.fail("the arguments of a call are in the wrong order");
  };
  tokens_.expect_operator("(");
  for (bool first = true; !tokens_.at_operator(")"); first = false) {
    if (!first) {
      tokens_.expect_operator(",");
      if (tokens_.at_operator(")")) break;
    }
    if (tokens_.skip_operator("*")) {
      check(!arguments.more_positional && !arguments.more_named);
      arguments.more_positional = parse();
    } else if (tokens_.skip_operator("**")) {
      check(!arguments.more_named);
      arguments.more_named = parse();
    } else if (tokens_.at(TokenType::name) && tokens_.follows_operator("=")) {
      check(!arguments.more_named);
      std::string name = tokens_.next().text;
      tokens_.next();
      for (const auto& [other, value] : arguments.named) {
        if (other == name) tokens_.fail("the argument '{}' is given twice", name);
      }
      arguments.named.emplace_back(std::move(name), parse());
    } else {
      check(!arguments.more_positional && !arguments.more_named && arguments.named.empty());
      arguments.positional.push_back(parse());
    }
  }
  tokens_.expect_operator(")");
  return arguments;
}

Link ExpressionParser::parse_filter() {
  Link link;
  link.kind = Link::Kind::filter;
  link.line = tokens_.line();
  link.name = tokens_.expect_any_name();
  if (tokens_.at_operator("(")) link.arguments = parse_arguments();
  return link;
}

std::vector<Link> ExpressionParser::parse_filters() {
  std::vector<Link> filters;
  do filters.push_back(parse_filter());
  while (tokens_.skip_operator("|"));
  return filters;
}

Link ExpressionParser::parse_test() {
  Link link;
  link.kind = Link::Kind::test;
  link.line = tokens_.next().line;
  link.negated = tokens_.skip_name("not");
  link.name = tokens_.expect_any_name();
  if (tokens_.at_operator("(")) {
    link.arguments = parse_arguments();
    return link;
  }
  // One argument may follow without parentheses: x is divisibleby 3.
  const bool starts_value = tokens_.at(TokenType::name) || tokens_.at(TokenType::string) ||
                            tokens_.at(TokenType::integer) || tokens_.at(TokenType::real) ||
                            tokens_.at_operator("[") || tokens_.at_operator("{");
  if (!starts_value || tokens_.at_name("else") || tokens_.at_name("or") || tokens_.at_name("and"))
    return link;
  if (tokens_.at_name("is")) tokens_.fail("tests cannot be chained with 'is'");
  link.arguments.positional.push_back(parse_postfix(parse_primary(), false));
  return link;
}

}  // namespace isotope::text::jinja
