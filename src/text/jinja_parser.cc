#include "text/jinja_parser.h"

#include <algorithm>

namespace isotope::text::jinja {

const Token& TokenStream::next() {
  const Token& token = tokens_[position_];
  if (position_ + 1 < tokens_.size()) ++position_;
  return token;
}

bool TokenStream::skip_operator(std::string_view text) {
  if (!at_operator(text)) return false;
  next();
  return true;
}

bool TokenStream::skip_name(std::string_view text) {
  if (!at_name(text)) return false;
  next();
  return true;
}

void TokenStream::expect_operator(std::string_view text) {
  if (!skip_operator(text)) fail_expected(fmt::format("'{}'", text));
}

void TokenStream::expect_name(std::string_view text) {
  if (!skip_name(text)) fail_expected(fmt::format("'{}'", text));
}

void TokenStream::expect(TokenType type) {
  if (!at(type))
    fail_expected(type == TokenType::block_end      ? "'%}'"
                  : type == TokenType::variable_end ? "'}}'"
                                                    : "something else");
  next();
}

std::string TokenStream::expect_any_name() {
  if (!at(TokenType::name)) fail_expected("a name");
  return next().text;
}

void TokenStream::fail_expected(std::string_view what) const {
  switch (current().type) {
    case TokenType::end:
      fail("expected {}, but the template ends", what);
    case TokenType::block_end:
    case TokenType::variable_end:
      fail("expected {}, but the tag ends", what);
    case TokenType::data:
      fail("expected {}, found text", what);
    case TokenType::string:
      fail("expected {}, found the string \"{}\"", what, current().text.substr(0, 40));
    default:
      fail("expected {}, found '{}'", what, current().text.substr(0, 40));
  }
}

namespace {

class TemplateParser {
 public:
  TemplateParser(std::string_view source, std::string_view name, int depth_limit)
      : tokens_(tokenize(source, name), name), expressions_(tokens_, depth_limit) {}

  Body parse() {
    Body body = parse_body({});
    if (!tokens_.at(TokenType::end)) tokens_.fail("unexpected '{}'", tokens_.current().text);
    return body;
  }

 private:
  using Names = std::initializer_list<std::string_view>;

  /// Statements up to a block that begins with one of `ends`, which becomes the current token.
  Body parse_body(Names ends) {
    const Nesting nesting = expressions_.nested();
    Body body;
    while (!tokens_.at(TokenType::end)) {
      if (tokens_.at(TokenType::data)) {
        auto data = std::make_unique<Data>(tokens_.line());
        data->text = tokens_.next().text;
        body.push_back(std::move(data));
      } else if (tokens_.at(TokenType::variable_begin)) {
        auto print = std::make_unique<Print>(tokens_.next().line);
        print->value = expressions_.parse_tuple(true);
        tokens_.expect(TokenType::variable_end);
        body.push_back(std::move(print));
      } else {
        tokens_.expect(TokenType::block_begin);
        if (std::any_of(ends.begin(), ends.end(),
                        [&](std::string_view name) { return tokens_.at_name(name); }))
          return body;
        parse_statement(body);
        tokens_.expect(TokenType::block_end);
      }
    }
    if (ends.size() > 0) tokens_.fail("the template ends, but '{}' is missing", *ends.begin());
    return body;
  }

  /// After the head of a block: its body up to one of `ends`.
  Body parse_block_body(Names ends) {
    tokens_.skip_operator(":");
    tokens_.expect(TokenType::block_end);
    return parse_body(ends);
  }
  /// The same; the end tag is passed.
  Body parse_last_body(std::string_view end) {
    Body body = parse_block_body({end});
    tokens_.next();
    return body;
  }

