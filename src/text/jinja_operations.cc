#include "text/jinja_operations.h"

#include <algorithm>

#include "text/jinja_methods.h"
#include "text/jinja_runtime.h"
#include "text/jinja_text.h"

namespace isotope::text::jinja {

bool holds(Runtime& runtime, Relation relation, const Value& left, const Value& right) {
  switch (relation) {
    case Relation::equal:
      return equal(runtime, left, right);
    case Relation::unequal:
      return !equal(runtime, left, right);
    case Relation::less:
      return less(runtime, left, right);
    case Relation::greater:
      return less(runtime, right, left);
    case Relation::less_equal:
      return less(runtime, left, right) || equal(runtime, left, right);
    case Relation::greater_equal:
      return less(runtime, right, left) || equal(runtime, left, right);
    case Relation::in:
      return contains(runtime, right, left);
    case Relation::not_in:
      return !contains(runtime, right, left);
  }
  return false;
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.is_text()) {
    if (!item.is_text())
      runtime.fail("'in <string>' needs a string on its left, not '{}'", type_name(item));
    runtime.work(container.as_text().size());
    return utf8::find(container.as_text(), item.as_text()) != std::string_view::npos;
  }
  if (container.is_mapping()) return container.as_mapping().find(runtime, item) != nullptr;
  const auto sequence = iterate(runtime, container);
  return std::any_of(sequence->items.begin(), sequence->items.end(),
                     [&](const Value& element) { return equal(runtime, element, item); });
}

std::optional<std::int64_t> length(const Value& value) {
  switch (value.type()) {
    case Value::Type::undefined:
      return 0;
    case Value::Type::text:
      return std::int64_t(utf8::code_point_count(value.as_text()));
    case Value::Type::mapping:
      return std::int64_t(value.as_mapping().entries.size());
    case Value::Type::sequence:
      if (value.as_sequence().kind == Sequence::Kind::generator) return std::nullopt;
      return std::int64_t(value.as_sequence().items.size());
    default:
      return std::nullopt;
  }
}

bool iterable(const Value& value) {
  return value.is_undefined() || value.is_text() || value.is_sequence() || value.is_mapping();
}

std::shared_ptr<const Sequence> iterate(Runtime& runtime, const Value& value) {
  if (value.is_sequence()) {
    runtime.step();
    return value.shared_sequence();
  }
  std::vector<Value> items;
  if (value.is_text()) {
    const std::string& text = value.as_text();
    runtime.check_count(utf8::code_point_count(text));
    for (const std::string_view character : utf8::characters(text))
      items.push_back(runtime.text(std::string(character), value.is_markup()));
  } else if (value.is_mapping()) {
    for (const auto& [key, member] : value.as_mapping().entries) items.push_back(key);
  } else if (!value.is_undefined()) {
    runtime.fail("'{}' object is not iterable", type_name(value));
  }
  return runtime.list(std::move(items)).shared_sequence();
}

std::optional<Value> at_index(Runtime& runtime, const Value& object, std::int64_t index) {
  if (object.is_text()) {
    const std::string& text = object.as_text();
    runtime.work(text.size());
    const auto size = std::int64_t(utf8::code_point_count(text));
    if (index < 0) index += size;
    if (index < 0 || index >= size) return std::nullopt;
    const std::size_t begin = utf8::byte_offset(text, std::size_t(index));
    std::size_t end = begin;
    utf8::next_code_point(text, end);
    return runtime.text(text.substr(begin, end - begin), object.is_markup());
  }
  if (!object.is_sequence() || !object.as_sequence().indexable()) return std::nullopt;
  const std::vector<Value>& items = object.as_sequence().items;
  const auto size = std::int64_t(items.size());
  if (index < 0) index += size;
  if (index < 0 || index >= size) return std::nullopt;
  return items[std::size_t(index)];
}

namespace {

/// The item of Python's object[key], if there is one.
std::optional<Value> find_item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_mapping()) {
    // A key that cannot be hashed is in no dict.
    if (key.is_sequence() || key.is_mapping()) return std::nullopt;
    const Value* found = object.as_mapping().find(runtime, key);
    return found ? std::optional(*found) : std::nullopt;
  }
  if (const auto index = key.integral()) return at_index(runtime, object, *index);
  return std::nullopt;
}

std::optional<Value> find_attribute(Runtime& runtime, const Value& object,
                                    const std::string& name) {
  if (object.is_object()) return object.as_object().attribute(runtime, name);
  return bound_method(runtime, object, name);
}

Value missing_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  return runtime.undefined(
      fmt::format("'{} object' has no attribute '{}'", type_name(object), name));
}

}  // namespace

Value get_attribute(Runtime& runtime, const Value& object, const std::string& name) {
  if (object.is_undefined()) runtime.fail_undefined(object);
  if (auto value = find_attribute(runtime, object, name)) return std::move(*value);
  if (is_mutating_method(object, name)) {
    return runtime.undefined(
        fmt::format("'{} object' cannot be changed, so '{}' is refused", type_name(object), name));
  }
  if (object.is_mapping()) {
    runtime.step();
    if (const Value* value = object.as_mapping().find(name)) return *value;
  }
  return missing_attribute(runtime, object, name);
}

Value get_item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) runtime.fail_undefined(object);
  if (auto value = find_item(runtime, object, key)) return std::move(*value);
  if (key.is_text()) {
    if (auto value = find_attribute(runtime, object, key.as_text())) return std::move(*value);
    return missing_attribute(runtime, object, key.as_text());
  }
  return runtime.undefined(fmt::format("'{} object' has no element {}", type_name(object),
                                       representation(runtime, key)));
}

