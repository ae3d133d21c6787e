// The "format" of strings in JSON Schema, as regular expressions.
#pragma once

#include <string_view>

namespace isotope::text {

enum class FormatKind {
  served,
  refused,  ///< a format of the standard that is not served
  unknown,  ///< not of the standard: a remark
};

struct StringFormat {
  FormatKind kind;
  /// What answers are like; a part of all that the format allows. Without characters that JSON
  /// escapes.
  std::string_view pattern;
};

StringFormat string_format(std::string_view name);

}  // namespace isotope::text
