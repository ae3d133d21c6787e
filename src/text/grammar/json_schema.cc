#include "text/grammar/json_schema.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "text/grammar/json_formats.h"
#include "text/grammar/json_numbers.h"
#include "text/grammar/json_parts.h"
#include "text/grammar/regex_grammar.h"
#include "text/grammar/schema_keywords.h"
#include "text/grammar/schema_merge.h"

namespace isotope::text {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::int64_t kMaxCount = 1'000'000;  // of minLength, maxItems, …
constexpr std::int64_t kMaxMultiple = 1000;

/// Reads keywords of one flat schema.
class SchemaFields {
 public:
  SchemaFields(const json::object& schema, const std::string& path)
      : schema_(schema), path_(path) {}

  const json::value* find(std::string_view name) const { return schema_.if_contains(name); }
  bool has(std::string_view name) const { return schema_.contains(name); }
  const std::string& path() const { return path_; }

  /// A count; `fallback` if it is missing.
  std::int32_t count(std::string_view name, std::int32_t fallback) const {
    const json::value* value = find(name);
    if (!value) return fallback;
    const double number = value->is_number() ? value->to_number<double>() : -1;
    if (number < 0 || number != double(std::int64_t(std::min(number, 1e18))))
      broken_schema(path_, fmt::format("{} must be an integer of at least 0", name));
    if (number > double(kMaxCount)) {
      if (fallback == kUnbounded) return kUnbounded;
      refuse_schema(path_, fmt::format("{} above {} is not supported", name, kMaxCount));
    }
    return std::int32_t(number);
  }
  std::optional<Bound> bound(std::string_view inclusive, std::string_view exclusive,
                             int sign) const {
    std::optional<Bound> result = read_bound(inclusive, false);
    const std::optional<Bound> other = read_bound(exclusive, true);
    if (!result) return other;
    if (other && sign * compare(other->value, result->value) >= 0) return other;
    return result;
  }
  const json::array* list(std::string_view name) const {
    const json::value* value = find(name);
    if (!value) return nullptr;
    if (!value->is_array()) broken_schema(path_, fmt::format("{} must be a list", name));
    return &value->get_array();
  }
  std::string_view string(std::string_view name) const {
    const json::value* value = find(name);
    if (!value->is_string()) broken_schema(path_, fmt::format("{} must be a string", name));
    return value->get_string();
  }

 private:
  std::optional<Bound> read_bound(std::string_view name, bool exclusive) const {
    const json::value* value = find(name);
    if (!value) return std::nullopt;
    if (!value->is_number()) broken_schema(path_, fmt::format("{} must be a number", name));
    const std::optional<Decimal> decimal = decimal_of(*value);
    if (!decimal)
      refuse_schema(path_, fmt::format("{} is not supported with more than 15 digits before the "
                                       "point or 12 after it",
                                       name));
    return Bound{*decimal, exclusive};
  }

  const json::object& schema_;
  const std::string& path_;
};

class SchemaCompiler {
 public:
  SchemaCompiler(GrammarBuilder& builder, const json::value& root)
      : builder_(builder), parts_(builder), merger_(root) {}

  GrammarExpr compile(const json::value& schema, const std::string& path) {
    if (schema.is_bool()) return schema.get_bool() ? parts_.any_value() : builder_.never();
    if (!schema.is_object()) broken_schema(path, "must be a schema: an object or a boolean");
    const json::object& object = schema.get_object();
    if (const auto target = plain_reference(object, path)) return referred(*target);
    if (++depth_ > kMaxDepth) refuse_schema(path, "the schema is nested too deeply");
    const GrammarExpr result = compile_flat(merger_.flatten(object, path), path);
    --depth_;
    return result;
  }

 private:
  /// The target of a schema that is nothing but a reference.
  std::optional<PlacedSchema> plain_reference(const json::object& schema, const std::string& path) {
    const json::value* reference = schema.if_contains("$ref");
    if (!reference || !reference->is_string()) return std::nullopt;
    for (const auto& [name, value] : schema)
      if (name != "$ref" && !is_annotation(name)) return std::nullopt;
    return merger_.resolve(reference->get_string(), path);
  }

  /// A rule for each place that is referred to, so that it may contain itself.
  GrammarExpr referred(const PlacedSchema& target) {
    const auto entry = references_.find(target.path);
    if (entry != references_.end()) return builder_.call(entry->second);
    const GrammarRule rule = builder_.declare(target.path);
    references_.emplace(target.path, rule);
    builder_.define(rule, compile(*target.schema, target.path));
    return builder_.call(rule);
  }

