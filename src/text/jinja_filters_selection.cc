// Filters that apply a filter or a test to every item: map, select, reject and those on attributes.
#include "text/jinja_attribute_path.h"
#include "text/jinja_builtin.h"
#include "text/jinja_operations.h"

namespace isotope::text::jinja {

namespace {

Value generator(BuiltinCall& call, std::vector<Value> items) {
  return call.runtime.list(std::move(items), Sequence::Kind::generator,
                           fmt::format("<generator object {}>", call.name));
}

const Value* take_named(Arguments& arguments, std::string_view name) {
  for (const auto& [given, value] : arguments.named) {
    if (given == name) return &value;
  }
  return nullptr;
}

Value map_attribute(BuiltinCall& call, const Value& attribute) {
  const Value* fallback = take_named(call.arguments, "default");
  if (call.arguments.named.size() > (fallback ? 2u : 1u))
    call.fail("takes no other named arguments with 'attribute'");
  const AttributePath path(call.runtime, attribute);
  std::vector<Value> result;
  const auto items = iterate(call.runtime, call.self);
  for (const Value& item : items->items) {
    result.push_back(fallback && !fallback->is_none() ? path.follow(call.runtime, item, *fallback)
                                                      : path.follow(call.runtime, item));
  }
  return generator(call, std::move(result));
}

/// The arguments from `first` on, for the filter or test that is applied.
Arguments remaining(const BuiltinCall& call, std::size_t first) {
  Arguments arguments;
  arguments.positional.assign(call.arguments.positional.begin() + std::ptrdiff_t(first),
                              call.arguments.positional.end());
  arguments.named = call.arguments.named;
  return arguments;
}

std::string name_argument(const BuiltinCall& call, std::size_t place) {
  const Value& name = call.arguments.positional[place];
  if (!name.is_text()) call.fail("argument {} must be a name in quotes", place + 1);
  return name.as_text();
}

Value filter_map(BuiltinCall& call) {
  if (call.arguments.positional.empty()) {
    if (const Value* attribute = take_named(call.arguments, "attribute"))
      return map_attribute(call, *attribute);
    call.fail("expected the name of a filter, or attribute=");
  }
  const std::string filter = name_argument(call, 0);
  Arguments arguments = remaining(call, 1);
  // A map that maps with map… calls itself as deep as it is written.
  const Runtime::Nested nested(call.runtime, Runtime::kLevelsPerCall);
  std::vector<Value> result;
  const auto items = iterate(call.runtime, call.self);
  for (const Value& item : items->items)
    result.push_back(apply_filter(call.runtime, filter, item, arguments));
  return generator(call, std::move(result));
}

template <bool by_attribute, bool wanted>
Value filter_select(BuiltinCall& call) {
  const std::size_t test_place = by_attribute ? 1 : 0;
  if (call.arguments.positional.size() < test_place) call.fail("expected the name of an attribute");
  AttributePath path;
  if (by_attribute) path = AttributePath(call.runtime, call.arguments.positional[0]);
  const bool has_test = call.arguments.positional.size() > test_place;
  const std::string test = has_test ? name_argument(call, test_place) : "";
  Arguments arguments;
  if (has_test) arguments = remaining(call, test_place + 1);
  std::vector<Value> result;
  const auto items = iterate(call.runtime, call.self);
  for (const Value& item : items->items) {
    const Value value = path.follow(call.runtime, item);
    const bool passes = has_test ? apply_test(call.runtime, test, value, arguments) : truthy(value);
    if (passes == wanted) result.push_back(item);
  }
  return generator(call, std::move(result));
}

constexpr Builtin kFilters[] = {
    {"map", "*", filter_map},
    {"reject", "*", filter_select<false, false>},
    {"rejectattr", "*", filter_select<true, false>},
    {"select", "*", filter_select<false, true>},
    {"selectattr", "*", filter_select<true, true>},
};

}  // namespace

std::span<const Builtin> selection_filters() { return kFilters; }

}  // namespace isotope::text::jinja