  void parse_statement(Body& body) {
    using Parse = std::unique_ptr<Statement> (TemplateParser::*)();
    static constexpr std::pair<std::string_view, Parse> kStatements[] = {
        {"if", &TemplateParser::parse_if},
        {"for", &TemplateParser::parse_for},
        {"set", &TemplateParser::parse_set},
        {"with", &TemplateParser::parse_with},
        {"macro", &TemplateParser::parse_macro},
        {"call", &TemplateParser::parse_call_block},
        {"filter", &TemplateParser::parse_filter_block},
        {"generation", &TemplateParser::parse_generation},
        {"break", &TemplateParser::parse_loop_control},
        {"continue", &TemplateParser::parse_loop_control}};
    if (!tokens_.at(TokenType::name)) tokens_.fail_expected("the name of a tag");
    if (tokens_.at_name("print")) return parse_print(body);
    for (const auto& [name, parse] : kStatements) {
      if (tokens_.at_name(name)) return body.push_back((this->*parse)());
    }
    const std::string& name = tokens_.current().text;
    for (const std::string_view refused :
         {"include", "import", "from", "extends", "block", "autoescape", "do", "trans"}) {
      if (name == refused)
        tokens_.fail("the tag '{}' is not supported in a chat template", refused);
    }
    if (name.starts_with("end") || name == "else" || name == "elif")
      tokens_.fail("'{}' ends nothing here", name);
    tokens_.fail("unknown tag '{}'", name);
  }

  void parse_print(Body& body) {
    tokens_.next();
    while (!tokens_.at(TokenType::block_end)) {
      auto print = std::make_unique<Print>(tokens_.line());
      print->value = expressions_.parse();
      body.push_back(std::move(print));
      if (!tokens_.at(TokenType::block_end)) tokens_.expect_operator(",");
    }
  }

  std::unique_ptr<Statement> parse_if() {
    auto statement = std::make_unique<If>(tokens_.line());
    do {
      tokens_.next();  // if or elif
      ExpressionPointer condition = expressions_.parse_tuple(false);
      statement->branches.emplace_back(std::move(condition),
                                       parse_block_body({"endif", "elif", "else"}));
    } while (tokens_.at_name("elif"));
    if (tokens_.next().text == "else") statement->otherwise = parse_last_body("endif");
    return statement;
  }

  static bool names_loop(const Target& target) {
    return target.kind == Target::Kind::tuple
               ? std::any_of(target.parts.begin(), target.parts.end(), names_loop)
               : target.name == "loop";
  }

  std::unique_ptr<Statement> parse_for() {
    auto statement = std::make_unique<For>(tokens_.next().line);
    statement->target = parse_target("in", false);
    if (names_loop(statement->target)) tokens_.fail("a loop cannot assign to 'loop'");
    tokens_.expect_name("in");
    statement->items = expressions_.parse_tuple(false, "recursive");
    if (tokens_.skip_name("if")) statement->condition = expressions_.parse();
    statement->recursive = tokens_.skip_name("recursive");
    ++loops_;
    statement->body = parse_block_body({"endfor", "else"});
    --loops_;
    if (tokens_.next().text == "else") statement->otherwise = parse_last_body("endfor");
    return statement;
  }

  std::unique_ptr<Statement> parse_set() {
    const int line = tokens_.next().line;
    Target target = parse_target({}, true);
    if (tokens_.skip_operator("=")) {
      auto statement = std::make_unique<Set>(line);
      statement->target = std::move(target);
      statement->value = expressions_.parse_tuple(true);
      return statement;
    }
    auto statement = std::make_unique<SetBlock>(line);
    statement->target = std::move(target);
    if (tokens_.skip_operator("|")) statement->filters = expressions_.parse_filters();
    if (!tokens_.at(TokenType::block_end)) tokens_.fail_expected("'='");
    statement->body = parse_last_body("endset");
    return statement;
  }

  std::unique_ptr<Statement> parse_with() {
    auto statement = std::make_unique<With>(tokens_.next().line);
    while (!tokens_.at(TokenType::block_end)) {
      if (!statement->assignments.empty()) tokens_.expect_operator(",");
      Target target = parse_single_target(false);
      tokens_.expect_operator("=");
      statement->assignments.emplace_back(std::move(target), expressions_.parse());
    }
    statement->body = parse_last_body("endwith");
    return statement;
  }

  std::unique_ptr<Statement> parse_macro() {
    auto statement = std::make_unique<Macro>(tokens_.next().line);
    MacroDefinition& definition = statement->definition;
    definition.name = target_name();
    definition.parameters = parse_parameters();
    parse_macro_body(definition, "endmacro");
    return statement;
  }

  std::unique_ptr<Statement> parse_call_block() {
    auto statement = std::make_unique<CallBlock>(tokens_.next().line);
    if (tokens_.at_operator("(")) statement->caller.parameters = parse_parameters();
    ExpressionPointer call = expressions_.parse();
    const auto* chain = dynamic_cast<const Chain*>(call.get());
    if (!chain || chain->links.back().kind != Link::Kind::call)
      tokens_.fail("a call block needs a call such as {{% call name() %}}");
    call.release();
    statement->call.reset(chain);
    parse_macro_body(statement->caller, "endcall");
    return statement;
  }

