#include "text/jinja_value.h"

#include <boost/json/array.hpp>
#include <boost/json/string.hpp>
#include <cmath>
#include <functional>

#include "text/jinja_number.h"
#include "text/jinja_runtime.h"
#include "text/jinja_text.h"

namespace isotope::text::jinja {

Value Value::constant(std::string text) {
  return Value(std::make_shared<const Text>(std::move(text), false, nullptr, 0));
}

std::string_view Value::hint() const {
  const Hint* hint = std::get_if<Hint>(&data_);
  return hint && *hint ? std::string_view(**hint) : std::string_view();
}

std::optional<std::int64_t> Value::integral() const {
  if (is_integer()) return as_integer();
  if (is_boolean()) return as_boolean() ? 1 : 0;
  return std::nullopt;
}

std::optional<double> Value::number() const {
  if (is_real()) return as_real();
  if (auto value = integral()) return double(*value);
  return std::nullopt;
}

bool Value::same_as(const Value& other) const {
  if (type() != other.type()) return false;
  if (is_undefined()) return true;                     // as there is nothing to tell them apart by
  if (is_text()) return as_text() == other.as_text();  // Python shares equal short texts, too
  return data_ == other.data_;
}

// Small mappings, nearly all there are, are searched one by one; larger ones get an index.
constexpr std::size_t kUnindexedEntries = 8;

bool MappingBuilder::set(Value key, Value value) {
  const std::size_t key_hash = hash(runtime_, key);
  runtime_.step();
  if (entries_.size() < kUnindexedEntries) {
    for (auto& entry : entries_) {
      if (!equal(runtime_, entry.first, key)) continue;
      entry.second = std::move(value);
      return false;
    }
  } else {
    if (index_.empty()) {
      for (std::size_t i = 0; i < entries_.size(); ++i)
        index_.emplace(hash(runtime_, entries_[i].first), std::uint32_t(i));
    }
    const auto [begin, end] = index_.equal_range(key_hash);
    for (auto it = begin; it != end; ++it) {
      if (!equal(runtime_, entries_[it->second].first, key)) continue;
      entries_[it->second].second = std::move(value);
      return false;
    }
    index_.emplace(key_hash, std::uint32_t(entries_.size()));
  }
  runtime_.check_count(2 * entries_.size());
  entries_.emplace_back(std::move(key), std::move(value));
  return true;
}

const Value* Mapping::find(Runtime& runtime, const Value& key) const {
  const std::size_t key_hash = hash(runtime, key);
  if (index.empty()) {
    for (const auto& entry : entries) {
      if (equal(runtime, entry.first, key)) return &entry.second;
    }
    return nullptr;
  }
  const auto [begin, end] = index.equal_range(key_hash);
  for (auto it = begin; it != end; ++it) {
    if (equal(runtime, entries[it->second].first, key)) return &entries[it->second].second;
  }
  return nullptr;
}

const Value* Mapping::find(std::string_view key) const {
  const auto matches = [&](const Value& candidate) {
    return candidate.is_text() && candidate.as_text() == key;
  };
  if (index.empty()) {
    for (const auto& entry : entries) {
      if (matches(entry.first)) return &entry.second;
    }
    return nullptr;
  }
  const auto [begin, end] = index.equal_range(std::hash<std::string_view>()(key));
  for (auto it = begin; it != end; ++it) {
    if (matches(entries[it->second].first)) return &entries[it->second].second;
  }
  return nullptr;
}

std::string Object::description(Runtime&) const { return fmt::format("<{}>", type_name()); }

std::optional<Value> Object::attribute(Runtime&, std::string_view) { return std::nullopt; }

Value Object::call(Runtime& runtime, Arguments&) {
  runtime.fail("'{}' object is not callable", type_name());
}

std::string_view type_name(const Value& value) {
  switch (value.type()) {
    case Value::Type::undefined:
      return "Undefined";
    case Value::Type::none:
      return "NoneType";
    case Value::Type::boolean:
      return "bool";
    case Value::Type::integer:
      return "int";
    case Value::Type::real:
      return "float";
    case Value::Type::text:
      return value.is_markup() ? "Markup" : "str";
    case Value::Type::mapping:
      return "dict";
    case Value::Type::object:
      return value.as_object().type_name();
    case Value::Type::sequence:
      break;
  }
  switch (value.as_sequence().kind) {
    case Sequence::Kind::list:
      return "list";
    case Sequence::Kind::tuple:
      return "tuple";
    case Sequence::Kind::range:
      return "range";
    case Sequence::Kind::keys:
      return "dict_keys";
    case Sequence::Kind::values:
      return "dict_values";
    case Sequence::Kind::items:
      return "dict_items";
    case Sequence::Kind::generator:
      break;
  }
  return "generator";
}

bool truthy(const Value& value) {
  switch (value.type()) {
    case Value::Type::undefined:
    case Value::Type::none:
      return false;
    case Value::Type::boolean:
      return value.as_boolean();
    case Value::Type::integer:
      return value.as_integer() != 0;
    case Value::Type::real:
      return value.as_real() != 0;
    case Value::Type::text:
      return !value.as_text().empty();
    case Value::Type::sequence:
      return value.as_sequence().kind == Sequence::Kind::generator ||
             !value.as_sequence().items.empty();
    case Value::Type::mapping:
      return !value.as_mapping().entries.empty();
    case Value::Type::object:
      break;
  }
  return true;
}

namespace {

/// Exactly, where a conversion of the int to a double would round.
int compare_integer_with_real(std::int64_t left, double right) {
  if (right >= 0x1p63) return -1;
  if (right < -0x1p63) return 1;
  const double whole = std::floor(right);
  const auto as_integer = std::int64_t(whole);
  if (left != as_integer) return left < as_integer ? -1 : 1;
  return right > whole ? -1 : 0;
}

bool equal_numbers(const Value& left, const Value& right) {
  const auto a = left.integral(), b = right.integral();
  if (a && b) return *a == *b;
  if (a) return !std::isnan(right.as_real()) && compare_integer_with_real(*a, right.as_real()) == 0;
  if (b) return !std::isnan(left.as_real()) && compare_integer_with_real(*b, left.as_real()) == 0;
  return left.as_real() == right.as_real();
}

bool less_numbers(const Value& left, const Value& right) {
  const auto a = left.integral(), b = right.integral();
  if (a && b) return *a < *b;
  if (a) return !std::isnan(right.as_real()) && compare_integer_with_real(*a, right.as_real()) < 0;
  if (b) return !std::isnan(left.as_real()) && compare_integer_with_real(*b, left.as_real()) > 0;
  return left.as_real() < right.as_real();
}

bool equal_sequences(Runtime& runtime, const Sequence& left, const Sequence& right) {
  if (&left == &right) return true;
  if (left.kind != right.kind || left.items.size() != right.items.size()) return false;
  for (std::size_t i = 0; i < left.items.size(); ++i) {
    if (!equal(runtime, left.items[i], right.items[i])) return false;
  }
  return true;
}

bool equal_mappings(Runtime& runtime, const Mapping& left, const Mapping& right) {
  if (&left == &right) return true;
  if (left.entries.size() != right.entries.size()) return false;
  for (const auto& [key, value] : left.entries) {
    const Value* other = right.find(runtime, key);
    if (!other || !equal(runtime, value, *other)) return false;
  }
  return true;
}

/// Spreads integers, whose std::hash is the number itself, over the buckets of an index.
std::size_t integer_hash(std::int64_t value) {
  std::uint64_t bits = std::uint64_t(value) + 0x9E3779B97F4A7C15u;
  bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
  bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
  return bits ^ (bits >> 31);
}

}  // namespace

bool equal(Runtime& runtime, const Value& left, const Value& right) {
  runtime.step();
  if (left.is_number() && right.is_number()) return equal_numbers(left, right);
  if (left.type() != right.type()) return false;
  switch (left.type()) {
    case Value::Type::undefined:
    case Value::Type::none:
      return true;
    case Value::Type::text:
      runtime.work(left.as_text().size());
      return left.as_text() == right.as_text();
    case Value::Type::sequence:
      return equal_sequences(runtime, left.as_sequence(), right.as_sequence());
    case Value::Type::mapping:
      return equal_mappings(runtime, left.as_mapping(), right.as_mapping());
    default:
      return &left.as_object() == &right.as_object();
  }
}

bool less(Runtime& runtime, const Value& left, const Value& right) {
  runtime.step();
  if (left.is_undefined()) runtime.fail_undefined(left);
  if (right.is_undefined()) runtime.fail_undefined(right);
  if (left.is_number() && right.is_number()) return less_numbers(left, right);
  if (left.is_text() && right.is_text()) {
    runtime.work(left.as_text().size());
    return left.as_text() < right.as_text();  // UTF-8 sorts as its code points do
  }
  if (left.is_sequence() && right.is_sequence() &&
      left.as_sequence().kind == right.as_sequence().kind &&
      (left.as_sequence().kind == Sequence::Kind::list ||
       left.as_sequence().kind == Sequence::Kind::tuple)) {
    const auto& a = left.as_sequence().items;
    const auto& b = right.as_sequence().items;
    for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
      if (!equal(runtime, a[i], b[i])) return less(runtime, a[i], b[i]);
    }
    return a.size() < b.size();
  }
  runtime.fail("'{}' and '{}' have no order", type_name(left), type_name(right));
}

