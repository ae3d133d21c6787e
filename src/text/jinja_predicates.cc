// The tests of `x is test`.
#include <cmath>

#include "text/jinja_builtin.h"
#include "text/jinja_operations.h"
#include "text/jinja_text.h"

namespace isotope::text::jinja {

namespace {

template <typename Predicate>
Value answer(Predicate&& predicate) {
  return Value::boolean(predicate());
}

bool remainder_is(BuiltinCall& call, const Value& divisor, std::int64_t remainder) {
  if (call.self.is_text()) call.fail("'str' has no remainder");
  const Value result = arithmetic(call.runtime, Operator::modulo, call.self, divisor);
  return equal(call.runtime, result, Value::integer(remainder));
}

template <Relation relation>
Value test_relation(BuiltinCall& call) {
  return Value::boolean(holds(call.runtime, relation, call.self, call.at(0)));
}

/// Has a length and items: texts and dicts too.
bool is_sequence(const Value& value) {
  return value.is_undefined() || value.is_text() || value.is_mapping() ||
         (value.is_sequence() && value.as_sequence().indexable());
}

// What takes nothing but the value.
template <bool (*predicate)(const Value&)>
Value test_value(BuiltinCall& call) {
  return Value::boolean(predicate(call.self));
}

constexpr Builtin kTests[] = {
    {"defined", "", test_value<[](const Value& v) { return !v.is_undefined(); }>},
    {"undefined", "", test_value<[](const Value& v) { return v.is_undefined(); }>},
    {"none", "", test_value<[](const Value& v) { return v.is_none(); }>},
    {"boolean", "", test_value<[](const Value& v) { return v.is_boolean(); }>},
    {"true", "", test_value<[](const Value& v) { return v.is_boolean() && v.as_boolean(); }>},
    {"false", "", test_value<[](const Value& v) { return v.is_boolean() && !v.as_boolean(); }>},
    {"integer", "", test_value<[](const Value& v) { return v.is_integer(); }>},
    {"float", "", test_value<[](const Value& v) { return v.is_real(); }>},
    {"number", "", test_value<[](const Value& v) { return v.is_number(); }>},
    {"string", "", test_value<[](const Value& v) { return v.is_text(); }>},
    {"escaped", "", test_value<[](const Value& v) { return v.is_markup(); }>},
    {"mapping", "", test_value<[](const Value& v) { return v.is_mapping(); }>},
    {"sequence", "", test_value<is_sequence>},
    {"iterable", "", test_value<iterable>},
    {"callable", "",
     // Python's Undefined can be called, if only to fail.
     test_value<[](const Value& v) {
       return v.is_undefined() || (v.is_object() && v.as_object().callable());
     }>},
    {"odd", "",
     [](BuiltinCall& call) {
       return answer([&] { return remainder_is(call, Value::integer(2), 1); });
     }},
    {"even", "",
     [](BuiltinCall& call) {
       return answer([&] { return remainder_is(call, Value::integer(2), 0); });
     }},
    {"divisibleby", "num",
     [](BuiltinCall& call) { return answer([&] { return remainder_is(call, call.at(0), 0); }); }},
    {"lower", "",
     [](BuiltinCall& call) {
       return answer([&] { return utf8::all_lower(to_text(call.runtime, call.self)); });
     }},
    {"upper", "",
     [](BuiltinCall& call) {
       return answer([&] { return utf8::all_upper(to_text(call.runtime, call.self)); });
     }},
    {"in", "seq",
     [](BuiltinCall& call) {
       return answer([&] { return contains(call.runtime, call.at(0), call.self); });
     }},
    {"sameas", "other",
     [](BuiltinCall& call) { return answer([&] { return call.self.same_as(call.at(0)); }); }},
    {"filter", "",
     [](BuiltinCall& call) {
       return answer([&] { return call.self.is_text() && find_filter(call.self.as_text()); });
     }},
    {"test", "",
     [](BuiltinCall& call) {
       return answer([&] { return call.self.is_text() && find_test(call.self.as_text()); });
     }},
    {"eq", "b", test_relation<Relation::equal>},
    {"equalto", "b", test_relation<Relation::equal>},
    {"==", "b", test_relation<Relation::equal>},
    {"ne", "b", test_relation<Relation::unequal>},
    {"!=", "b", test_relation<Relation::unequal>},
    {"lt", "b", test_relation<Relation::less>},
    {"lessthan", "b", test_relation<Relation::less>},
    {"<", "b", test_relation<Relation::less>},
    {"le", "b", test_relation<Relation::less_equal>},
    {"<=", "b", test_relation<Relation::less_equal>},
    {"gt", "b", test_relation<Relation::greater>},
    {"greaterthan", "b", test_relation<Relation::greater>},
    {">", "b", test_relation<Relation::greater>},
    {"ge", "b", test_relation<Relation::greater_equal>},
    {">=", "b", test_relation<Relation::greater_equal>},
};

}  // namespace

const Builtin* find_test(std::string_view name) {
  static const BuiltinTable table = {std::span(kTests)};
  return table.find(name);
}

}  // namespace isotope::text::jinja
