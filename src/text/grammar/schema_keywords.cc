#include "text/grammar/schema_keywords.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "base/error.h"
#include "text/grammar/schema_merge.h"

namespace isotope::text {
namespace {

enum class Role {
  served,
  refused,
  refused_unless_false,
};

/// Keywords that restrict values, with the type that they speak of ("": any).
struct Keyword {
  std::string_view name, type;
  Role role = Role::served;
};

constexpr Keyword kKeywords[] = {
    {"$ref", ""},
    {"type", ""},
    {"nullable", ""},
    {"enum", ""},
    {"const", ""},
    {"allOf", ""},
    {"anyOf", ""},
    {"oneOf", ""},
    {"minimum", "number"},
    {"maximum", "number"},
    {"exclusiveMinimum", "number"},
    {"exclusiveMaximum", "number"},
    {"multipleOf", "number"},
    {"minLength", "string"},
    {"maxLength", "string"},
    {"pattern", "string"},
    {"format", ""},
    {"items", "array"},
    {"prefixItems", "array"},
    {"additionalItems", "array"},
    {"minItems", "array"},
    {"maxItems", "array"},
    {"uniqueItems", "array"},
    {"properties", "object"},
    {"required", "object"},
    {"additionalProperties", "object"},
    {"patternProperties", "object"},
    {"propertyNames", "object"},
    {"minProperties", "object"},
    {"maxProperties", "object"},
    {"not", "", Role::refused},
    {"if", "", Role::refused},
    {"then", "", Role::refused},
    {"else", "", Role::refused},
    {"$dynamicRef", "", Role::refused},
    {"$recursiveRef", "", Role::refused},
    {"contains", "array", Role::refused},
    {"minContains", "array", Role::refused},
    {"maxContains", "array", Role::refused},
    // What the schema does not name is never written, so that false changes nothing.
    {"unevaluatedItems", "array", Role::refused_unless_false},
    {"unevaluatedProperties", "object", Role::refused_unless_false},
    {"dependencies", "object", Role::refused},
    {"dependentRequired", "object", Role::refused},
    {"dependentSchemas", "object", Role::refused},
};

constexpr std::string_view kTypes[] = {"object",  "array",   "string", "number",
                                       "integer", "boolean", "null"};

const Keyword* find_keyword(std::string_view name) {
  const auto found = std::find_if(std::begin(kKeywords), std::end(kKeywords),
                                  [&](const Keyword& keyword) { return keyword.name == name; });
  return found == std::end(kKeywords) ? nullptr : found;
}

/// Whether values are written that the schema does not describe.
bool leaves_open(const json::object& schema, bool object) {
  if (!object) return !schema.contains("prefixItems") && !schema.contains("items");
  const json::value* additional = schema.if_contains("additionalProperties");
  return additional ? *additional != json::value(false) : !schema.contains("properties");
}

}  // namespace

bool restricts(std::string_view keyword) { return find_keyword(keyword) != nullptr; }

bool is_annotation(std::string_view keyword) { return !restricts(keyword); }

void check_keywords(const json::object& schema, const std::string& path) {
  for (const auto& [name, value] : schema) {
    const Keyword* keyword = find_keyword(name);
    if (!keyword || keyword->role == Role::served) continue;
    if (keyword->role == Role::refused_unless_false && value == json::value(false) &&
        !leaves_open(schema, keyword->type == "object"))
      continue;
    refuse_schema(path, fmt::format("the keyword {} is not supported", name));
  }
}

std::vector<std::string> types_of(const json::object& schema, const std::string& path) {
  std::vector<std::string> types;
  if (const json::value* type = schema.if_contains("type")) {
    const auto add = [&](const json::value& name) {
      const bool known = name.is_string() && std::find(std::begin(kTypes), std::end(kTypes),
                                                       name.get_string()) != std::end(kTypes);
      if (!known)
        broken_schema(path,
                      "type must name null, boolean, integer, number, string, array "
                      "or object, or list some of these");
      types.emplace_back(name.get_string());
    };
    if (type->is_array())
      for (const json::value& name : type->get_array()) add(name);
    else
      add(*type);
    return types;
  }
  std::set<std::string> spoken_of;
  for (const auto& [name, value] : schema)
    if (const Keyword* keyword = find_keyword(name); keyword && !keyword->type.empty())
      spoken_of.emplace(keyword->type);
  if (schema.contains("format") && spoken_of.empty()) spoken_of.insert("string");
  if (spoken_of.size() == 1) return {*spoken_of.begin()};
  return {"object", "array", "string", "number", "boolean", "null"};
}

bool has_type(const json::value& value, std::string_view type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_bool();
  if (type == "string") return value.is_string();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (type == "number" || !value.is_number()) return value.is_number();
  return !value.is_double() || value.get_double() == double(std::int64_t(value.get_double()));
}

}  // namespace isotope::text
