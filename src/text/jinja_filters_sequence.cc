// Filters on what can be iterated, as a whole: sorting, joining, counting.
#include <algorithm>

#include "text/jinja_attribute_path.h"
#include "text/jinja_builtin.h"
#include "text/jinja_operations.h"
#include "text/jinja_text.h"

namespace isotope::text::jinja {

AttributePath::AttributePath(Runtime& runtime, const Value& attribute) {
  if (attribute.is_none()) return;
  if (!attribute.is_text()) {
    parts_.push_back(attribute);
    return;
  }
  runtime.work(attribute.as_text().size());
  for (const std::string_view part : utf8::split(attribute.as_text(), ".", -1)) {
    const bool index = part.size() < 18 && !part.empty() &&
                       part.find_first_not_of("0123456789") == std::string_view::npos;
    parts_.push_back(index ? Value::integer(std::stoll(std::string(part)))
                           : runtime.text(std::string(part)));
  }
}

Value AttributePath::follow(Runtime& runtime, Value value) const {
  for (const Value& part : parts_) value = get_item(runtime, value, part);
  return value;
}

Value AttributePath::follow(Runtime& runtime, Value value, const Value& fallback) const {
  for (const Value& part : parts_) {
    value = get_item(runtime, value, part);
    if (value.is_undefined()) value = fallback;
  }
  return value;
}

namespace {

/// Texts compare without regard to case, unless asked otherwise.
Value sort_key(Runtime& runtime, Value value, bool case_sensitive) {
  if (case_sensitive || !value.is_text()) return value;
  runtime.work(4 * value.as_text().size());
  return runtime.text(utf8::lower(value.as_text()));
}

/// Sorts `items` by `keys`; those with equal keys stay in their order.
std::vector<Value> sorted_by(Runtime& runtime, const std::vector<Value>& items,
                             const std::vector<Value>& keys, bool reverse) {
  std::vector<std::size_t> order(items.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return reverse ? less(runtime, keys[b], keys[a]) : less(runtime, keys[a], keys[b]);
  });
  std::vector<Value> result;
  result.reserve(items.size());
  for (const std::size_t place : order) result.push_back(items[place]);
  return result;
}

Value filter_sort(BuiltinCall& call) {
  Runtime& runtime = call.runtime;
  const auto items = iterate(runtime, call.self);
  const bool case_sensitive = call.flag(1, false);
  // "age,name" sorts by two attributes.
  std::vector<AttributePath> paths;
  if (!call.is_none(2) && call.at(2).is_text()) {
    for (const std::string_view part : utf8::split(call.text(2), ",", -1))
      paths.emplace_back(runtime, runtime.text(std::string(part)));
  } else {
    paths.emplace_back(runtime, call.get(2, Value::none()));
  }
  std::vector<Value> keys;
  keys.reserve(items->items.size());
  for (const Value& item : items->items) {
    std::vector<Value> key;
    for (const AttributePath& path : paths)
      key.push_back(sort_key(runtime, path.follow(runtime, item), case_sensitive));
    keys.push_back(runtime.list(std::move(key)));
  }
  return runtime.list(sorted_by(runtime, items->items, keys, call.flag(0, false)));
}

Value filter_dictsort(BuiltinCall& call) {
  Runtime& runtime = call.runtime;
  if (call.self.is_undefined()) runtime.fail_undefined(call.self);
  if (!call.self.is_mapping()) call.fail("expected a dict, found '{}'", type_name(call.self));
  const std::string by = call.has(1) ? call.text(1) : "key";
  if (by != "key" && by != "value") call.fail("sorts by 'key' or 'value', not '{}'", by);
  std::vector<Value> items, keys;
  for (const auto& [key, value] : call.self.as_mapping().entries) {
    items.push_back(runtime.pair(key, value));
    keys.push_back(sort_key(runtime, by == "key" ? key : value, call.flag(0, false)));
  }
  return runtime.list(sorted_by(runtime, items, keys, call.flag(2, false)));
}

Value filter_unique(BuiltinCall& call) {
  Runtime& runtime = call.runtime;
  const AttributePath path(runtime, call.get(1, Value::none()));
  MappingBuilder seen(runtime);
  std::vector<Value> result;
  const auto items = iterate(runtime, call.self);
  for (const Value& item : items->items) {
    Value key = sort_key(runtime, path.follow(runtime, item), call.flag(0, false));
    if (seen.set(std::move(key), Value::none())) result.push_back(item);
  }
  return runtime.list(std::move(result), Sequence::Kind::generator, "<generator object unique>");
}

template <bool largest>
Value filter_extreme(BuiltinCall& call) {
  Runtime& runtime = call.runtime;
  const AttributePath path(runtime, call.get(1, Value::none()));
  const auto items = iterate(runtime, call.self);
  if (items->items.empty()) return runtime.undefined("No aggregated item, sequence was empty.");
  const auto key_of = [&](const Value& item) {
    return sort_key(runtime, path.follow(runtime, item), call.flag(0, false));
  };
  const Value* best = &items->items[0];
  Value best_key = key_of(*best);
  for (std::size_t i = 1; i < items->items.size(); ++i) {
    Value key = key_of(items->items[i]);
    if (largest ? !less(runtime, best_key, key) : !less(runtime, key, best_key)) continue;
    best = &items->items[i];
    best_key = std::move(key);
  }
  return *best;
}

Value filter_sum(BuiltinCall& call) {
  Runtime& runtime = call.runtime;
  const AttributePath path(runtime, call.get(0, Value::none()));
  Value total = call.get(1, Value::integer(0));
  if (total.is_text()) call.fail("strings are joined with 'join'");
  const auto items = iterate(runtime, call.self);
  for (const Value& item : items->items)
    total = arithmetic(runtime, Operator::add, total, path.follow(runtime, item));
  return total;
}

Value filter_length(BuiltinCall& call) {
  const auto size = length(call.self);
  if (!size) call.fail("an object of type '{}' has no length", type_name(call.self));
  return Value::integer(*size);
}

Value filter_list(BuiltinCall& call) {
  const auto items = iterate(call.runtime, call.self);
  return call.runtime.list(items->items);
}

Value filter_join(BuiltinCall& call) {
  Runtime& runtime = call.runtime;
  const Value separator = runtime.text(to_text(runtime, call.get(0, Value::constant(""))));
  const auto items = iterate(runtime, call.self);
  if (call.is_none(1)) return join(runtime, separator, items->items);
  const AttributePath path(runtime, call.at(1));
  std::vector<Value> attributes;
  for (const Value& item : items->items) attributes.push_back(path.follow(runtime, item));
  return join(runtime, separator, attributes);
}

Value filter_first(BuiltinCall& call) {
  const auto items = iterate(call.runtime, call.self);
  if (!items->items.empty()) return items->items.front();
  return call.runtime.undefined("No first item, sequence was empty.");
}

Value filter_last(BuiltinCall& call) {
  if (call.self.is_sequence() && call.self.as_sequence().kind == Sequence::Kind::generator)
    call.fail("'generator' object is not reversible");
  const auto items = iterate(call.runtime, call.self);
  if (!items->items.empty()) return items->items.back();
  return call.runtime.undefined("No last item, sequence was empty.");
}

Value filter_reverse(BuiltinCall& call) {
  if (call.self.is_text()) {
    call.runtime.work(call.self.as_text().size());
    return call.runtime.text(utf8::reversed(call.self.as_text()), call.self.is_markup());
  }
  std::vector<Value> items = iterate(call.runtime, call.self)->items;
  std::reverse(items.begin(), items.end());
  return call.runtime.list(std::move(items), Sequence::Kind::generator,
                           "<list_reverseiterator object>");
}

Value filter_items(BuiltinCall& call) {
  std::vector<Value> pairs;
  if (call.self.is_mapping()) {
    for (const auto& [key, value] : call.self.as_mapping().entries)
      pairs.push_back(call.runtime.pair(key, value));
  } else if (!call.self.is_undefined()) {
    call.fail("expected a mapping, found '{}'", type_name(call.self));
  }
  return call.runtime.list(std::move(pairs), Sequence::Kind::generator, "<generator object items>");
}

Value filter_batch(BuiltinCall& call) {
  const std::int64_t size = call.integer(0);
  std::vector<Value> batches, batch;
  const auto flush = [&] {
    batches.push_back(call.runtime.list(std::move(batch)));
    batch.clear();
  };
  const auto items = iterate(call.runtime, call.self);
  for (const Value& item : items->items) {
    if (std::int64_t(batch.size()) == size) flush();
    batch.push_back(item);
  }
  if (!batch.empty()) {
    if (!call.is_none(1) && std::int64_t(batch.size()) < size) {
      call.runtime.check_count(std::size_t(size));
      batch.resize(std::size_t(size), call.at(1));
    }
    flush();
  }
  return call.runtime.list(std::move(batches), Sequence::Kind::generator,
                           "<generator object batch>");
}

Value filter_slice(BuiltinCall& call) {
  const std::int64_t slices = call.integer(0);
  if (slices == 0) call.fail("division by zero");
  const auto items = iterate(call.runtime, call.self);
  const auto size = std::int64_t(items->items.size());
  std::vector<Value> result;
  std::int64_t begin = 0;
  for (std::int64_t i = 0; i < slices; ++i) {
    const bool longer = i < size % slices;
    const std::int64_t end = begin + size / slices + (longer ? 1 : 0);
    std::vector<Value> part(items->items.begin() + begin, items->items.begin() + end);
    if (!call.is_none(1) && !longer) part.push_back(call.at(1));
    result.push_back(call.runtime.list(std::move(part)));
    begin = end;
  }
  return call.runtime.list(std::move(result), Sequence::Kind::generator,
                           "<generator object slice>");
}

constexpr Builtin kFilters[] = {
    {"batch", "linecount fill_with?", filter_batch},
    {"count", "", filter_length},
    {"dictsort", "case_sensitive? by? reverse?", filter_dictsort},
    {"first", "", filter_first},
    {"items", "", filter_items},
    {"join", "d? attribute?", filter_join},
    {"last", "", filter_last},
    {"length", "", filter_length},
    {"list", "", filter_list},
    {"max", "case_sensitive? attribute?", filter_extreme<true>},
    {"min", "case_sensitive? attribute?", filter_extreme<false>},
    {"reverse", "", filter_reverse},
    {"slice", "slices fill_with?", filter_slice},
    {"sort", "reverse? case_sensitive? attribute?", filter_sort},
    {"sum", "attribute? start?", filter_sum},
    {"unique", "case_sensitive? attribute?", filter_unique},
};

}  // namespace

std::span<const Builtin> sequence_filters() { return kFilters; }

}  // namespace isotope::text::jinja
