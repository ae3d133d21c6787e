// A parsed template: expressions that give values, statements that print.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja_value.h"

namespace isotope::text::jinja {

class Evaluator;
class Output;

struct Expression {
  explicit Expression(int line_number) : line(line_number) {}
  virtual ~Expression() = default;
  virtual Value evaluate(Evaluator& evaluator) const = 0;
  int line;
};
using ExpressionPointer = std::unique_ptr<const Expression>;

/// How a statement ended.
enum class Flow { next, break_loop, continue_loop };

struct Statement {
  explicit Statement(int line_number) : line(line_number) {}
  virtual ~Statement() = default;
  virtual Flow execute(Evaluator& evaluator, Output& out) const = 0;
  int line;
};
using Body = std::vector<std::unique_ptr<const Statement>>;

// ---- Expressions. Chains of operators of one rank are flat, however long, so that the depth of
// the tree, and with it every recursion over it, is bounded by the nesting that the parser allows.

struct Literal final : Expression {
  Literal(int line_number, Value constant) : Expression(line_number), value(std::move(constant)) {}
  Value evaluate(Evaluator& evaluator) const override;
  Value value;
};

struct Name final : Expression {
  Name(int line_number, std::string variable)
      : Expression(line_number), name(std::move(variable)) {}
  Value evaluate(Evaluator& evaluator) const override;
  std::string name;
};

struct ListDisplay final : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator& evaluator) const override;
  bool tuple = false;
  std::vector<ExpressionPointer> items;
};

struct DictDisplay final : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator& evaluator) const override;
  std::vector<std::pair<ExpressionPointer, ExpressionPointer>> entries;
};

struct CallArguments {
  std::vector<ExpressionPointer> positional;
  std::vector<std::pair<std::string, ExpressionPointer>> named;
  ExpressionPointer more_positional;  ///< *args
  ExpressionPointer more_named;       ///< **kwargs
};

/// One step of a chain such as a.b[c](d)|e is f.
struct Link {
  enum class Kind { attribute, item, slice, call, filter, test };
  Kind kind = Kind::attribute;
  int line = 0;
  bool negated = false;                   ///< `is not`
  std::string name;                       ///< of the attribute, filter or test
  ExpressionPointer first, last, stride;  ///< of an item (`first`) or a slice
  CallArguments arguments;                ///< of a call, filter or test
};

struct Chain final : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator& evaluator) const override;
  ExpressionPointer base;
  std::vector<Link> links;
};

struct Sign final : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator& evaluator) const override;
  bool negative = false;
  ExpressionPointer operand;
};

enum class Operator { add, subtract, multiply, divide, floor_divide, modulo, power };

/// first op rest op rest…, from the left.
struct Arithmetic final : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator& evaluator) const override;
  ExpressionPointer first;
  std::vector<std::pair<Operator, ExpressionPointer>> rest;
};

/// a ~ b ~ c
struct Concatenation final : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator& evaluator) const override;
  std::vector<ExpressionPointer> operands;
};

enum class Relation { equal, unequal, less, less_equal, greater, greater_equal, in, not_in };

/// a < b <= c: each relation between neighbours must hold.
struct Comparison final : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator& evaluator) const override;
  ExpressionPointer first;
  std::vector<std::pair<Relation, ExpressionPointer>> rest;
};

struct Not final : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator& evaluator) const override;
  ExpressionPointer operand;
};

/// `and` or `or` over several operands: the value of the one that decides.
struct Logical final : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator& evaluator) const override;
  bool any = false;  ///< `or`
  std::vector<ExpressionPointer> operands;
};

struct Conditional final : Expression {
  using Expression::Expression;
  Value evaluate(Evaluator& evaluator) const override;
  ExpressionPointer condition, then_value, else_value;  ///< else_value may be null
};

// ---- Statements

/// What `set` and `for` assign to.
struct Target {
  enum class Kind { name, attribute, tuple };
  Kind kind = Kind::name;
  std::string name;       ///< of the variable or of the namespace
  std::string attribute;  ///< of the namespace
  std::vector<Target> parts;
};

struct Data final : Statement {
  using Statement::Statement;
  Flow execute(Evaluator& evaluator, Output& out) const override;
  std::string text;
};

struct Print final : Statement {
  using Statement::Statement;
  Flow execute(Evaluator& evaluator, Output& out) const override;
  ExpressionPointer value;
};

struct If final : Statement {
  using Statement::Statement;
  Flow execute(Evaluator& evaluator, Output& out) const override;
  std::vector<std::pair<ExpressionPointer, Body>> branches;
  Body otherwise;
};

struct For final : Statement {
  using Statement::Statement;
  Flow execute(Evaluator& evaluator, Output& out) const override;
  Target target;
  ExpressionPointer items;
  ExpressionPointer condition;  ///< may be null
  bool recursive = false;
  Body body;
  Body otherwise;
};

struct Set final : Statement {
  using Statement::Statement;
  Flow execute(Evaluator& evaluator, Output& out) const override;
  Target target;
  ExpressionPointer value;
};

/// {% set x | filter %}…{% endset %}
struct SetBlock final : Statement {
  using Statement::Statement;
  Flow execute(Evaluator& evaluator, Output& out) const override;
  Target target;
  std::vector<Link> filters;
  Body body;
};

struct With final : Statement {
  using Statement::Statement;
  Flow execute(Evaluator& evaluator, Output& out) const override;
  std::vector<std::pair<Target, ExpressionPointer>> assignments;
  Body body;
};

struct Parameter {
  std::string name;
  ExpressionPointer fallback;  ///< may be null
};

/// What a macro and the body of a call block have in common.
struct MacroDefinition {
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
  bool uses_caller = false;  ///< the body mentions these names, so the call may supply them
  bool uses_varargs = false;
  bool uses_kwargs = false;
};

struct Macro final : Statement {
  using Statement::Statement;
  Flow execute(Evaluator& evaluator, Output& out) const override;
  MacroDefinition definition;
};

struct CallBlock final : Statement {
  using Statement::Statement;
  Flow execute(Evaluator& evaluator, Output& out) const override;
  std::unique_ptr<const Chain> call;  ///< its last link is a call
  MacroDefinition caller;
};

struct FilterBlock final : Statement {
  using Statement::Statement;
  Flow execute(Evaluator& evaluator, Output& out) const override;
  std::vector<Link> filters;
  Body body;
};

/// {% generation %}: marks what an assistant wrote, for training; here only a scope.
struct Generation final : Statement {
  using Statement::Statement;
  Flow execute(Evaluator& evaluator, Output& out) const override;
  Body body;
};

struct LoopControl final : Statement {
  LoopControl(int line_number, Flow how) : Statement(line_number), flow(how) {}
  Flow execute(Evaluator& evaluator, Output& out) const override;
  Flow flow;
};

}  // namespace isotope::text::jinja
