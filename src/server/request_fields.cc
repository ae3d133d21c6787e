#include "server/request_fields.h"

#include <algorithm>
#include <boost/json/serializer.hpp>
#include <boost/json/stream_parser.hpp>
#include <cmath>

#include "base/error.h"
#include "server/api_error.h"

namespace isotope::server {
namespace {

std::string at(const std::string& path, std::string_view what) {
  return fmt::format("{}: {}", path, what);
}

/// What stands around byte `position`: it tells a person which field is broken.
std::string_view surroundings(std::string_view body, std::size_t position) {
  const std::size_t begin = position > 60 ? position - 60 : 0;
  return body.substr(std::min(begin, body.size()), 80);
}

}  // namespace

json::value parse_body(std::string_view body) {
  constexpr std::size_t kMaxDepth = 64;
  if (body.empty()) throw ApiError(400, "body: is empty; send a JSON object");
  json::parse_options options;
  options.max_depth = kMaxDepth;
  boost::system::error_code error;
  json::stream_parser parser({}, options);
  std::size_t consumed = parser.write_some(body.data(), body.size(), error);
  if (!error) {
    const std::size_t rest = body.find_first_not_of(" \t\r\n", consumed);
    if (rest != std::string_view::npos)
      throw ApiError(400, fmt::format("body: text after the JSON value at byte {}", rest));
    parser.finish(error);
    if (!error) return parser.release();
    consumed = body.size();
  }
  if (error == json::error::too_deep)
    throw ApiError(400,
                   fmt::format("body: nested more than {} deep at byte {}", kMaxDepth, consumed));
  throw ApiError(400, fmt::format("body: not valid JSON at byte {} ({}), near: {}", consumed,
                                  error.message(), surroundings(body, consumed)));
}

RequestFields::RequestFields(const json::value& value, std::string path) : path_(std::move(path)) {
  if (!value.is_object()) wrong_value(path_.empty() ? "body" : path_, value, "a JSON object");
  object_ = &value.get_object();
}

const json::value* RequestFields::find(std::string_view field) const {
  const json::value* value = object_->if_contains(field);
  return value && !value->is_null() ? value : nullptr;
}

std::string RequestFields::path(std::string_view field) const {
  return path_.empty() ? std::string(field) : fmt::format("{}.{}", path_, field);
}

void RequestFields::wrong(std::string_view field, std::string_view expected) const {
  const json::value* value = object_->if_contains(field);
  wrong_value(path(field), value ? *value : json::value(), expected);
}

void RequestFields::reject(std::string_view field, std::string_view why) const {
  const std::string name = path(field);
  throw ApiError(400, at(name, why), name);
}

void RequestFields::refuse(std::string_view field, std::string_view why) const {
  const json::value* value = find(field);
  if (!value) return;
  const bool empty = (value->is_bool() && !value->get_bool()) ||
                     (value->is_string() && value->get_string().empty()) ||
                     (value->is_array() && value->get_array().empty()) ||
                     (value->is_object() && value->get_object().empty());
  if (!empty) reject(field, why);
}

std::optional<std::int64_t> RequestFields::integer(std::string_view field, std::int64_t min,
                                                   std::int64_t max) const {
  const json::value* value = find(field);
  if (!value) return std::nullopt;
  const std::optional<std::int64_t> result = as_integer(*value, min, max);
  if (!result) wrong(field, fmt::format("an integer from {} to {}", min, max));
  return result;
}

std::optional<double> RequestFields::number(std::string_view field, double min, double max) const {
  const json::value* value = find(field);
  if (!value) return std::nullopt;
  const double result = value->is_number() ? value->to_number<double>() : std::nan("");
  if (!(result >= min && result <= max))
    wrong(field, fmt::format("a number from {} to {}", min, max));
  return result;
}

std::optional<bool> RequestFields::boolean(std::string_view field) const {
  const json::value* value = find(field);
  if (!value) return std::nullopt;
  if (!value->is_bool()) wrong(field, "true or false");
  return value->get_bool();
}

std::optional<std::string> RequestFields::string(std::string_view field) const {
  const json::value* value = find(field);
  if (!value) return std::nullopt;
  if (!value->is_string()) wrong(field, "a string");
  return std::string(value->get_string());
}

std::string RequestFields::required_string(std::string_view field) const {
  std::optional<std::string> value = string(field);
  if (!value) reject(field, "is missing");
  return std::move(*value);
}

const json::array* RequestFields::array(std::string_view field, std::size_t max_items) const {
  const json::value* value = find(field);
  if (!value) return nullptr;
  if (!value->is_array()) wrong(field, "a list");
  const json::array& items = value->get_array();
  if (items.size() > max_items)
    reject(field, fmt::format("has {} items; at most {} are allowed", items.size(), max_items));
  return &items;
}

void wrong_value(std::string path, const json::value& value, std::string_view expected) {
  std::string message = fmt::format("{}: must be {}, not {}", path, expected, short_json(value));
  throw ApiError(400, std::move(message), std::move(path));
}

std::optional<std::int64_t> as_integer(const json::value& value, std::int64_t min,
                                       std::int64_t max) {
  std::int64_t result;
  if (value.is_int64()) {
    result = value.get_int64();
  } else if (value.is_double() && std::fabs(value.get_double()) < 0x1p53 &&
             std::trunc(value.get_double()) == value.get_double()) {
    result = std::int64_t(value.get_double());
  } else {
    return std::nullopt;
  }
  if (result < min || result > max) return std::nullopt;
  return result;
}

std::vector<TokenId> token_ids(const json::array& values, const std::string& path,
                               std::int64_t vocab_size) {
  std::vector<TokenId> ids;
  ids.reserve(values.size());
  for (const json::value& value : values) {
    const std::optional<std::int64_t> id = as_integer(value, 0, vocab_size - 1);
    if (!id)
      wrong_value(fmt::format("{}[{}]", path, ids.size()), value,
                  fmt::format("a token id from 0 to {}", vocab_size - 1));
    ids.push_back(TokenId(*id));
  }
  return ids;
}

std::string short_json(const json::value& value) {
  char buffer[64];
  json::serializer serializer;
  serializer.reset(&value);
  const auto text = serializer.read(buffer, sizeof buffer);
  return std::string(text.data(), text.size()) + (serializer.done() ? "" : "…");
}

}  // namespace isotope::server
