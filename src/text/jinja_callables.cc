// Macros and `loop`: the objects that statements make.
#include <algorithm>

#include "text/jinja_builtin.h"
#include "text/jinja_evaluator.h"
#include "text/jinja_operations.h"

namespace isotope::text::jinja {

std::string MacroObject::description(Runtime&) const {
  return definition_.name.empty() ? "<Macro anonymous>"
                                  : fmt::format("<Macro '{}'>", definition_.name);
}

std::optional<Value> MacroObject::attribute(Runtime& runtime, std::string_view name) {
  if (name == "name") return runtime.text(definition_.name);
  return std::nullopt;
}

Value MacroObject::call(Runtime& runtime, Arguments& arguments) {
  const Runtime::Nested nested(runtime);
  const auto inner = std::make_shared<Scope>(runtime, scope_);
  const Evaluator::InScope in_scope(evaluator_, inner);
  bind(runtime, arguments, *inner);
  Output out(runtime);
  evaluator_.run(definition_.body, out);
  return out.value();
}

void MacroObject::bind(Runtime& runtime, Arguments& arguments, Scope& scope) {
  auto& named = arguments.named;
  const auto take_named = [&](std::string_view name) -> std::optional<Value> {
    const auto found = std::find_if(named.begin(), named.end(),
                                    [&](const auto& argument) { return argument.first == name; });
    if (found == named.end()) return std::nullopt;
    Value value = std::move(found->second);
    named.erase(found);
    return value;
  };
  const auto& parameters = definition_.parameters;
  bool declares_caller = false;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const std::string& name = parameters[i].name;
    declares_caller = declares_caller || name == "caller";
    if (i < arguments.positional.size()) {
      scope.set(name, arguments.positional[i]);
    } else if (auto value = take_named(name)) {
      scope.set(name, std::move(*value));
    } else if (parameters[i].fallback) {
      scope.set(name, evaluator_.evaluate(*parameters[i].fallback));
    } else {
      scope.set(name, runtime.undefined(fmt::format("parameter '{}' was not provided", name)));
    }
  }
  if (definition_.uses_caller && !declares_caller) {
    auto caller = take_named("caller");
    scope.set("caller", caller ? std::move(*caller) : runtime.undefined("No caller defined"));
  }
  if (definition_.uses_kwargs) {
    MappingBuilder rest(runtime);
    for (const auto& [name, value] : named) rest.set(runtime.text(name), value);
    scope.set("kwargs", runtime.mapping(std::move(rest)));
  } else if (!named.empty()) {
    runtime.fail("macro '{}' takes no argument named '{}'", definition_.name, named[0].first);
  }
  const std::size_t taken = std::min(parameters.size(), arguments.positional.size());
  if (definition_.uses_varargs) {
    std::vector<Value> rest(arguments.positional.begin() + std::ptrdiff_t(taken),
                            arguments.positional.end());
    scope.set("varargs", runtime.list(std::move(rest), Sequence::Kind::tuple));
  } else if (taken < arguments.positional.size()) {
    runtime.fail("macro '{}' takes at most {} arguments, {} are given", definition_.name,
                 parameters.size(), arguments.positional.size());
  }
}

namespace {

LoopObject& loop_of(BuiltinCall& call) { return static_cast<LoopObject&>(call.self.as_object()); }

constexpr Builtin kCycle = {"cycle", "*", [](BuiltinCall& call) {
                              if (call.arguments.positional.empty())
                                call.fail("no items for cycling given");
                              return loop_of(call).cycle(call.arguments.positional);
                            }};
constexpr Builtin kChanged = {
    "changed", "*", [](BuiltinCall& call) {
      return Value::boolean(loop_of(call).changed(call.runtime, call.arguments.positional));
    }};

}  // namespace

std::optional<Value> LoopObject::attribute(Runtime& runtime, std::string_view name) {
  const auto index = std::int64_t(index_), size = std::int64_t(items_->items.size());
  const auto item_at = [&](std::int64_t place) {
    if (place < 0 || place >= size) return runtime.undefined("there is no such item");
    return items_->items[std::size_t(place)];
  };
  if (name == "index") return Value::integer(index + 1);
  if (name == "index0") return Value::integer(index);
  if (name == "revindex") return Value::integer(size - index);
  if (name == "revindex0") return Value::integer(size - index - 1);
  if (name == "first") return Value::boolean(index == 0);
  if (name == "last") return Value::boolean(index + 1 == size);
  if (name == "length") return Value::integer(size);
  if (name == "depth") return Value::integer(depth_);
  if (name == "depth0") return Value::integer(depth_ - 1);
  if (name == "previtem") return item_at(index - 1);
  if (name == "nextitem") return item_at(index + 1);
  if (name == "cycle") return runtime.create<BuiltinObject>(kCycle, Value::object(this));
  if (name == "changed") return runtime.create<BuiltinObject>(kChanged, Value::object(this));
  return std::nullopt;
}

Value LoopObject::cycle(const std::vector<Value>& values) const {
  return values[index_ % values.size()];
}

bool LoopObject::changed(Runtime& runtime, const std::vector<Value>& values) {
  const bool same =
      last_changed_ && last_changed_->size() == values.size() &&
      std::equal(values.begin(), values.end(), last_changed_->begin(),
                 [&](const Value& a, const Value& b) { return equal(runtime, a, b); });
  if (!same) last_changed_ = values;
  return !same;
}

Value LoopObject::call(Runtime& runtime, Arguments& arguments) {
  if (!statement_.recursive) runtime.fail("only a loop marked 'recursive' can be called");
  if (arguments.positional.size() != 1 || !arguments.named.empty())
    runtime.fail("a loop is called with one argument: what to go over");
  const Evaluator::InScope in_scope(evaluator_, outer_);
  Output out(runtime);
  run_loop(evaluator_, statement_, arguments.positional[0], depth_ + 1, out);
  return out.value();
}

}  // namespace isotope::text::jinja