  /// A part with a rule of its own: equal schemas share it, and so do their automata and masks.
  GrammarExpr shared(const json::value& schema, const std::string& path) {
    if (schema.is_object() && plain_reference(schema.get_object(), path))
      return compile(schema, path);
    const std::string text = json::serialize(schema);
    const auto entry = shared_.find(text);
    if (entry != shared_.end()) return entry->second;
    const GrammarExpr body = compile(schema, path);
    const GrammarRule rule = builder_.declare(path);
    builder_.define(rule, body);
    return shared_[text] = builder_.call(rule);
  }

  GrammarExpr compile_flat(json::object schema, const std::string& path) {
    if (!schema.contains("anyOf")) check_keywords(schema, path);  // else with each option
    std::vector<GrammarExpr> parts;
    if (const json::value* nullable = schema.if_contains("nullable");
        nullable && *nullable == json::value(true))
      parts.push_back(parts_.null());
    if (const json::value* options = schema.if_contains("anyOf")) {
      if (!options->is_array() || options->get_array().empty())
        broken_schema(path, "anyOf must be a list of schemas");
      const json::array any = options->get_array();
      schema.erase("anyOf");
      for (std::size_t i = 0; i < any.size(); ++i)
        parts.push_back(compile_option(schema, any[i], fmt::format("{}/anyOf/{}", path, i)));
    } else if (const json::array* values = SchemaFields(schema, path).list("enum")) {
      parts.push_back(compile_enum(schema, *values, path));
    } else {
      for (const std::string& type : types_of(schema, path))
        parts.push_back(compile_type(type, schema, path));
    }
    return builder_.alternatives(std::move(parts));
  }

  GrammarExpr compile_option(const json::object& common, const json::value& option,
                             const std::string& path) {
    const bool alone = std::all_of(common.begin(), common.end(),
                                   [](const auto& member) { return is_annotation(member.key()); });
    if (alone || option.is_bool()) {
      if (option == json::value(true)) return compile_flat(common, path);
      return shared(option, path);
    }
    if (!option.is_object()) broken_schema(path, "must be a schema: an object or a boolean");
    return compile_flat(merger_.merge(common, merger_.flatten(option.get_object(), path), path),
                        path);
  }

  GrammarExpr compile_enum(const json::object& schema, const json::array& values,
                           const std::string& path) {
    for (const auto& [name, value] : schema)
      if (name != "enum" && name != "type" && name != "nullable" && restricts(name))
        refuse_schema(path, fmt::format("{} together with enum or const is not supported", name));
    const std::vector<std::string> types =
        schema.contains("type") ? types_of(schema, path) : std::vector<std::string>{};
    std::vector<GrammarExpr> parts;
    for (const json::value& value : values)
      if (types.empty() || std::any_of(types.begin(), types.end(), [&](const std::string& type) {
            return has_type(value, type);
          }))
        parts.push_back(parts_.value(value));
    return builder_.alternatives(std::move(parts));
  }

  GrammarExpr compile_type(const std::string& type, const json::object& schema,
                           const std::string& path) {
    const SchemaFields fields(schema, path);
    if (type == "null") return parts_.null();
    if (type == "boolean") return parts_.boolean();
    if (type == "integer" || type == "number") return compile_number(type == "integer", fields);
    if (type == "string") return parts_.quoted_or_any(compile_string(fields));
    if (type == "array") return compile_array(fields);
    return compile_object(fields);
  }

  // ---- numbers

  GrammarExpr compile_number(bool integer, const SchemaFields& fields) {
    NumberRange range;
    range.min = fields.bound("minimum", "exclusiveMinimum", 1);
    range.max = fields.bound("maximum", "exclusiveMaximum", -1);
    if (const json::value* multiple = fields.find("multipleOf")) {
      const auto decimal = multiple->is_number() ? decimal_of(*multiple) : std::nullopt;
      if (!decimal || decimal->negative || decimal->is_zero())
        broken_schema(fields.path(), "multipleOf must be a number above 0");
      if (!decimal->is_integer() || std::stoll(decimal->whole) > kMaxMultiple)
        refuse_schema(fields.path(),
                      fmt::format("multipleOf is supported for integers up to {}", kMaxMultiple));
      range.multiple_of = std::stoi(decimal->whole);
      integer = true;  // multiples of integers are written without a fraction
    }
    if (range.unbounded()) return integer ? parts_.any_integer() : parts_.any_number();
    return integer ? integers_within(parts_, range) : numbers_within(parts_, range);
  }

  // ---- strings

