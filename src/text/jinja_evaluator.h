// Walks over a parsed template with the variables of one rendering.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_runtime.h"

namespace isotope::text::jinja {

/// Variables by name. Loops, macros and `with` open an inner scope: it sees the outer ones, and
/// what it sets is gone when it ends. Conditions do not.
class Scope {
 public:
  Scope(Runtime& runtime, std::shared_ptr<const Scope> outer)
      : runtime_(runtime), outer_(std::move(outer)) {}
  ~Scope() { clear(); }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  /// `name` must outlive the rendering: names belong to the template or to its variables.
  void set(std::string_view name, Value value);
  /// In this scope or the nearest outer one; nullptr if in none.
  const Value* find(std::string_view name) const;
  void clear();

 private:
  Runtime& runtime_;
  const std::shared_ptr<const Scope> outer_;
  std::map<std::string_view, Value> variables_;
};

/// Text that statements print, charged to the runtime as long as it is held.
class Output {
 public:
  explicit Output(Runtime& runtime) : runtime_(runtime) {}
  ~Output() { runtime_.release(text_.size()); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void append(std::string_view text);
  /// A copy as a value; a copy as it goes out.
  Value value() const { return runtime_.text(text_); }
  const std::string& text() const { return text_; }

 private:
  Runtime& runtime_;
  std::string text_;
};

class Evaluator {
 public:
  Evaluator(Runtime& where, const json::object& variables);

  Value evaluate(const Expression& expression);
  Flow run(const Body& body, Output& out);
  /// The body in a scope of its own.
  Flow run_scoped(const Body& body, Output& out);

  Value lookup(const std::string& name);
  void assign(const Target& target, Value value);
  /// Applies attributes, items, calls, filters and tests in turn.
  Value follow(Value value, const std::vector<Link>& links);
  /// As the call at the end of `chain`, with `caller` as one more named argument.
  Value call_with_caller(const Chain& chain, Value caller);

  const std::shared_ptr<Scope>& scope() const { return scope_; }

  /// Works in another scope while it is alive.
  class InScope {
   public:
    InScope(Evaluator& evaluator, std::shared_ptr<Scope> scope)
        : evaluator_(evaluator), before_(std::exchange(evaluator.scope_, std::move(scope))) {}
    ~InScope() { evaluator_.scope_ = std::move(before_); }
    InScope(const InScope&) = delete;
    InScope& operator=(const InScope&) = delete;

   private:
    Evaluator& evaluator_;
    std::shared_ptr<Scope> before_;
  };
  std::shared_ptr<Scope> inner_scope() const { return std::make_shared<Scope>(runtime, scope_); }

  Runtime& runtime;

 private:
  Arguments evaluate_arguments(const CallArguments& arguments);
  Value apply_link(const Value& value, const Link& link);
  Value optional_bound(const ExpressionPointer& bound);

  std::shared_ptr<Scope> scope_;
};

/// A macro, or the body of a call block, as a value.
class MacroObject final : public Object {
 public:
  /// `scope` is the one around the definition, whose variables the body sees.
  MacroObject(Evaluator& evaluator, const MacroDefinition& definition, std::shared_ptr<Scope> scope)
      : evaluator_(evaluator), definition_(definition), scope_(std::move(scope)) {}
  std::string_view type_name() const override { return "Macro"; }
  std::string description(Runtime& runtime) const override;
  std::optional<Value> attribute(Runtime& runtime, std::string_view name) override;
  bool callable() const override { return true; }
  Value call(Runtime& runtime, Arguments& arguments) override;

 private:
  void bind(Runtime& runtime, Arguments& arguments, Scope& scope);

  Evaluator& evaluator_;
  const MacroDefinition& definition_;
  const std::shared_ptr<Scope> scope_;
};

/// `loop` inside a for loop.
class LoopObject final : public Object {
 public:
  LoopObject(Evaluator& evaluator, const For& statement, std::shared_ptr<Scope> outer,
             std::shared_ptr<const Sequence> items, int depth)
      : evaluator_(evaluator),
        statement_(statement),
        outer_(std::move(outer)),
        items_(std::move(items)),
        depth_(depth) {}
  std::string_view type_name() const override { return "LoopContext"; }
  std::string description(Runtime& runtime) const override;
  std::optional<Value> attribute(Runtime& runtime, std::string_view name) override;
  bool callable() const override { return true; }
  /// Runs the loop again over other items: for loops marked `recursive`.
  Value call(Runtime& runtime, Arguments& arguments) override;

  /// Runs the body for every item. False if no iteration came to its end, because there was no item
  /// or each one broke off: then, as in Jinja, the loop's else follows.
  bool run(Output& out);
  Value cycle(const std::vector<Value>& values) const;
  bool changed(Runtime& runtime, const std::vector<Value>& values);

 private:
  Evaluator& evaluator_;
  const For& statement_;
  const std::shared_ptr<Scope> outer_;
  const std::shared_ptr<const Sequence> items_;
  const int depth_;
  std::size_t index_ = 0;
  std::optional<std::vector<Value>> last_changed_;
};

/// A for loop over `over`, `depth` loops deep in its own recursion.
void run_loop(Evaluator& evaluator, const For& loop, const Value& over, int depth, Output& out);

}  // namespace isotope::text::jinja
