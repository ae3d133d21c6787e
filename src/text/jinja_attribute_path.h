// The `attribute` argument of filters: "author.name", "tags.0", 3.
#pragma once

#include <string_view>
#include <vector>

#include "text/jinja_value.h"

namespace isotope::text::jinja {

class AttributePath {
 public:
  AttributePath() = default;  ///< leads to the value itself
  /// Numbers between the dots are indices.
  AttributePath(Runtime& runtime, const Value& attribute);
  Value follow(Runtime& runtime, Value value) const;
  /// The same; what is missing on the way becomes `fallback`.
  Value follow(Runtime& runtime, Value value, const Value& fallback) const;

 private:
  std::vector<Value> parts_;
};

}  // namespace isotope::text::jinja
