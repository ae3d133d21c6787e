// Filters on numbers and on values of any type.
#include <cmath>

#include "text/jinja_builtin.h"
#include "text/jinja_number.h"
#include "text/jinja_operations.h"
#include "text/jinja_text.h"

namespace isotope::text::jinja {

namespace {

Value filter_default(BuiltinCall& call) {
  const bool replaced = call.self.is_undefined() || (call.flag(1, false) && !truthy(call.self));
  return replaced ? call.get(0, Value::constant("")) : call.self;
}

Value filter_abs(BuiltinCall& call) {
  if (call.self.is_real()) return Value::real(std::fabs(call.self.as_real()));
  const auto value = call.self.integral();
  if (!value) call.fail("expected a number, found '{}'", type_name(call.self));
  return *value < 0 ? negate(call.runtime, call.self) : Value::integer(*value);
}

Value filter_int(BuiltinCall& call) {
  if (call.self.is_undefined()) call.runtime.fail_undefined(call.self);
  const Value fallback = call.get(0, Value::integer(0));
  if (const auto value = call.self.integral()) return Value::integer(*value);
  std::optional<double> real;
  if (call.self.is_real()) {
    real = call.self.as_real();
  } else if (call.self.is_text()) {
    const std::int64_t base = call.integer(1, 10);
    if (const auto value =
            parse_integer(call.self.as_text(), base < 0 || base > 36 ? -1 : int(base)))
      return Value::integer(*value);
    real = parse_real(call.self.as_text());  // "42.23" is 42
  }
  if (!real || !std::isfinite(*real)) return fallback;
  const auto whole = truncate_real(*real);
  if (!whole) call.fail("{} does not fit 64 bits", *real);
  return Value::integer(*whole);
}

Value filter_float(BuiltinCall& call) {
  if (call.self.is_undefined()) call.runtime.fail_undefined(call.self);
  if (const auto value = call.self.number()) return Value::real(*value);
  if (call.self.is_text()) {
    if (const auto value = parse_real(call.self.as_text())) return Value::real(*value);
  }
  return call.get(0, Value::real(0));
}

/// Half to even on a whole number's decimal digits.
Value round_integer(BuiltinCall& call, std::int64_t value, std::int64_t digits) {
  if (digits >= 0) return Value::integer(value);
  if (digits < -18) return Value::integer(0);
  std::int64_t unit = 1;
  for (std::int64_t i = digits; i < 0; ++i) unit *= 10;
  std::int64_t below = value / unit * unit;
  if (below > value) below -= unit;
  const std::int64_t above_half = (value - below) - unit / 2;
  const bool up = above_half > 0 || (above_half == 0 && (below / unit) % 2 != 0);
  return arithmetic(call.runtime, Operator::add, Value::integer(below),
                    Value::integer(up ? unit : 0));
}

Value filter_round(BuiltinCall& call) {
  const std::string method = call.has(1) ? call.text(1) : "common";
  const std::int64_t digits = call.integer(0, 0);
  if (method != "common" && method != "ceil" && method != "floor")
    call.fail("the method must be 'common', 'ceil' or 'floor', not '{}'", method);
  if (call.self.is_undefined()) call.runtime.fail_undefined(call.self);
  if (!call.self.number()) call.fail("expected a number, found '{}'", type_name(call.self));
  if (method == "common") {
    if (const auto value = call.self.integral()) return round_integer(call, *value, digits);
    return Value::real(round_real(call.self.as_real(), digits));
  }
  const double unit = std::pow(10.0, double(digits));
  const double scaled = *call.self.number() * unit;
  return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

Value filter_tojson(BuiltinCall& call) {
  JsonStyle style;
  if (!call.is_none(1)) {
    style.item_separator = ",";
    if (call.at(1).is_text()) {
      style.indent = call.text(1);
    } else {
      const std::int64_t width = std::max<std::int64_t>(call.integer(1), 0);
      call.runtime.check_text_size(std::size_t(width));
      style.indent = std::string(std::size_t(width), ' ');
    }
  }
  if (!call.is_none(2)) {
    const auto separators = iterate(call.runtime, call.at(2));
    if (separators->items.size() != 2 || !separators->items[0].is_text() ||
        !separators->items[1].is_text())
      call.fail("the separators must be two strings");
    style.item_separator = separators->items[0].as_text();
    style.key_separator = separators->items[1].as_text();
  }
  style.ascii_only = call.flag(0, false);
  style.sorted_keys = call.flag(3, false);
  return call.runtime.text(to_json(call.runtime, call.self, style));
}

Value filter_attr(BuiltinCall& call) {
  const std::string name = to_text(call.runtime, call.at(0));
  if (call.self.is_undefined()) call.runtime.fail_undefined(call.self);
  if (!call.self.is_mapping()) return get_attribute(call.runtime, call.self, name);
  // Unlike x.name, this does not turn to the items of a dict.
  return call.runtime.undefined(fmt::format("'dict object' has no attribute '{}'", name));
}

constexpr Builtin kFilters[] = {
    {"abs", "", filter_abs},
    {"attr", "name", filter_attr},
    {"d", "default_value? boolean?", filter_default},
    {"default", "default_value? boolean?", filter_default},
    {"float", "default?", filter_float},
    {"int", "default? base?", filter_int},
    {"round", "precision? method?", filter_round},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", filter_tojson},
};

}  // namespace

std::span<const Builtin> value_filters() { return kFilters; }

}  // namespace isotope::text::jinja