namespace {

struct Slice {
  std::int64_t first, count, stride;
};

/// Python's slice.indices(), in numbers that cannot overflow: |bounds| <= size.
Slice resolve_slice(Runtime& runtime, std::int64_t size, const Value& first, const Value& last,
                    const Value& stride) {
  const auto bound = [&](const Value& value, std::int64_t fallback) -> std::int64_t {
    if (value.is_none()) return fallback;
    if (value.is_undefined()) runtime.fail_undefined(value);
    if (!value.integral()) runtime.fail("a slice needs integers, not '{}'", type_name(value));
    return *value.integral();
  };
  Slice slice{0, 0, bound(stride, 1)};
  if (slice.stride == 0) runtime.fail("the step of a slice cannot be zero");
  const bool backwards = slice.stride < 0;
  const std::int64_t lowest = backwards ? -1 : 0;
  const std::int64_t highest = backwards ? size - 1 : size;
  const auto clamp = [&](const Value& value, std::int64_t fallback) {
    std::int64_t position = bound(value, fallback);
    if (value.is_none()) return position;
    if (position < 0) position = position < -size ? lowest : position + size;
    return std::clamp(position, lowest, highest);
  };
  slice.first = clamp(first, backwards ? highest : lowest);
  const std::int64_t end = clamp(last, backwards ? lowest : highest);
  // A stride beyond the size takes one element, as any such stride does; and -stride must not
  // overflow.
  slice.stride = std::clamp(slice.stride, -size - 1, size + 1);
  const std::int64_t distance = backwards ? slice.first - end : end - slice.first;
  const std::int64_t pace = backwards ? -slice.stride : slice.stride;
  slice.count = distance > 0 ? (distance + pace - 1) / pace : 0;
  return slice;
}

Value slice_text(Runtime& runtime, const Value& object, const Slice& slice) {
  const std::string& text = object.as_text();
  if (slice.count == 0) return runtime.text({}, object.is_markup());
  if (slice.stride == 1) {
    const std::size_t begin = utf8::byte_offset(text, std::size_t(slice.first));
    const std::string_view tail = std::string_view(text).substr(begin);
    return runtime.text(
        std::string(tail.substr(0, utf8::byte_offset(tail, std::size_t(slice.count)))),
        object.is_markup());
  }
  runtime.check_count(text.size());
  const auto characters = utf8::characters(text);
  std::string result;
  for (std::int64_t i = 0; i < slice.count; ++i)
    result += characters[std::size_t(slice.first + i * slice.stride)];
  return runtime.text(std::move(result), object.is_markup());
}

}  // namespace

Value get_slice(Runtime& runtime, const Value& object, const Value& first, const Value& last,
                const Value& stride) {
  if (object.is_undefined()) runtime.fail_undefined(object);
  if (object.is_text()) {
    runtime.work(object.as_text().size());
    return slice_text(runtime, object,
                      resolve_slice(runtime, *length(object), first, last, stride));
  }
  if (!object.is_sequence() || !object.as_sequence().indexable())
    runtime.fail("'{}' object cannot be sliced", type_name(object));
  const Sequence& sequence = object.as_sequence();
  const Slice slice =
      resolve_slice(runtime, std::int64_t(sequence.items.size()), first, last, stride);
  std::vector<Value> items;
  items.reserve(std::size_t(slice.count));
  for (std::int64_t i = 0; i < slice.count; ++i)
    items.push_back(sequence.items[std::size_t(slice.first + i * slice.stride)]);
  return runtime.list(std::move(items), sequence.kind == Sequence::Kind::tuple
                                            ? Sequence::Kind::tuple
                                            : Sequence::Kind::list);
}

Value soft_text(Runtime& runtime, const Value& value) {
  return value.is_text() ? value : runtime.text(to_text(runtime, value));
}

std::string escaped(Runtime& runtime, const Value& value) {
  std::string text = to_text(runtime, value);
  if (value.is_markup()) return text;
  runtime.check_text_size(text.size());
  return utf8::escape_html(text);
}

Value join(Runtime& runtime, const Value& separator, const std::vector<Value>& items) {
  const bool markup = separator.is_markup();
  std::string result;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) result += separator.as_text();
    result += markup ? escaped(runtime, items[i]) : to_text(runtime, items[i]);
    runtime.step();
    runtime.check_text_size(result.size());
  }
  return runtime.text(std::move(result), markup);
}

Value replace_text(Runtime& runtime, const Value& text, std::string_view old,
                   std::string_view replacement, std::int64_t limit) {
  const std::string& whole = text.as_text();
  runtime.work(whole.size());
  std::size_t found = utf8::count(whole, old);
  if (limit >= 0) found = std::min(found, std::size_t(limit));
  if (replacement.size() > old.size()) {
    const std::size_t growth = replacement.size() - old.size();
    if (found > 0 && growth > (~std::size_t(0) - whole.size()) / found)
      runtime.fail("the replacement is too long");
    runtime.check_text_size(whole.size() + found * growth);
  }
  return runtime.text(utf8::replace(whole, old, replacement, limit), text.is_markup());
}

Value call(Runtime& runtime, const Value& callee, Arguments& arguments) {
  if (callee.is_undefined()) runtime.fail_undefined(callee);
  if (!callee.is_object()) runtime.fail("'{}' object is not callable", type_name(callee));
  return callee.as_object().call(runtime, arguments);
}

}  // namespace isotope::text::jinja
