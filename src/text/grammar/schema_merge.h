// Several JSON Schemas that hold at once, as one.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace isotope::text {

/// A schema with the place where it was found ("#/properties/age"), for errors and references.
struct PlacedSchema {
  const json::value* schema;
  std::string path;
};

[[noreturn]] void refuse_schema(std::string_view path, std::string_view why);  ///< unsupported
[[noreturn]] void broken_schema(std::string_view path, std::string_view why);  ///< invalid_argument

/// Resolves references within one document and merges what stands side by side.
class SchemaMerger {
 public:
  explicit SchemaMerger(const json::value& root) : root_(root) {}

  /// The schema that "#/…" points to. Errors: refused for other documents, broken if nothing is
  /// there.
  PlacedSchema resolve(std::string_view reference, std::string_view path) const;
  /// An equivalent schema without $ref, allOf and oneOf at its top. anyOf may be there.
  json::object flatten(const json::object& schema, const std::string& path, int depth = 0) const;
  /// Texts of both.
  json::object merge(const json::object& a, const json::object& b, const std::string& path) const;

 private:
  void merge_all(json::object& result, const json::array& schemas, const std::string& path,
                 int depth) const;
  json::array flat_options(const json::value& options, const std::string& path, int depth) const;

  const json::value& root_;
};

}  // namespace isotope::text
