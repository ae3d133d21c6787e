#include "text/jinja_number.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "text/jinja_text.h"

namespace isotope::text::jinja {

std::string real_to_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[400];
  const auto written = [&](std::chars_format format) {
    const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value, format);
    return std::string(buffer, end);
  };
  // Python changes to an exponent below 1e-4 and from 1e16 on, whichever is shorter.
  const double magnitude = std::fabs(value);
  if (magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16))
    return written(std::chars_format::scientific);
  std::string text = written(std::chars_format::fixed);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

namespace {

/// Without the underscores, each of which must stand between two digits (or after a prefix).
std::optional<std::string> without_underscores(std::string_view text, bool after_prefix) {
  std::string digits;
  const auto is_digit = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits += text[i];
      continue;
    }
    const bool follows = i == 0 ? after_prefix : is_digit(text[i - 1]);
    if (!follows || i + 1 == text.size() || !is_digit(text[i + 1])) return std::nullopt;
  }
  return digits;
}

/// 2, 8 or 16 for 0b, 0o, 0x; otherwise 0.
int prefix_base(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 0;
  switch (text[1] | 0x20) {
    case 'b':
      return 2;
    case 'o':
      return 8;
    case 'x':
      return 16;
    default:
      return 0;
  }
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text, int base) {
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
  text = utf8::strip(text, utf8::Side::both);
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  const int prefix = prefix_base(text);
  const bool prefixed = prefix != 0 && (base == 0 || base == prefix);
  if (prefixed) {
    base = prefix;
    text.remove_prefix(2);
  }
  auto digits = without_underscores(text, prefixed);
  if (!digits) return std::nullopt;
  if (base == 0) {
    // Python refuses 010, which C would take for octal.
    if (digits->size() > 1 && (*digits)[0] == '0' &&
        digits->find_first_not_of('0') != std::string::npos)
      return std::nullopt;
    base = 10;
  }
  if (digits->empty() || (*digits)[0] == '-') return std::nullopt;
  if (negative) digits->insert(0, 1, '-');
  std::int64_t value = 0;
  const char* end = digits->data() + digits->size();
  const auto [stop, error] = std::from_chars(digits->data(), end, value, base);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::optional<double> parse_real(std::string_view text) {
  text = utf8::strip(text, utf8::Side::both);
  auto digits = without_underscores(text, false);
  if (!digits || digits->empty()) return std::nullopt;
  const char* begin = digits->data();
  const char* end = begin + digits->size();
  if (*begin == '+') {
    ++begin;
    if (begin != end && *begin == '-') return std::nullopt;
  }
  // from_chars takes "nan(...)", which Python does not.
  if (digits->find('(') != std::string::npos) return std::nullopt;
  double value = 0;
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (stop != end || begin == end) return std::nullopt;
  if (error == std::errc::result_out_of_range) {
    // Too large or too small: as Python, infinity or zero. The exponent's sign tells which.
    const bool small = digits->find("e-") != std::string::npos ||
                       digits->find("E-") != std::string::npos ||
                       digits->find_first_of("eE") == std::string::npos;
    const double magnitude = small ? 0.0 : std::numeric_limits<double>::infinity();
    return *begin == '-' ? -magnitude : magnitude;
  }
  if (error != std::errc()) return std::nullopt;
  return value;
}

double round_real(double value, std::int64_t digits) {
  if (!std::isfinite(value) || digits > 323) return value;
  if (digits < -308) return std::copysign(0.0, value);
  if (digits < 0) {
    const double unit = std::pow(10.0, double(-digits));
    return std::nearbyint(value / unit) * unit;
  }
  // The exact decimal expansion, rounded half to even, as Python does it.
  char buffer[800];
  const auto [end, error] =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, int(digits));
  double rounded = value;
  std::from_chars(buffer, end, rounded);
  return rounded;
}

std::optional<std::int64_t> truncate_real(double value) {
  if (!(value > -0x1p63 && value < 0x1p63)) return std::nullopt;
  return std::int64_t(value);
}

}  // namespace isotope::text::jinja
