// What Python's operators, indexing and iteration do to values.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_value.h"

namespace isotope::text::jinja {

Value arithmetic(Runtime& runtime, Operator op, const Value& left, const Value& right);
Value negate(Runtime& runtime, const Value& value);
Value positive(Runtime& runtime, const Value& value);
bool holds(Runtime& runtime, Relation relation, const Value& left, const Value& right);
/// item in container
bool contains(Runtime& runtime, const Value& container, const Value& item);

/// Jinja's x.name: a method or attribute, or else the item of that name; undefined if there is
/// neither.
Value get_attribute(Runtime& runtime, const Value& object, const std::string& name);
/// Jinja's x[key]: the item, or else the attribute of that name.
Value get_item(Runtime& runtime, const Value& object, const Value& key);
Value get_slice(Runtime& runtime, const Value& object, const Value& first, const Value& last,
                const Value& stride);
/// One item as Python's x[index] for a sequence or text; negative numbers count from the end.
std::optional<Value> at_index(Runtime& runtime, const Value& object, std::int64_t index);

/// Length of a text, sequence, mapping; nullopt for what has none.
std::optional<std::int64_t> length(const Value& value);
/// What a for loop goes over. Errors: what Python cannot iterate.
std::shared_ptr<const Sequence> iterate(Runtime& runtime, const Value& value);
bool iterable(const Value& value);

/// str(value), of which markup stays markup.
Value soft_text(Runtime& runtime, const Value& value);
/// The text of `value` as it goes into markup: escaped unless it is markup itself.
std::string escaped(Runtime& runtime, const Value& value);
Value join(Runtime& runtime, const Value& separator, const std::vector<Value>& items);
/// At most `limit` times, unless it is negative.
Value replace_text(Runtime& runtime, const Value& text, std::string_view old,
                   std::string_view replacement, std::int64_t limit);

Value call(Runtime& runtime, const Value& callee, Arguments& arguments);

}  // namespace isotope::text::jinja
