// The vocabulary of JSON Schema: what each keyword is to this program.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace isotope::text {

/// Says nothing about which values are valid.
bool is_annotation(std::string_view keyword);
/// A keyword of the standard that narrows which values are valid.
bool restricts(std::string_view keyword);
/// Refuses keywords that restrict values and are not served. Words that the standard does not know
/// are remarks.
void check_keywords(const json::object& schema, const std::string& path);

/// The values of "type"; without it, the one type that the other keywords speak of, or all types.
std::vector<std::string> types_of(const json::object& schema, const std::string& path);
bool has_type(const json::value& value, std::string_view type);

}  // namespace isotope::text
