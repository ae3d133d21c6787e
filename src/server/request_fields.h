// Reading a request's JSON fields. Whatever is wrong with one becomes a 400 that names it.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/tensor.h"

namespace isotope::server {

/// The body of a request as a JSON value; a 400 with the place and what stands there if it is none.
json::value parse_body(std::string_view body);

/// A JSON object from a client with the path that leads to it ("messages[2]"). A field that is
/// missing or null is "not given" and yields nullopt. Nothing is converted: "1", true and 1.5 are
/// no integers; 1.0 is one.
class RequestFields {
 public:
  /// 400 if `value` is no object. `value` must outlive this.
  explicit RequestFields(const json::value& value, std::string path = {});

  /// nullptr if missing or null.
  const json::value* find(std::string_view field) const;
  bool has(std::string_view field) const { return find(field) != nullptr; }

  std::optional<std::int64_t> integer(std::string_view field, std::int64_t min,
                                      std::int64_t max) const;
  std::optional<double> number(std::string_view field, double min, double max) const;
  std::optional<bool> boolean(std::string_view field) const;
  std::optional<std::string> string(std::string_view field) const;
  /// 400 if it is missing.
  std::string required_string(std::string_view field) const;
  const json::array* array(std::string_view field, std::size_t max_items) const;

  /// "messages[2].role"
  std::string path(std::string_view field) const;
  /// 400: "`path`: must be `expected`, not `value`".
  [[noreturn]] void wrong(std::string_view field, std::string_view expected) const;
  /// 400: "`path`: `why`".
  [[noreturn]] void reject(std::string_view field, std::string_view why) const;
  /// 400 if the field is given, with another value than false, "", [] or {}.
  void refuse(std::string_view field, std::string_view why) const;

  const json::object& object() const { return *object_; }

 private:
  const json::object* object_;
  std::string path_;
};

/// 400 naming `path`: the general form of RequestFields::wrong.
[[noreturn]] void wrong_value(std::string path, const json::value& value,
                              std::string_view expected);
/// The integer that `value` is; nullopt if it is none within [min, max].
std::optional<std::int64_t> as_integer(const json::value& value, std::int64_t min,
                                       std::int64_t max);
/// Token ids in [0, vocab_size); errors name "path[i]".
std::vector<TokenId> token_ids(const json::array& values, const std::string& path,
                               std::int64_t vocab_size);

/// The value as JSON, cut to what fits an error message without writing out the rest.
std::string short_json(const json::value& value);

}  // namespace isotope::server
