#include "base/json.h"

#include <boost/json/serialize.hpp>
#include <boost/json/stream_parser.hpp>
#include <cmath>

#include "base/error.h"
#include "base/file.h"

namespace isotope {

json::value parse_json(std::string_view text, std::string_view what, json::storage_ptr storage) {
  json::parse_options options;
  options.max_depth = 64;
  boost::system::error_code error;
  json::stream_parser parser({}, options);
  parser.reset(std::move(storage));
  const std::size_t consumed = parser.write_some(text.data(), text.size(), error);
  if (!error) {
    // Whatever follows the first value may only be white space.
    const std::size_t rest = text.find_first_not_of(" \t\r\n", consumed);
    if (rest != std::string_view::npos)
      fail(ErrorCode::corrupt_data, "{}: unexpected text after the JSON value at byte {}", what,
           rest);
    parser.finish(error);
    if (!error) return parser.release();
  }
  fail(ErrorCode::corrupt_data, "{}: not valid JSON at byte {}: {}", what, consumed,
       error.message());
}

json::value parse_json_file(const std::filesystem::path& path) {
  return parse_json(read_file(path), path.string());
}

std::string brief(const json::value& value) {
  constexpr std::size_t kLimit = 60;
  std::string text = json::serialize(value);
  if (text.size() > kLimit) text = text.substr(0, kLimit) + "…";
  return text;
}

JsonFields::JsonFields(const json::value& value, std::string name) : name_(std::move(name)) {
  if (!value.is_object())
    fail(ErrorCode::corrupt_data, "{}: expected a JSON object, found {}", name_, brief(value));
  object_ = &value.get_object();
}

const json::value* JsonFields::find(std::string_view field) const {
  const json::value* value = object_->if_contains(field);
  return value && !value->is_null() ? value : nullptr;
}

bool JsonFields::has(std::string_view field) const { return find(field) != nullptr; }

void JsonFields::missing(std::string_view field) const {
  fail(ErrorCode::corrupt_data, "{}: the field '{}' is missing", name_, field);
}

void JsonFields::wrong(std::string_view field, const json::value& value,
                       std::string_view expected) const {
  fail(ErrorCode::corrupt_data, "{}: '{}' is {}; expected {}", name_, field, brief(value),
       expected);
}

std::int64_t JsonFields::integer(std::string_view field, std::int64_t min, std::int64_t max) const {
  const json::value* value = find(field);
  if (!value) missing(field);
  const std::string expected = fmt::format("an integer from {} to {}", min, max);
  std::int64_t result = 0;
  if (value->is_int64()) {
    result = value->get_int64();
  } else if (value->is_uint64()) {
    wrong(field, *value, expected);  // does not fit 64 signed bits
  } else if (value->is_double() && std::nearbyint(value->get_double()) == value->get_double() &&
             std::fabs(value->get_double()) < 0x1p53) {
    result = std::int64_t(value->get_double());
  } else {
    wrong(field, *value, expected);
  }
  if (result < min || result > max) wrong(field, *value, expected);
  return result;
}

std::int64_t JsonFields::integer(std::string_view field, std::int64_t min, std::int64_t max,
                                 std::int64_t fallback) const {
  return has(field) ? integer(field, min, max) : fallback;
}

double JsonFields::number(std::string_view field, double min, double max) const {
  const json::value* value = find(field);
  if (!value) missing(field);
  const std::string expected = fmt::format("a number from {} to {}", min, max);
  if (!value->is_number()) wrong(field, *value, expected);
  const double result = value->to_number<double>();
  if (!(result >= min && result <= max)) wrong(field, *value, expected);
  return result;
}

double JsonFields::number(std::string_view field, double min, double max, double fallback) const {
  return has(field) ? number(field, min, max) : fallback;
}

bool JsonFields::boolean(std::string_view field, bool fallback) const {
  const json::value* value = find(field);
  if (!value) return fallback;
  if (!value->is_bool()) wrong(field, *value, "true or false");
  return value->get_bool();
}

std::string JsonFields::string(std::string_view field) const {
  const json::value* value = find(field);
  if (!value) missing(field);
  if (!value->is_string()) wrong(field, *value, "a string");
  return std::string(value->get_string());
}

std::string JsonFields::string(std::string_view field, std::string_view fallback) const {
  return has(field) ? string(field) : std::string(fallback);
}

JsonFields JsonFields::child(std::string_view field) const {
  const json::value* value = find(field);
  if (!value) missing(field);
  return JsonFields(*value, fmt::format("{}: {}", name_, field));
}

}  // namespace isotope
