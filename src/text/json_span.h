// Where a JSON value ends in text that comes byte by byte.
#pragma once

#include <string>

namespace isotope::text {

/// Follows one value from its first byte. Strings and the nesting of brackets are checked, the rest
/// of the grammar is not.
class JsonSpan {
 public:
  enum class Step {
    inside,  ///< the byte belongs to the value, which goes on
    last,    ///< the byte ends the value
    past,    ///< the byte follows the value (a number, true, false or null)
    broken,  ///< no JSON value goes on like this
  };
  Step push(char c);
  bool in_string() const { return in_string_; }

 private:
  Step push_first(char c);
  Step push_in_string(char c);
  Step close(char opening);

  bool begun_ = false, in_string_ = false, escaped_ = false;
  std::string open_;  // the brackets that are open; empty in a scalar
};

inline bool is_json_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace isotope::text
