#include "text/json_span.h"

namespace isotope::text {
namespace {

/// In a number, true, false or null.
bool is_scalar_byte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == 'E' || c == '+' || c == '-' ||
         c == '.';
}

}  // namespace

JsonSpan::Step JsonSpan::push(char c) {
  if (!begun_) return push_first(c);
  if (in_string_) return push_in_string(c);
  if (open_.empty()) return is_scalar_byte(c) ? Step::inside : Step::past;
  switch (c) {
    case '"':
      in_string_ = true;
      return Step::inside;
    case '{':
    case '[':
      open_ += c;
      return Step::inside;
    case '}':
      return close('{');
    case ']':
      return close('[');
    default:
      return Step::inside;
  }
}

JsonSpan::Step JsonSpan::push_first(char c) {
  begun_ = true;
  if (c == '"') {
    in_string_ = true;
  } else if (c == '{' || c == '[') {
    open_ = c;
  } else if (!is_scalar_byte(c)) {
    return Step::broken;
  }
  return Step::inside;
}

JsonSpan::Step JsonSpan::push_in_string(char c) {
  if (static_cast<unsigned char>(c) < 0x20) return Step::broken;
  if (escaped_) {
    escaped_ = false;
  } else if (c == '\\') {
    escaped_ = true;
  } else if (c == '"') {
    in_string_ = false;
    return open_.empty() ? Step::last : Step::inside;
  }
  return Step::inside;
}

JsonSpan::Step JsonSpan::close(char opening) {
  if (open_.back() != opening) return Step::broken;
  open_.pop_back();
  return open_.empty() ? Step::last : Step::inside;
}

}  // namespace isotope::text
