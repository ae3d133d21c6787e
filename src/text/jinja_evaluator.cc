#include "text/jinja_evaluator.h"

#include "text/jinja_builtin.h"
#include "text/jinja_globals.h"
#include "text/jinja_methods.h"
#include "text/jinja_operations.h"

namespace isotope::text::jinja {

namespace {
// A node of the map, about.
constexpr std::size_t kVariableBytes = 112;
}  // namespace

void Scope::set(std::string_view name, Value value) {
  const auto found = variables_.find(name);
  if (found != variables_.end()) {
    found->second = std::move(value);
    return;
  }
  runtime_.charge(kVariableBytes);
  variables_.emplace(name, std::move(value));
}

const Value* Scope::find(std::string_view name) const {
  for (const Scope* scope = this; scope; scope = scope->outer_.get()) {
    const auto found = scope->variables_.find(name);
    if (found != scope->variables_.end()) return &found->second;
  }
  return nullptr;
}

void Scope::clear() {
  runtime_.release(variables_.size() * kVariableBytes);
  variables_.clear();
}

void Output::append(std::string_view text) {
  runtime_.work(text.size());
  runtime_.check_text_size(text_.size() + text.size());
  runtime_.charge(text.size());
  text_ += text;
}

Evaluator::Evaluator(Runtime& where, const json::object& variables)
    : runtime(where), scope_(std::make_shared<Scope>(where, nullptr)) {
  for (const auto& [name, value] : variables) scope_->set(name, from_json(runtime, value));
  // What the template sets at its top level is its own.
  scope_ = inner_scope();
}

Value Evaluator::evaluate(const Expression& expression) {
  const Runtime::Nested nested(runtime);
  runtime.step();
  runtime.set_line(expression.line);
  return expression.evaluate(*this);
}

Value Evaluator::lookup(const std::string& name) {
  if (const Value* value = scope_->find(name)) return *value;
  if (auto global = find_global(name)) return std::move(*global);
  return runtime.undefined(fmt::format("'{}' is undefined", name));
}

void Evaluator::assign(const Target& target, Value value) {
  runtime.step();
  switch (target.kind) {
    case Target::Kind::name:
      scope_->set(target.name, std::move(value));
      return;
    case Target::Kind::attribute: {
      const Value object = lookup(target.name);
      auto* space = object.is_object() ? dynamic_cast<Namespace*>(&object.as_object()) : nullptr;
      if (!space)
        runtime.fail("'{}' is not a namespace, so '{}.{}' cannot be set", target.name, target.name,
                     target.attribute);
      space->set(runtime, target.attribute, std::move(value));
      return;
    }
    case Target::Kind::tuple:
      break;
  }
  if (value.is_undefined()) runtime.fail_undefined(value);
  const auto values = iterate(runtime, value);
  if (values->items.size() != target.parts.size())
    runtime.fail("{} values cannot be unpacked into {} variables", values->items.size(),
                 target.parts.size());
  for (std::size_t i = 0; i < target.parts.size(); ++i) assign(target.parts[i], values->items[i]);
}

Arguments Evaluator::evaluate_arguments(const CallArguments& arguments) {
  Arguments result;
  result.positional.reserve(arguments.positional.size());
  for (const auto& argument : arguments.positional)
    result.positional.push_back(evaluate(*argument));
  for (const auto& [name, argument] : arguments.named)
    result.named.emplace_back(name, evaluate(*argument));
  if (arguments.more_positional) {
    const auto more = iterate(runtime, evaluate(*arguments.more_positional));
    runtime.work(more->items.size() * sizeof(Value));
    result.positional.insert(result.positional.end(), more->items.begin(), more->items.end());
  }
  if (arguments.more_named) {
    const Value more = evaluate(*arguments.more_named);
    if (!more.is_mapping()) runtime.fail("after ** comes a mapping, not '{}'", type_name(more));
    for (const auto& [name, value] : more.as_mapping().entries) {
      if (!name.is_text()) runtime.fail("the keys of a mapping after ** must be strings");
      runtime.step(1 + std::int64_t(result.named.size()));
      for (const auto& [other, given] : result.named) {
        if (other == name.as_text()) runtime.fail("the argument '{}' is given twice", other);
      }
      result.named.emplace_back(name.as_text(), value);
    }
  }
  return result;
}

Value Evaluator::optional_bound(const ExpressionPointer& bound) {
  return bound ? evaluate(*bound) : Value::none();
}

Value Evaluator::apply_link(const Value& value, const Link& link) {
  switch (link.kind) {
    case Link::Kind::attribute:
      return get_attribute(runtime, value, link.name);
    case Link::Kind::item: {
      const Value key = evaluate(*link.first);
      runtime.set_line(link.line);
      return get_item(runtime, value, key);
    }
    case Link::Kind::slice: {
      const Value first = optional_bound(link.first), last = optional_bound(link.last);
      const Value stride = optional_bound(link.stride);
      runtime.set_line(link.line);
      return get_slice(runtime, value, first, last, stride);
    }
    case Link::Kind::call:
    case Link::Kind::filter:
    case Link::Kind::test:
      break;
  }
  Arguments arguments = evaluate_arguments(link.arguments);
  runtime.set_line(link.line);
  if (link.kind == Link::Kind::call) return call(runtime, value, arguments);
  if (link.kind == Link::Kind::filter) return apply_filter(runtime, link.name, value, arguments);
  return Value::boolean(apply_test(runtime, link.name, value, arguments) != link.negated);
}

Value Evaluator::follow(Value value, const std::vector<Link>& links) {
  for (std::size_t i = 0; i < links.size(); ++i) {
    const Link& link = links[i];
    runtime.step();
    runtime.set_line(link.line);
    const bool calls_method = link.kind == Link::Kind::attribute && i + 1 < links.size() &&
                              links[i + 1].kind == Link::Kind::call && !value.is_object();
    if (!calls_method) {
      value = apply_link(value, link);
      continue;
    }
    // A method that is called at once need not become a value first.
    ++i;
    Arguments arguments = evaluate_arguments(links[i].arguments);
    runtime.set_line(link.line);
    if (auto result = call_method(runtime, value, link.name, arguments))
      value = std::move(*result);
    else
      value = call(runtime, get_attribute(runtime, value, link.name), arguments);
  }
  return value;
}

Value Evaluator::call_with_caller(const Chain& chain, Value caller) {
  Value callee = evaluate(*chain.base);
  for (std::size_t i = 0; i + 1 < chain.links.size(); ++i)
    callee = apply_link(callee, chain.links[i]);
  Arguments arguments = evaluate_arguments(chain.links.back().arguments);
  arguments.named.emplace_back("caller", std::move(caller));
  runtime.set_line(chain.line);
  return call(runtime, callee, arguments);
}

// ---- Expressions

Value Literal::evaluate(Evaluator&) const { return value; }

Value Name::evaluate(Evaluator& evaluator) const { return evaluator.lookup(name); }

Value ListDisplay::evaluate(Evaluator& evaluator) const {
  std::vector<Value> values;
  values.reserve(items.size());
  for (const auto& item : items) values.push_back(evaluator.evaluate(*item));
  return evaluator.runtime.list(std::move(values),
                                tuple ? Sequence::Kind::tuple : Sequence::Kind::list);
}

Value DictDisplay::evaluate(Evaluator& evaluator) const {
  MappingBuilder builder(evaluator.runtime);
  for (const auto& [key, value] : entries) {
    Value evaluated_key = evaluator.evaluate(*key);
    builder.set(std::move(evaluated_key), evaluator.evaluate(*value));
  }
  return evaluator.runtime.mapping(std::move(builder));
}

Value Chain::evaluate(Evaluator& evaluator) const {
  return evaluator.follow(evaluator.evaluate(*base), links);
}

Value Sign::evaluate(Evaluator& evaluator) const {
  const Value value = evaluator.evaluate(*operand);
  return negative ? negate(evaluator.runtime, value) : positive(evaluator.runtime, value);
}

Value Arithmetic::evaluate(Evaluator& evaluator) const {
  Value value = evaluator.evaluate(*first);
  for (const auto& [op, operand] : rest) {
    const Value right = evaluator.evaluate(*operand);
    evaluator.runtime.set_line(line);
    value = arithmetic(evaluator.runtime, op, value, right);
  }
  return value;
}

Value Concatenation::evaluate(Evaluator& evaluator) const {
  std::string text;
  for (const auto& operand : operands) {
    text += to_text(evaluator.runtime, evaluator.evaluate(*operand));
    evaluator.runtime.check_text_size(text.size());
  }
  return evaluator.runtime.text(std::move(text));
}

Value Comparison::evaluate(Evaluator& evaluator) const {
  Value left = evaluator.evaluate(*first);
  for (const auto& [relation, operand] : rest) {
    Value right = evaluator.evaluate(*operand);
    evaluator.runtime.set_line(line);
    if (!holds(evaluator.runtime, relation, left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Not::evaluate(Evaluator& evaluator) const {
  return Value::boolean(!truthy(evaluator.evaluate(*operand)));
}

Value Logical::evaluate(Evaluator& evaluator) const {
  Value value;
  for (const auto& operand : operands) {
    value = evaluator.evaluate(*operand);
    if (truthy(value) == any) break;
  }
  return value;
}

Value Conditional::evaluate(Evaluator& evaluator) const {
  if (truthy(evaluator.evaluate(*condition))) return evaluator.evaluate(*then_value);
  if (else_value) return evaluator.evaluate(*else_value);
  return evaluator.runtime.undefined(
      fmt::format("the condition on line {} is false and has no else", line));
}

}  // namespace isotope::text::jinja