std::size_t hash(Runtime& runtime, const Value& value) {
  runtime.step();
  switch (value.type()) {
    case Value::Type::text:
      runtime.work(value.as_text().size());
      return std::hash<std::string_view>()(value.as_text());
    case Value::Type::boolean:
    case Value::Type::integer:
      return integer_hash(*value.integral());
    case Value::Type::real: {
      // Equal numbers have equal hashes whatever their type.
      const double real = value.as_real();
      if (std::floor(real) == real && std::fabs(real) < 0x1p63)
        return integer_hash(std::int64_t(real));
      return std::hash<double>()(real);
    }
    case Value::Type::sequence: {
      if (value.as_sequence().kind != Sequence::Kind::tuple) break;
      std::size_t result = 0;
      for (const Value& item : value.as_sequence().items)
        result = result * 1000003 + hash(runtime, item);
      return result;
    }
    case Value::Type::mapping:
      break;
    case Value::Type::object:
      return std::hash<const Object*>()(&value.as_object());
    default:
      return std::size_t(value.type());
  }
  runtime.fail("unhashable type: '{}'", type_name(value));
}

Value from_json(Runtime& runtime, const json::value& value) {
  runtime.step();
  switch (value.kind()) {
    case json::kind::null:
      return Value::none();
    case json::kind::bool_:
      return Value::boolean(value.get_bool());
    case json::kind::int64:
      return Value::integer(value.get_int64());
    case json::kind::uint64:
      return Value::real(double(value.get_uint64()));  // past 63 bits
    case json::kind::double_:
      return Value::real(value.get_double());
    case json::kind::string: {
      const std::string_view text = value.get_string();
      if (!utf8::valid_utf8(text)) runtime.fail("a text among the variables is not valid UTF-8");
      return runtime.text(std::string(text));
    }
    case json::kind::array: {
      const Runtime::Nested nested(runtime);
      std::vector<Value> items;
      items.reserve(value.get_array().size());
      for (const json::value& item : value.get_array()) items.push_back(from_json(runtime, item));
      return runtime.list(std::move(items));
    }
    case json::kind::object:
      break;
  }
  const Runtime::Nested nested(runtime);
  MappingBuilder builder(runtime);
  for (const auto& [key, member] : value.get_object()) {
    if (!utf8::valid_utf8(key)) runtime.fail("a name among the variables is not valid UTF-8");
    builder.set(runtime.text(std::string(key)), from_json(runtime, member));
  }
  return runtime.mapping(std::move(builder));
}

}  // namespace isotope::text::jinja
