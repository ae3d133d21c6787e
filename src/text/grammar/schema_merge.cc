#include "text/grammar/schema_merge.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "text/grammar/json_numbers.h"
#include "text/grammar/schema_overlap.h"

namespace isotope::text {
namespace {

constexpr int kMaxDepth = 32;
constexpr std::size_t kMaxOptions = 256;

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

json::value both(const json::value& a, const json::value& b) {
  if (a == b) return a;
  if (a.is_bool()) return a.get_bool() ? b : a;
  if (b.is_bool()) return b.get_bool() ? a : b;
  return json::object{{"allOf", json::array{a, b}}};
}

json::array common_values(const json::array& a, const json::array& b) {
  json::array result;
  for (const json::value& value : a)
    if (std::find(b.begin(), b.end(), value) != b.end()) result.push_back(value);
  return result;
}

json::array type_list(const json::value& types) {
  return types.is_array() ? types.get_array() : json::array{types};
}

json::array common_types(const json::array& a, const json::array& b) {
  json::array result = common_values(a, b);
  const auto has = [](const json::array& types, std::string_view name) {
    return std::any_of(types.begin(), types.end(), [&](const json::value& type) {
      return type.is_string() && type.get_string() == name;
    });
  };
  if (!has(result, "integer") && !has(result, "number") &&
      ((has(a, "integer") && has(b, "number")) || (has(b, "integer") && has(a, "number"))))
    result.push_back("integer");
  return result;
}

/// Whether members that only one of two schemas names must satisfy this one's additionalProperties.
const json::value* closing(const json::object& schema) {
  const json::value* additional = schema.if_contains("additionalProperties");
  if (!additional || (additional->is_bool() && additional->get_bool())) return nullptr;
  return additional;
}

json::object merge_properties(const json::object& a, const json::object& b) {
  static const json::object none;
  const auto properties = [](const json::object& schema) -> const json::object& {
    const json::value* value = schema.if_contains("properties");
    return value && value->is_object() ? value->get_object() : none;
  };
  json::object result;
  const auto add = [&](const json::object& from, const json::object& other) {
    for (const auto& [name, schema] : properties(from)) {
      if (result.contains(name)) continue;
      if (const json::value* same = properties(other).if_contains(name))
        result[name] = both(schema, *same);
      else if (const json::value* closed = closing(other))
        result[name] = both(schema, *closed);
      else
        result[name] = schema;
    }
  };
  add(a, b);
  add(b, a);
  return result;
}

std::int64_t common_multiple(const json::value& a, const json::value& b, const std::string& path) {
  if (!a.is_int64() || !b.is_int64() || a.get_int64() <= 0 || b.get_int64() <= 0 ||
      a.get_int64() > 1'000'000 || b.get_int64() > 1'000'000)
    refuse_schema(path, "two different values of multipleOf at once are not supported");
  return std::lcm(a.get_int64(), b.get_int64());
}

/// One keyword that both schemas have.
json::value merge_keyword(std::string_view name, const json::value& a, const json::value& b,
                          const std::string& path) {
  if (a == b) return a;
  if (name == "type") return common_types(type_list(a), type_list(b));
  if (name == "enum" && a.is_array() && b.is_array())
    return common_values(a.get_array(), b.get_array());
  if (name == "required" && a.is_array() && b.is_array()) {
    json::array result = a.get_array();
    for (const json::value& item : b.get_array())
      if (std::find(result.begin(), result.end(), item) == result.end()) result.push_back(item);
    return result;
  }
  if (name == "nullable") return json::value(a == json::value(true) && b == json::value(true));
  if (name == "multipleOf") return common_multiple(a, b, path);
  if (is_one_of(name, {"items", "additionalProperties", "propertyNames"}) && !a.is_array() &&
      !b.is_array())
    return both(a, b);
  const bool lower =
      is_one_of(name, {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"});
  const bool upper =
      is_one_of(name, {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"});
  if ((lower || upper) && a.is_number() && b.is_number()) {
    const bool a_is_less = a.to_number<double>() < b.to_number<double>();
    return a_is_less == upper ? a : b;
  }
  refuse_schema(path, fmt::format("two different values of {} at once are not supported", name));
}

/// const is an enum of one.
json::object with_enum(json::object schema) {
  const json::value* constant = schema.if_contains("const");
  if (!constant) return schema;
  json::array values = {*constant};
  if (const json::value* listed = schema.if_contains("enum"); listed && listed->is_array())
    values = common_values(values, listed->get_array());
  schema["enum"] = std::move(values);
  schema.erase("const");
  return schema;
}

/// The members of a reference's pointer: "~1" is a slash, "~0" a tilde, "%41" a byte.
std::string unescape_pointer(std::string_view part, std::string_view path) {
  std::string result;
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (part[i] == '~' && i + 1 < part.size() && (part[i + 1] == '0' || part[i + 1] == '1')) {
      result += part[++i] == '0' ? '~' : '/';
    } else if (part[i] == '%') {
      const auto digit = [&](std::size_t at) {
        const char c = at < part.size() ? part[at] : '?';
        const std::size_t value = std::string_view("0123456789abcdef").find(char(c | 0x20));
        if (value > 15) broken_schema(path, "a '%' in $ref is not followed by two digits");
        return value;
      };
      result += char(16 * digit(i + 1) + digit(i + 2));
      i += 2;
    } else {
      result += part[i];
    }
  }
  return result;
}

}  // namespace

void refuse_schema(std::string_view path, std::string_view why) {
  fail(ErrorCode::unsupported, "{}: {}", path, why);
}

void broken_schema(std::string_view path, std::string_view why) {
  fail(ErrorCode::invalid_argument, "{}: {}", path, why);
}

PlacedSchema SchemaMerger::resolve(std::string_view reference, std::string_view path) const {
  if (reference != "#" && !reference.starts_with("#/"))
    refuse_schema(path, fmt::format("$ref '{}' is not supported; only places in the same schema "
                                    "(\"#/…\") can be referred to",
                                    reference.substr(0, 100)));
  const json::value* here = &root_;
  std::string_view rest = reference.substr(1);
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('/', 1), rest.size());
    const std::string name = unescape_pointer(rest.substr(1, end - 1), path);
    rest.remove_prefix(end);
    const json::value* next = nullptr;
    if (here->is_object()) {
      next = here->get_object().if_contains(name);
    } else if (here->is_array()) {
      const bool digits = !name.empty() && name.size() < 9 &&
                          name.find_first_not_of("0123456789") == std::string::npos;
      if (digits) next = here->get_array().if_contains(std::size_t(std::stoul(name)));
    }
    if (!next)
      broken_schema(path, fmt::format("$ref '{}' points to nothing", reference.substr(0, 100)));
    here = next;
  }
  return {here, std::string(reference)};
}

json::object SchemaMerger::merge(const json::object& a, const json::object& b,
                                 const std::string& path) const {
  json::object result = with_enum(a);
  const json::object other = with_enum(b);
  const bool properties = a.contains("properties") || b.contains("properties");
  json::object merged_properties = merge_properties(a, b);
  for (const auto& [name, value] : other) {
    const json::value* mine = result.if_contains(name);
    if (name == "properties" || (name == "anyOf" && mine)) continue;
    result[name] = mine ? merge_keyword(name, *mine, value, path) : value;
  }
  if (properties) result["properties"] = std::move(merged_properties);
  const json::value *mine = a.if_contains("anyOf"), *theirs = b.if_contains("anyOf");
  if (!mine || !theirs || !mine->is_array() || !theirs->is_array()) return result;
  // One of these and one of those: each pair.
  json::array pairs;
  for (const json::value& x : mine->get_array())
    for (const json::value& y : theirs->get_array()) pairs.push_back(both(x, y));
  if (pairs.size() > kMaxOptions)
    refuse_schema(path, fmt::format("the options combine to more than {}", kMaxOptions));
  result["anyOf"] = std::move(pairs);
  return result;
}

void SchemaMerger::merge_all(json::object& result, const json::array& schemas,
                             const std::string& path, int depth) const {
  for (std::size_t i = 0; i < schemas.size(); ++i) {
    const std::string place = fmt::format("{}/allOf/{}", path, i);
    if (schemas[i].is_bool()) {
      if (!schemas[i].get_bool()) result["enum"] = json::array();
      continue;
    }
    if (!schemas[i].is_object()) broken_schema(place, "must be a schema: an object or a boolean");
    result = merge(result, flatten(schemas[i].get_object(), place, depth + 1), path);
  }
}

json::array SchemaMerger::flat_options(const json::value& options, const std::string& path,
                                       int depth) const {
  if (!options.is_array() || options.get_array().empty())
    broken_schema(path, "must be a list of schemas");
  json::array flat;
  for (std::size_t i = 0; i < options.get_array().size(); ++i) {
    const json::value& option = options.get_array()[i];
    if (option.is_object())
      flat.push_back(flatten(option.get_object(), fmt::format("{}/{}", path, i), depth + 1));
    else
      flat.push_back(option);
  }
  return flat;
}

json::object SchemaMerger::flatten(const json::object& schema, const std::string& path,
                                   int depth) const {
  if (depth > kMaxDepth)
    refuse_schema(path, "$ref and allOf are nested too deeply, or refer to themselves");
  json::object result = with_enum(schema);
  for (const std::string_view name : {"$ref", "allOf", "oneOf"}) result.erase(name);
  if (const json::value* reference = schema.if_contains("$ref")) {
    if (!reference->is_string()) broken_schema(path, "$ref must be a string");
    const PlacedSchema target = resolve(reference->get_string(), path);
    merge_all(result, {*target.schema}, target.path, depth);
  }
  if (const json::value* all = schema.if_contains("allOf")) {
    if (!all->is_array()) broken_schema(path, "allOf must be a list of schemas");
    merge_all(result, all->get_array(), path, depth);
  }
  if (const json::value* one = schema.if_contains("oneOf")) {
    const std::string place = path + "/oneOf";
    json::array options = flat_options(*one, place, depth);
    refuse_overlap(options, result, place);
    result = merge(result, {{"anyOf", std::move(options)}}, path);
  }
  return result;
}

}  // namespace isotope::text
