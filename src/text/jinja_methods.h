// The methods of Python's str, dict, list and tuple that change nothing.
#pragma once

#include <optional>
#include <string_view>

#include "text/jinja_value.h"

namespace isotope::text::jinja {

/// object.name(arguments), or nullopt if its type has no such method.
std::optional<Value> call_method(Runtime& runtime, const Value& object, std::string_view name,
                                 Arguments& arguments);
/// object.name as a value.
std::optional<Value> bound_method(Runtime& runtime, const Value& object, std::string_view name);
/// Such as list.append, which Python has and a template may not use.
bool is_mutating_method(const Value& object, std::string_view name);

}  // namespace isotope::text::jinja
