// JSON from outside: parsing with limits, and getters whose errors name file, field and value.
#pragma once

#include <boost/json/fwd.hpp>
#include <boost/json/object.hpp>
#include <boost/json/storage_ptr.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace isotope {

namespace json = boost::json;

/// Parses standard JSON nested at most 64 deep. Errors: corrupt_data naming `what` and the
/// position.
/// `storage` is where the value lives: for large texts a monotonic resource is several times faster.
json::value parse_json(std::string_view text, std::string_view what,
                       json::storage_ptr storage = {});
/// As above, from a file.
json::value parse_json_file(const std::filesystem::path& path);

/// A JSON object together with the name to use for it in errors ("model/config.json").
/// Getters: a missing or null field gives the default (or an Error if there is none), a field of
/// the wrong type or out of range gives an Error (corrupt_data) that names file, field and value.
class JsonFields {
 public:
  /// `value` must outlive this; an Error if it is not an object.
  JsonFields(const json::value& value, std::string name);

  const std::string& name() const { return name_; }
  const json::object& object() const { return *object_; }
  bool has(std::string_view field) const;                 ///< present and not null
  const json::value* find(std::string_view field) const;  ///< nullptr if missing or null

  std::int64_t integer(std::string_view field, std::int64_t min, std::int64_t max) const;
  std::int64_t integer(std::string_view field, std::int64_t min, std::int64_t max,
                       std::int64_t fallback) const;
  /// Any JSON number; must be finite and within [min, max].
  double number(std::string_view field, double min, double max) const;
  double number(std::string_view field, double min, double max, double fallback) const;
  bool boolean(std::string_view field, bool fallback) const;
  std::string string(std::string_view field) const;
  std::string string(std::string_view field, std::string_view fallback) const;
  /// A nested object; its name becomes "name: field".
  JsonFields child(std::string_view field) const;

  [[noreturn]] void missing(std::string_view field) const;
  [[noreturn]] void wrong(std::string_view field, const json::value& value,
                          std::string_view expected) const;

 private:
  const json::object* object_;
  std::string name_;
};

/// The value as text, cut to a length that fits in an error message.
std::string brief(const json::value& value);

}  // namespace isotope