  /// What stands between the quotes; nullopt: anything.
  std::optional<GrammarExpr> compile_string(const SchemaFields& fields) {
    const std::int32_t min = fields.count("minLength", 0);
    const std::int32_t max = fields.count("maxLength", kUnbounded);
    std::vector<GrammarExpr> parts;
    if (fields.has("pattern"))
      parts.push_back(pattern(fields, fields.string("pattern"), RegexMatch::anywhere));
    if (fields.has("format")) {
      const StringFormat format = string_format(fields.string("format"));
      if (format.kind == FormatKind::refused)
        refuse_schema(fields.path(),
                      fmt::format("the format '{}' is not supported", fields.string("format")));
      if (format.kind == FormatKind::served)
        parts.push_back(pattern(fields, format.pattern, RegexMatch::whole));
    }
    const bool bounded = min > 0 || max < kUnbounded;
    if (parts.empty()) {
      if (!bounded) return std::nullopt;
      return parts_.characters(min, max);
    }
    if (bounded)
      parts.push_back(
          builder_.repeat(JsonParts::plain_character(builder_, CodePoints::all()), min, max));
    GrammarExpr all = parts[0];
    for (std::size_t i = 1; i < parts.size(); ++i) all = builder_.both(all, parts[i]);
    return all;
  }

  GrammarExpr pattern(const SchemaFields& fields, std::string_view pattern, RegexMatch match) {
    try {
      return regex_grammar(builder_, pattern, match, JsonParts::plain_character);
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}/pattern: {}", fields.path(), error.what()));
    }
  }

  // ---- arrays

  GrammarExpr compile_array(const SchemaFields& fields) {
    const std::int32_t min = fields.count("minItems", 0);
    const std::int32_t max = fields.count("maxItems", kUnbounded);
    const json::value* rest = fields.find("items");
    const json::array* prefix = fields.list("prefixItems");
    std::string prefix_name = "prefixItems", rest_name = "items";
    if (rest && rest->is_array()) {  // until draft 2019-09
      prefix = &rest->get_array();
      rest = fields.find("additionalItems");
      prefix_name = "items";
      rest_name = "additionalItems";
    }
    if (fields.has("uniqueItems") && *fields.find("uniqueItems") == json::value(true) && max > 1)
      refuse_schema(fields.path(), "uniqueItems is not supported");
    if (max < min) return builder_.never();
    const std::string rest_path = fields.path() + "/" + rest_name;
    if (!prefix || prefix->empty()) {
      const bool none = rest && *rest == json::value(false);
      if (none || max == 0) return min > 0 ? builder_.never() : parts_.array(builder_.empty());
      return parts_.array_of(rest ? shared(*rest, rest_path) : parts_.any_value(), min, max);
    }
    std::vector<GrammarExpr> items;
    for (std::size_t i = 0; i < prefix->size(); ++i)
      items.push_back(shared((*prefix)[i], fmt::format("{}/{}/{}", fields.path(), prefix_name, i)));
    // Nothing follows a prefix unless the schema says what.
    std::optional<GrammarExpr> more;
    if (rest && *rest != json::value(false)) more = shared(*rest, rest_path);
    return parts_.array(items_from(0, items, more, min, max));
  }

  /// The items from number `i` on; those before are there.
  GrammarExpr items_from(std::int32_t i, const std::vector<GrammarExpr>& items,
                         const std::optional<GrammarExpr>& more, std::int32_t min,
                         std::int32_t max) {
    if (i == max) return builder_.empty();
    if (std::size_t(i) == items.size()) {
      if (!more) return i < min ? builder_.never() : builder_.empty();
      return builder_.repeat(builder_.sequence({parts_.comma(), *more}), std::max(0, min - i),
                             max == kUnbounded ? kUnbounded : max - i);
    }
    std::vector<GrammarExpr> parts;
    if (i > 0) parts.push_back(parts_.comma());
    parts.push_back(items[std::size_t(i)]);
    parts.push_back(items_from(i + 1, items, more, min, max));
    const GrammarExpr from_here = builder_.sequence(std::move(parts));
    return i < min ? from_here : builder_.optional(from_here);
  }

  // ---- objects

  struct Members {
    std::vector<std::string> names;
    GrammarList list;
    std::int32_t required = 0;
  };

  GrammarExpr compile_object(const SchemaFields& fields) {
    Members members;
    members.list.separator = parts_.comma();
    add_properties(fields, members);
    add_rest(fields, members);
    const std::int32_t min = fields.count("minProperties", 0);
    members.list.max = fields.count("maxProperties", kUnbounded);
    if (min > members.required) require_members(fields, members, min);
    return parts_.object(std::move(members.list));
  }

