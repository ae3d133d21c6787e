#include "text/grammar/schema_overlap.h"

#include <algorithm>
#include <set>
#include <string>

#include "base/error.h"
#include "text/grammar/schema_merge.h"

namespace isotope::text {
namespace {

std::string type_of(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "boolean";
    case json::kind::string:
      return "string";
    case json::kind::array:
      return "array";
    case json::kind::object:
      return "object";
    default:
      return "number";
  }
}

/// Integers count as numbers. Empty: any.
std::set<std::string> types_of(const json::object& schema) {
  std::set<std::string> types;
  if (const json::value* values = schema.if_contains("enum"); values && values->is_array()) {
    for (const json::value& value : values->get_array()) types.insert(type_of(value));
    return types;
  }
  const json::value* type = schema.if_contains("type");
  if (!type) return types;
  const auto add = [&](const json::value& name) {
    if (name.is_string())
      types.insert(name.get_string() == "integer" ? "number" : std::string(name.get_string()));
  };
  if (type->is_array())
    for (const json::value& name : type->get_array()) add(name);
  else
    add(*type);
  return types;
}

bool excludes(const json::value& a, const json::value& b, int depth);

/// All numbers of one lie below all of the other: the pair of keywords at both ends of a range.
bool ranges_exclude(const json::object& a, const json::object& b, std::string_view min,
                    std::string_view max) {
  const auto is_above = [&](const json::object& high, const json::object& low) {
    const json::value *from = high.if_contains(min), *to = low.if_contains(max);
    return from && to && from->is_number() && to->is_number() &&
           from->to_number<double>() > to->to_number<double>();
  };
  return is_above(a, b) || is_above(b, a);
}

bool enums_exclude(const json::object& a, const json::object& b) {
  const json::value *x = a.if_contains("enum"), *y = b.if_contains("enum");
  if (!x || !y || !x->is_array() || !y->is_array()) return false;
  return std::none_of(x->get_array().begin(), x->get_array().end(), [&](const json::value& value) {
    const json::array& others = y->get_array();
    return std::find(others.begin(), others.end(), value) != others.end();
  });
}

bool is_required(const json::object& schema, const json::value& name) {
  const json::value* required = schema.if_contains("required");
  return required && required->is_array() &&
         std::find(required->get_array().begin(), required->get_array().end(), name) !=
             required->get_array().end();
}

/// One requires a member that the other does not allow, or allows only with other values.
bool members_exclude(const json::object& a, const json::object& b, int depth) {
  const json::value *in_a = a.if_contains("properties"), *in_b = b.if_contains("properties");
  if (!in_a || !in_a->is_object()) return false;
  const json::value* closed = b.if_contains("additionalProperties");
  for (const auto& [name, schema] : in_a->get_object()) {
    if (!is_required(a, json::value(name))) continue;
    const json::value* other =
        in_b && in_b->is_object() ? in_b->get_object().if_contains(name) : nullptr;
    if (other && excludes(schema, *other, depth + 1)) return true;
    if (!other && closed && *closed == json::value(false)) return true;
  }
  return false;
}

bool excludes(const json::value& a, const json::value& b, int depth) {
  if (a == json::value(false) || b == json::value(false)) return true;
  if (depth > 8 || !a.is_object() || !b.is_object()) return false;
  json::object x = a.get_object(), y = b.get_object();
  for (json::object* schema : {&x, &y})
    if (const json::value* constant = schema->if_contains("const"))
      schema->insert_or_assign("enum", json::array{*constant});
  const std::set<std::string> types_x = types_of(x), types_y = types_of(y);
  std::set<std::string> common;
  std::set_intersection(types_x.begin(), types_x.end(), types_y.begin(), types_y.end(),
                        std::inserter(common, common.end()));
  if (!types_x.empty() && !types_y.empty() && common.empty()) return true;
  if (enums_exclude(x, y)) return true;
  // What follows speaks of one type only.
  if (types_x.size() != 1 || types_y.size() != 1) return false;
  const std::string& type = *types_x.begin();
  if (type == "number") return ranges_exclude(x, y, "minimum", "maximum");
  if (type == "string") return ranges_exclude(x, y, "minLength", "maxLength");
  if (type == "array") return ranges_exclude(x, y, "minItems", "maxItems");
  return type == "object" && (members_exclude(x, y, depth) || members_exclude(y, x, depth));
}

}  // namespace

void refuse_overlap(const json::array& options, const json::object& common,
                    const std::string& path) {
  const auto whole = [&](const json::value& option) {
    if (!option.is_object()) return option;
    json::object result = common;
    for (const auto& [name, value] : option.get_object()) result[name] = value;
    return json::value(std::move(result));
  };
  for (std::size_t i = 0; i < options.size(); ++i)
    for (std::size_t j = i + 1; j < options.size(); ++j)
      if (!excludes(whole(options[i]), whole(options[j]), 0))
        refuse_schema(path, fmt::format("options {} and {} may accept the same value, which is not "
                                        "supported; tell them apart by type or by a required "
                                        "property with const, or use anyOf",
                                        i, j));
}

}  // namespace isotope::text
