#include "text/jinja_builtin.h"

namespace isotope::text::jinja {

std::int64_t BuiltinCall::integer(std::size_t parameter) const {
  const Value& value = at(parameter);
  if (value.is_undefined()) runtime.fail_undefined(value);
  if (!value.integral())
    fail("argument {} is a '{}', expected an integer", parameter + 1, type_name(value));
  return *value.integral();
}

std::int64_t BuiltinCall::integer(std::size_t parameter, std::int64_t fallback) const {
  return has(parameter) ? integer(parameter) : fallback;
}

const std::string& BuiltinCall::text(std::size_t parameter) const {
  const Value& value = at(parameter);
  if (value.is_undefined()) runtime.fail_undefined(value);
  if (!value.is_text())
    fail("argument {} is a '{}', expected a string", parameter + 1, type_name(value));
  return value.as_text();
}

namespace {

/// Takes the first name off a list of parameters.
std::string_view next_parameter(std::string_view& parameters) {
  const std::size_t end = std::min(parameters.find(' '), parameters.size());
  const std::string_view parameter = parameters.substr(0, end);
  parameters.remove_prefix(std::min(end + 1, parameters.size()));
  return parameter;
}

const Value* find_named(const Arguments& arguments, std::string_view name) {
  for (const auto& [given, value] : arguments.named) {
    if (given == name) return &value;
  }
  return nullptr;
}

void bind(BuiltinCall& call, std::string_view parameters) {
  const Arguments& given = call.arguments;
  std::size_t named = 0;
  if (parameters.starts_with("/ ")) {
    if (!given.named.empty()) call.fail("takes no named arguments");
    parameters.remove_prefix(2);
  }
  while (!parameters.empty()) {
    std::string_view name = next_parameter(parameters);
    if (name == "*") return;
    const bool optional = name.ends_with('?');
    if (optional) name.remove_suffix(1);
    const std::size_t place = call.bound.size();
    const Value* by_name = find_named(given, name);
    const Value* by_place = place < given.positional.size() ? &given.positional[place] : nullptr;
    if (by_name && by_place) call.fail("the argument '{}' is given twice", name);
    if (!by_name && !by_place && !optional) call.fail("the argument '{}' is missing", name);
    named += by_name ? 1 : 0;
    call.bound.push_back(by_place ? by_place : by_name);
  }
  if (given.positional.size() > call.bound.size())
    call.fail("{} arguments are given, at most {} are expected", given.positional.size(),
              call.bound.size());
  if (given.named.size() > named) call.fail("unexpected argument '{}'", given.named.back().first);
}

}  // namespace

Value invoke(Runtime& runtime, const Builtin& builtin, const Value& self, Arguments& arguments) {
  runtime.step();
  BuiltinCall call(runtime, builtin.name, self, arguments);
  bind(call, builtin.parameters);
  return builtin.function(call);
}

BuiltinTable::BuiltinTable(std::initializer_list<std::span<const Builtin>> parts) {
  for (const auto part : parts) {
    for (const Builtin& builtin : part) builtins_.emplace(builtin.name, &builtin);
  }
}

const Builtin* BuiltinTable::find(std::string_view name) const {
  const auto found = builtins_.find(name);
  return found == builtins_.end() ? nullptr : found->second;
}

const Builtin* find_filter(std::string_view name) {
  static const BuiltinTable table = {text_filters(), value_filters(), sequence_filters(),
                                     selection_filters()};
  return table.find(name);
}

Value apply_filter(Runtime& runtime, std::string_view name, const Value& value,
                   Arguments& arguments) {
  const Builtin* filter = find_filter(name);
  if (!filter) runtime.fail("there is no filter named '{}'", name);
  return invoke(runtime, *filter, value, arguments);
}

bool apply_test(Runtime& runtime, std::string_view name, const Value& value, Arguments& arguments) {
  const Builtin* test = find_test(name);
  if (!test) runtime.fail("there is no test named '{}'", name);
  return truthy(invoke(runtime, *test, value, arguments));
}

}  // namespace isotope::text::jinja
