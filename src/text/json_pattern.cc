#include "text/json_pattern.h"

#include <boost/json/array.hpp>

namespace isotope::text {

const json::array& json_array(const JsonFields& fields, std::string_view field) {
  const json::value* value = fields.find(field);
  if (!value) fields.missing(field);
  if (!value->is_array()) fields.wrong(field, *value, "an array");
  return value->get_array();
}

Regex json_pattern(const JsonFields& fields) {
  const JsonFields pattern = fields.child("pattern");
  if (pattern.has("Regex")) return Regex(pattern.string("Regex"), pattern.name());
  if (pattern.has("String")) return Regex(escape_regex(pattern.string("String")), pattern.name());
  fields.wrong("pattern", *fields.find("pattern"), "{\"Regex\": …} or {\"String\": …}");
}

}  // namespace isotope::text