  void add_properties(const SchemaFields& fields, Members& members) {
    std::vector<std::string> required;
    if (const json::array* names = fields.list("required"))
      for (const json::value& name : *names) {
        if (!name.is_string()) broken_schema(fields.path(), "required must be a list of strings");
        required.emplace_back(name.get_string());
      }
    const auto is_required = [&](std::string_view name) {
      return std::find(required.begin(), required.end(), name) != required.end();
    };
    if (const json::value* properties = fields.find("properties")) {
      if (!properties->is_object())
        broken_schema(fields.path(), "properties must be an object of schemas");
      for (const auto& [name, schema] : properties->get_object())
        add_member(members, name,
                   shared(schema, fields.path() + "/properties/" + std::string(name)),
                   is_required(name));
    }
    // A member that is required, but described only by what holds for all others.
    for (const std::string& name : required) {
      if (std::find(members.names.begin(), members.names.end(), name) != members.names.end())
        continue;
      if (fields.has("patternProperties"))
        refuse_schema(fields.path(), "required together with patternProperties is not supported");
      const json::value* additional = fields.find("additionalProperties");
      add_member(members, name,
                 additional ? shared(*additional, fields.path() + "/additionalProperties")
                            : parts_.any_value(),
                 true);
    }
  }

  void add_member(Members& members, std::string_view name, GrammarExpr value, bool required) {
    members.list.elements.push_back(
        {parts_.member(builder_.literal(quote_json(name)), value), required});
    members.names.emplace_back(name);
    members.required += required;
  }

  /// Members that the schema does not name: only if it says something about them, or names none.
  void add_rest(const SchemaFields& fields, Members& members) {
    const json::value* additional = fields.find("additionalProperties");
    if (fields.has("patternProperties")) return add_pattern_members(fields, members);
    if (additional ? *additional == json::value(false) : fields.has("properties")) return;
    const GrammarExpr value = additional
                                  ? shared(*additional, fields.path() + "/additionalProperties")
                                  : parts_.any_value();
    GrammarExpr key = parts_.other_key(members.names);
    if (const json::value* names = fields.find("propertyNames"))
      key = builder_.both(key, key_schema(*names, fields.path() + "/propertyNames"));
    members.list.rest = parts_.member(key, value);
  }

  void add_pattern_members(const SchemaFields& fields, Members& members) {
    const json::value& patterns = *fields.find("patternProperties");
    const json::value* additional = fields.find("additionalProperties");
    if (!patterns.is_object())
      broken_schema(fields.path(), "patternProperties must be an object of schemas");
    if (patterns.get_object().size() != 1 || !members.names.empty() ||
        fields.has("propertyNames") || (additional && *additional != json::value(false)))
      refuse_schema(fields.path(),
                    "patternProperties is supported with one pattern and without properties, "
                    "propertyNames and additionalProperties other than false");
    const auto& [name, schema] = *patterns.get_object().begin();
    const std::string path = fields.path() + "/patternProperties/" + std::string(name);
    const GrammarExpr key = builder_.both(
        parts_.other_key({}), parts_.quoted(pattern(fields, name, RegexMatch::anywhere)));
    members.list.rest = parts_.member(key, shared(schema, path));
  }

  /// propertyNames: a schema of strings, each written in one way.
  GrammarExpr key_schema(const json::value& schema, const std::string& path) {
    if (schema.is_bool()) return schema.get_bool() ? parts_.other_key({}) : builder_.never();
    if (!schema.is_object()) broken_schema(path, "must be a schema: an object or a boolean");
    check_keywords(schema.get_object(), path);
    json::object flat = merger_.flatten(schema.get_object(), path);
    flat["type"] = "string";
    if (flat.contains("anyOf")) refuse_schema(path, "anyOf is not supported here");
    const SchemaFields fields(flat, path);
    if (const json::array* values = fields.list("enum")) return compile_enum(flat, *values, path);
    const auto inside = compile_string(fields);
    return inside ? parts_.quoted(*inside) : parts_.other_key({});
  }

  /// At least `min` different members. Two of those that the schema does not name may have the same
  /// key, and then they count as one: so they are not counted on beyond the first.
  void require_members(const SchemaFields& fields, Members& members, std::int32_t min) {
    GrammarList& list = members.list;
    list.min = min;
    const auto named = std::int32_t(list.elements.size());
    if (named >= min) {
      list.rest = {};
    } else if (named + 1 == min && list.rest.index >= 0) {
      for (GrammarList::Element& element : list.elements) element.required = true;
    } else if (list.rest.index >= 0) {
      refuse_schema(fields.path(),
                    fmt::format("minProperties {} is not supported with {} named properties: at "
                                "most one more than these can be required",
                                min, named));
    }
  }

  GrammarBuilder& builder_;
  JsonParts parts_;
  SchemaMerger merger_;
  std::map<std::string, GrammarRule> references_;
  std::map<std::string, GrammarExpr> shared_;  // by the schema's text
  int depth_ = 0;
};

}  // namespace

GrammarExpr json_schema(GrammarBuilder& builder, const json::value& schema) {
  return SchemaCompiler(builder, schema).compile(schema, "#");
}

}  // namespace isotope::text
