#include <cmath>

#include "base/checked.h"
#include "text/jinja_format.h"
#include "text/jinja_operations.h"
#include "text/jinja_runtime.h"

namespace isotope::text::jinja {

namespace {

std::string_view symbol(Operator op) {
  switch (op) {
    case Operator::add:
      return "+";
    case Operator::subtract:
      return "-";
    case Operator::multiply:
      return "*";
    case Operator::divide:
      return "/";
    case Operator::floor_divide:
      return "//";
    case Operator::modulo:
      return "%";
    case Operator::power:
      return "**";
  }
  return "?";
}

/// Python's integers have no end, ours do: past 64 bits is an error, never a wrapped number.
Value checked(Runtime& runtime, Operator op, std::optional<std::int64_t> result) {
  if (!result) runtime.fail("the result of '{}' does not fit 64 bits", symbol(op));
  return Value::integer(*result);
}

std::optional<std::int64_t> try_power(std::int64_t base, std::int64_t exponent) {
  std::optional<std::int64_t> result = 1, square = base;
  while (exponent > 0) {
    if (exponent & 1) {
      if (!square || !(result = try_mul(*result, *square))) return std::nullopt;
    }
    exponent >>= 1;
    if (exponent > 0 && square) square = try_mul(*square, *square);
  }
  return result;
}

Value integer_arithmetic(Runtime& runtime, Operator op, std::int64_t a, std::int64_t b) {
  switch (op) {
    case Operator::add:
      return checked(runtime, op, try_add(a, b));
    case Operator::subtract: {
      std::int64_t result;
      if (__builtin_sub_overflow(a, b, &result)) return checked(runtime, op, std::nullopt);
      return Value::integer(result);
    }
    case Operator::multiply:
      return checked(runtime, op, try_mul(a, b));
    case Operator::power:
      if (b >= 0) return checked(runtime, op, try_power(a, b));
      if (a == 0) runtime.fail("zero has no negative power");
      return Value::real(std::pow(double(a), double(b)));
    default:
      break;
  }
  if (b == 0) runtime.fail("division by zero");
  if (op == Operator::divide) return Value::real(double(a) / double(b));
  if (b == -1) {
    // INT64_MIN / -1 overflows.
    if (op == Operator::modulo) return Value::integer(0);
    std::int64_t result;
    if (__builtin_sub_overflow(std::int64_t(0), a, &result))
      return checked(runtime, op, std::nullopt);
    return Value::integer(result);
  }
  // Python rounds down, C towards zero.
  const std::int64_t remainder = a % b;
  const bool adjust = remainder != 0 && (remainder < 0) != (b < 0);
  if (op == Operator::modulo) return Value::integer(adjust ? remainder + b : remainder);
  return Value::integer(a / b - (adjust ? 1 : 0));
}

Value real_arithmetic(Runtime& runtime, Operator op, double a, double b) {
  switch (op) {
    case Operator::add:
      return Value::real(a + b);
    case Operator::subtract:
      return Value::real(a - b);
    case Operator::multiply:
      return Value::real(a * b);
    case Operator::power:
      if (a == 0 && b < 0) runtime.fail("zero has no negative power");
      if (a < 0 && std::floor(b) != b) runtime.fail("the result of '**' is not a real number");
      return Value::real(std::pow(a, b));
    default:
      break;
  }
  if (b == 0) runtime.fail("division by zero");
  if (op == Operator::divide) return Value::real(a / b);
  double remainder = std::fmod(a, b);
  if (remainder != 0 && (remainder < 0) != (b < 0)) remainder += b;
  if (remainder == 0) remainder = std::copysign(0.0, b);
  if (op == Operator::modulo) return Value::real(remainder);
  return Value::real(std::floor((a - remainder) / b + 0.5));
}

Value add_texts(Runtime& runtime, const Value& left, const Value& right) {
  runtime.check_text_size(left.as_text().size() + right.as_text().size());
  if (left.is_markup() || right.is_markup())
    return runtime.text(escaped(runtime, left) + escaped(runtime, right), true);
  return runtime.text(left.as_text() + right.as_text());
}

bool is_list_or_tuple(const Value& value) {
  return value.is_sequence() && (value.as_sequence().kind == Sequence::Kind::list ||
                                 value.as_sequence().kind == Sequence::Kind::tuple);
}

Value add_sequences(Runtime& runtime, const Sequence& left, const Sequence& right) {
  runtime.check_count(left.items.size() + right.items.size());
  std::vector<Value> items;
  items.reserve(left.items.size() + right.items.size());
  items.insert(items.end(), left.items.begin(), left.items.end());
  items.insert(items.end(), right.items.begin(), right.items.end());
  return runtime.list(std::move(items), left.kind);
}

Value repeat(Runtime& runtime, const Value& value, std::int64_t count) {
  const std::size_t times = count > 0 ? std::size_t(count) : 0;
  const auto total = [&](std::size_t size) {
    const auto product = try_mul(size, times);
    return product ? *product : ~std::size_t(0);
  };
  if (value.is_text()) {
    const std::string& text = value.as_text();
    runtime.check_text_size(total(text.size()));
    std::string result;
    result.reserve(text.size() * times);
    for (std::size_t i = 0; !text.empty() && i < times; ++i) result += text;
    return runtime.text(std::move(result), value.is_markup());
  }
  const std::vector<Value>& once = value.as_sequence().items;
  runtime.check_count(total(once.size()));
  std::vector<Value> items;
  items.reserve(once.size() * times);
  for (std::size_t i = 0; !once.empty() && i < times; ++i)
    items.insert(items.end(), once.begin(), once.end());
  return runtime.list(std::move(items), value.as_sequence().kind);
}

}  // namespace

Value arithmetic(Runtime& runtime, Operator op, const Value& left, const Value& right) {
  if (left.is_undefined()) runtime.fail_undefined(left);
  if (op == Operator::modulo && left.is_text()) return format_percent(runtime, left, right);
  if (right.is_undefined()) runtime.fail_undefined(right);
  if (left.is_number() && right.is_number()) {
    const auto a = left.integral(), b = right.integral();
    if (a && b) return integer_arithmetic(runtime, op, *a, *b);
    return real_arithmetic(runtime, op, *left.number(), *right.number());
  }
  if (op == Operator::add) {
    if (left.is_text() && right.is_text()) return add_texts(runtime, left, right);
    if (is_list_or_tuple(left) && is_list_or_tuple(right) &&
        left.as_sequence().kind == right.as_sequence().kind)
      return add_sequences(runtime, left.as_sequence(), right.as_sequence());
  }
  if (op == Operator::multiply) {
    const auto repeatable = [](const Value& v) { return v.is_text() || is_list_or_tuple(v); };
    if (repeatable(left) && right.integral()) return repeat(runtime, left, *right.integral());
    if (repeatable(right) && left.integral()) return repeat(runtime, right, *left.integral());
  }
  runtime.fail("'{}' does not work on '{}' and '{}'", symbol(op), type_name(left),
               type_name(right));
}

Value negate(Runtime& runtime, const Value& value) {
  if (value.is_undefined()) runtime.fail_undefined(value);
  if (value.is_real()) return Value::real(-value.as_real());
  if (value.integral())
    return integer_arithmetic(runtime, Operator::subtract, 0, *value.integral());
  runtime.fail("'-' does not work on '{}'", type_name(value));
}

Value positive(Runtime& runtime, const Value& value) {
  if (value.is_undefined()) runtime.fail_undefined(value);
  if (value.is_real()) return value;
  if (value.integral()) return Value::integer(*value.integral());
  runtime.fail("'+' does not work on '{}'", type_name(value));
}

}  // namespace isotope::text::jinja