  std::vector<Parameter> parse_parameters() {
    std::vector<Parameter> parameters;
    tokens_.expect_operator("(");
    while (!tokens_.at_operator(")")) {
      if (!parameters.empty()) tokens_.expect_operator(",");
      Parameter parameter{target_name(), nullptr};
      for (const Parameter& other : parameters) {
        if (other.name == parameter.name)
          tokens_.fail("the parameter '{}' is declared twice", parameter.name);
      }
      if (tokens_.skip_operator("="))
        parameter.fallback = expressions_.parse();
      else if (!parameters.empty() && parameters.back().fallback)
        tokens_.fail("the parameter '{}' needs a default as the one before it has", parameter.name);
      parameters.push_back(std::move(parameter));
    }
    tokens_.expect_operator(")");
    return parameters;
  }

  void parse_macro_body(MacroDefinition& definition, std::string_view end) {
    // break and continue do not reach through a macro to the loop around it.
    const int loops = std::exchange(loops_, 0);
    const auto around = std::exchange(expressions_.names_used, {});
    definition.body = parse_last_body(end);
    auto& used = expressions_.names_used;
    definition.uses_caller = used.caller;
    definition.uses_varargs = used.varargs;
    definition.uses_kwargs = used.kwargs;
    used.caller |= around.caller;
    used.varargs |= around.varargs;
    used.kwargs |= around.kwargs;
    loops_ = loops;
  }

  std::unique_ptr<Statement> parse_filter_block() {
    auto statement = std::make_unique<FilterBlock>(tokens_.next().line);
    statement->filters = expressions_.parse_filters();
    statement->body = parse_last_body("endfilter");
    return statement;
  }

  std::unique_ptr<Statement> parse_generation() {
    auto statement = std::make_unique<Generation>(tokens_.next().line);
    const int loops = std::exchange(loops_, 0);
    statement->body = parse_last_body("endgeneration");
    loops_ = loops;
    return statement;
  }

  std::unique_ptr<Statement> parse_loop_control() {
    if (loops_ == 0) tokens_.fail("'{}' stands outside a loop", tokens_.current().text);
    const Token& token = tokens_.next();
    return std::make_unique<LoopControl>(
        token.line, token.text == "break" ? Flow::break_loop : Flow::continue_loop);
  }

  std::string target_name() {
    for (const std::string_view constant : {"true", "false", "none", "True", "False", "None"}) {
      if (tokens_.at_name(constant)) tokens_.fail("'{}' cannot be assigned to", constant);
    }
    return tokens_.expect_any_name();
  }

  Target parse_single_target(bool with_namespace) {
    Target target;
    if (tokens_.at_operator("(")) {
      const Nesting nesting = expressions_.nested();
      tokens_.next();
      target = parse_target({}, with_namespace);
      tokens_.expect_operator(")");
      return target;
    }
    target.name = target_name();
    if (with_namespace && tokens_.skip_operator(".")) {
      target.kind = Target::Kind::attribute;
      target.attribute = tokens_.expect_any_name();
      if (target.attribute.starts_with("_"))
        tokens_.fail("names that begin with an underscore are refused: '{}'", target.attribute);
    }
    return target;
  }

  /// a or a, b, c; it ends at the name `end`, at "=" or at the end of the tag.
  Target parse_target(std::string_view end, bool with_namespace) {
    Target first = parse_single_target(with_namespace);
    if (!tokens_.at_operator(",")) return first;
    Target tuple;
    tuple.kind = Target::Kind::tuple;
    tuple.parts.push_back(std::move(first));
    while (tokens_.skip_operator(",")) {
      if ((!end.empty() && tokens_.at_name(end)) || tokens_.at_operator("=") ||
          tokens_.at_operator(")"))
        break;
      tuple.parts.push_back(parse_single_target(with_namespace));
    }
    return tuple;
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int loops_ = 0;  // around the current statement
};

}  // namespace

Body parse_template(std::string_view source, std::string_view name, int depth_limit) {
  return TemplateParser(source, name, depth_limit).parse();
}

}  // namespace isotope::text::jinja
