#include "text/jinja_text.h"

#include <fmt/core.h>
#include <string.h>  // memmem
#include <utf8proc.h>

#include <algorithm>

#include "base/error.h"

namespace isotope::text::jinja::utf8 {

namespace {

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

/// Where the code point before `position` begins.
std::size_t previous_code_point(std::string_view text, std::size_t position) {
  do --position;
  while (position > 0 && (text[position] & 0xC0) == 0x80);
  return position;
}

bool is_line_end(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

template <typename Predicate>
bool all_code_points(std::string_view text, Predicate&& predicate) {
  if (text.empty()) return false;
  for (std::size_t position = 0; position < text.size();) {
    if (!predicate(next_code_point(text, position))) return false;
  }
  return true;
}

}  // namespace

bool valid_utf8(std::string_view text) {
  for (std::size_t position = 0; position < text.size();) {
    utf8proc_int32_t code_point;
    const auto size =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + position,
                         utf8proc_ssize_t(text.size() - position), &code_point);
    if (size <= 0) return false;
    position += std::size_t(size);
  }
  return true;
}

char32_t next_code_point(std::string_view text, std::size_t& position) {
  utf8proc_int32_t code_point;
  const auto size =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + position,
                       utf8proc_ssize_t(text.size() - position), &code_point);
  ISOTOPE_ASSERT(size > 0);
  position += std::size_t(size);
  return char32_t(code_point);
}

void append_utf8(std::string& out, char32_t code_point) {
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(utf8proc_int32_t(code_point), bytes);
  out.append(reinterpret_cast<const char*>(bytes), std::size_t(size));
}

std::size_t code_point_count(std::string_view text) {
  return std::size_t(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::size_t byte_offset(std::string_view text, std::size_t code_point) {
  for (std::size_t position = 0; position < text.size(); ++position) {
    if ((text[position] & 0xC0) != 0x80 && code_point-- == 0) return position;
  }
  return text.size();
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> result;
  result.reserve(code_point_count(text));
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    next_code_point(text, position);
    result.push_back(text.substr(begin, position - begin));
  }
  return result;
}

std::string reversed(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t end = text.size(); end > 0;) {
    const std::size_t begin = previous_code_point(text, end);
    result.append(text.substr(begin, end - begin));
    end = begin;
  }
  return result;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  const auto category = utf8proc_category(utf8proc_int32_t(c));
  return category != UTF8PROC_CATEGORY_CN && category < UTF8PROC_CATEGORY_ZS;
}

namespace {
bool is_letter(char32_t c) {
  const auto category = utf8proc_category(utf8proc_int32_t(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}
bool is_lower_letter(char32_t c) { return utf8proc_islower(utf8proc_int32_t(c)); }
bool is_upper_letter(char32_t c) { return utf8proc_isupper(utf8proc_int32_t(c)); }
bool has_case(char32_t c) {
  return is_lower_letter(c) || is_upper_letter(c) ||
         utf8proc_category(utf8proc_int32_t(c)) == UTF8PROC_CATEGORY_LT;
}
}  // namespace

bool is_identifier(std::string_view text) {
  bool first = true;
  return all_code_points(text, [&](char32_t c) {
    const auto category = utf8proc_category(utf8proc_int32_t(c));
    const bool starts = c == '_' || is_letter(c) || category == UTF8PROC_CATEGORY_NL;
    const bool continues = category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_MN ||
                           category == UTF8PROC_CATEGORY_MC || category == UTF8PROC_CATEGORY_PC;
    const bool fits = starts || (!first && continues);
    first = false;
    return fits;
  });
}

std::string_view strip(std::string_view text, Side side,
                       std::optional<std::string_view> characters) {
  const auto strips = [&](std::string_view character) {
    if (characters) return characters->find(character) != std::string_view::npos;
    std::size_t position = 0;
    return is_space(next_code_point(character, position));
  };
  if (side != Side::right) {
    while (!text.empty()) {
      std::size_t end = 0;
      next_code_point(text, end);
      if (!strips(text.substr(0, end))) break;
      text.remove_prefix(end);
    }
  }
  if (side != Side::left) {
    while (!text.empty()) {
      const std::size_t begin = previous_code_point(text, text.size());
      if (!strips(text.substr(begin))) break;
      text.remove_suffix(text.size() - begin);
    }
  }
  return text;
}

std::size_t find(std::string_view text, std::string_view needle, std::size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  if (needle.size() == 1) return text.find(needle[0], from);
  // memmem takes linear time; std::string_view::find may take the product of both lengths.
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (!found) return std::string_view::npos;
  return std::size_t(static_cast<const char*>(found) - text.data());
}

namespace {
std::string reversed_bytes(std::string_view text) {
  return std::string(text.rbegin(), text.rend());
}
}  // namespace

std::size_t find_last(std::string_view text, std::string_view needle) {
  const std::string mirrored = reversed_bytes(text);
  const std::size_t found = find(mirrored, reversed_bytes(needle));
  return found == std::string_view::npos ? found : text.size() - found - needle.size();
}

std::size_t count(std::string_view text, std::string_view needle) {
  if (needle.empty()) return code_point_count(text) + 1;
  std::size_t result = 0;
  for (std::size_t at = find(text, needle); at != std::string_view::npos;
       at = find(text, needle, at + needle.size()))
    ++result;
  return result;
}

std::string replace(std::string_view text, std::string_view old, std::string_view replacement,
                    std::int64_t limit) {
  std::string result;
  std::size_t position = 0;
  if (old.empty()) {
    // Before every character, and at the end.
    for (; limit != 0; --limit) {
      result += replacement;
      if (position == text.size()) return result;
      const std::size_t begin = position;
      next_code_point(text, position);
      result += text.substr(begin, position - begin);
    }
  }
  for (; limit != 0; --limit) {
    const std::size_t found = find(text, old, position);
    if (found == std::string_view::npos) break;
    result += text.substr(position, found - position);
    result += replacement;
    position = found + old.size();
  }
  result += text.substr(position);
  return result;
}

std::vector<std::string_view> split(std::string_view text, std::int64_t limit) {
  std::vector<std::string_view> pieces;
  text = strip(text, Side::left);
  while (!text.empty()) {
    if (limit >= 0 && std::int64_t(pieces.size()) == limit) {
      pieces.push_back(text);  // what is left keeps its trailing space
      break;
    }
    std::size_t end = 0;
    for (std::size_t next = 0; next < text.size(); end = next) {
      if (is_space(next_code_point(text, next))) break;
    }
    pieces.push_back(text.substr(0, end));
    text = strip(text.substr(end), Side::left);
  }
  return pieces;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separator,
                                    std::int64_t limit) {
  std::vector<std::string_view> pieces;
  std::size_t position = 0;
  for (; limit != 0; --limit) {
    const std::size_t found = find(text, separator, position);
    if (found == std::string_view::npos) break;
    pieces.push_back(text.substr(position, found - position));
    position = found + separator.size();
  }
  pieces.push_back(text.substr(position));
  return pieces;
}

std::vector<std::string_view> split_right(std::string_view text, std::int64_t limit) {
  std::vector<std::string_view> pieces;
  text = strip(text, Side::right);
  while (!text.empty()) {
    if (limit >= 0 && std::int64_t(pieces.size()) == limit) {
      pieces.push_back(text);
      break;
    }
    std::size_t begin = text.size();
    while (begin > 0) {
      const std::size_t previous = previous_code_point(text, begin);
      std::size_t position = previous;
      if (is_space(next_code_point(text, position))) break;
      begin = previous;
    }
    pieces.push_back(text.substr(begin));
    text = strip(text.substr(0, begin), Side::right);
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

std::vector<std::string_view> split_right(std::string_view text, std::string_view separator,
                                          std::int64_t limit) {
  const std::string mirrored = reversed_bytes(text);
  const std::string mirrored_separator = reversed_bytes(separator);
  std::vector<std::string_view> pieces;
  for (std::string_view piece : split(mirrored, mirrored_separator, limit)) {
    const auto end = std::size_t(piece.data() + piece.size() - mirrored.data());
    pieces.push_back(text.substr(text.size() - end, piece.size()));
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  std::size_t begin = 0;
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t end = position;
    const char32_t c = next_code_point(text, position);
    if (!is_line_end(c)) continue;
    if (c == '\r' && position < text.size() && text[position] == '\n') ++position;
    lines.push_back(text.substr(begin, (keep_ends ? position : end) - begin));
    begin = position;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

namespace {

/// utf8proc maps one character to one; these grow, as Unicode's SpecialCasing.txt has it.
std::string_view special_upper(char32_t c) {
  switch (c) {
    case 0x00DF:
      return "SS";
    case 0x0149:
      return "\u02BCN";
    case 0x01F0:
      return "J\u030C";
    case 0xFB00:
      return "FF";
    case 0xFB01:
      return "FI";
    case 0xFB02:
      return "FL";
    case 0xFB03:
      return "FFI";
    case 0xFB04:
      return "FFL";
    case 0xFB05:
    case 0xFB06:
      return "ST";
    default:
      return {};
  }
}

void append_upper(std::string& out, char32_t c) {
  const std::string_view special = special_upper(c);
  if (!special.empty())
    out += special;
  else
    append_utf8(out, char32_t(utf8proc_toupper(utf8proc_int32_t(c))));
}

void append_title(std::string& out, char32_t c) {
  const std::string_view special = special_upper(c);
  if (!special.empty())
    out += special.substr(0, 1), out += lower(special.substr(1));
  else
    append_utf8(out, char32_t(utf8proc_totitle(utf8proc_int32_t(c))));
}

/// A sigma that ends a word has its own small letter.
bool is_final_sigma(std::string_view text, std::size_t begin, std::size_t end) {
  if (begin == 0) return false;
  std::size_t before = previous_code_point(text, begin);
  if (!has_case(next_code_point(text, before))) return false;
  return end == text.size() || !has_case(next_code_point(text, end));
}

void append_lower(std::string& out, std::string_view text, std::size_t begin, std::size_t end) {
  std::size_t position = begin;
  const char32_t c = next_code_point(text, position);
  if (c == 0x0130)
    out += "i\u0307";
  else if (c == 0x03A3 && is_final_sigma(text, begin, end))
    append_utf8(out, 0x03C2);
  else
    append_utf8(out, char32_t(utf8proc_tolower(utf8proc_int32_t(c))));
}

}  // namespace

std::string upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t position = 0; position < text.size();)
    append_upper(out, next_code_point(text, position));
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  if (is_ascii(text)) {
    for (const char c : text) out += c >= 'A' && c <= 'Z' ? char(c + 32) : c;
    return out;
  }
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    next_code_point(text, position);
    append_lower(out, text, begin, position);
  }
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  if (text.empty()) return out;
  std::size_t position = 0;
  append_title(out, next_code_point(text, position));
  return out + lower(text.substr(position));
}

std::string title(std::string_view text) {
  std::string out;
  bool in_word = false;
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    const char32_t c = next_code_point(text, position);
    if (in_word)
      append_lower(out, text, begin, position);
    else
      append_title(out, c);
    in_word = has_case(c);
  }
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    const char32_t c = next_code_point(text, position);
    if (is_upper_letter(c))
      append_lower(out, text, begin, position);
    else if (is_lower_letter(c))
      append_upper(out, c);
    else
      append_utf8(out, c);
  }
  return out;
}

bool all_space(std::string_view text) { return all_code_points(text, is_space); }

bool all_digits(std::string_view text) {
  return all_code_points(text, [](char32_t c) {
    return utf8proc_category(utf8proc_int32_t(c)) == UTF8PROC_CATEGORY_ND || c == 0xB2 ||
           c == 0xB3 || c == 0xB9 || (c >= 0x2070 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089);
  });
}

bool all_letters(std::string_view text) { return all_code_points(text, is_letter); }

bool all_letters_or_digits(std::string_view text) {
  return all_code_points(text, [](char32_t c) {
    const auto category = utf8proc_category(utf8proc_int32_t(c));
    return is_letter(c) || (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
  });
}

namespace {
template <typename Wanted, typename Unwanted>
bool all_cased(std::string_view text, Wanted wanted, Unwanted unwanted) {
  bool any = false;
  for (std::size_t position = 0; position < text.size();) {
    const char32_t c = next_code_point(text, position);
    if (unwanted(c) || utf8proc_category(utf8proc_int32_t(c)) == UTF8PROC_CATEGORY_LT) return false;
    any = any || wanted(c);
  }
  return any;
}
}  // namespace

bool all_lower(std::string_view text) { return all_cased(text, is_lower_letter, is_upper_letter); }
bool all_upper(std::string_view text) { return all_cased(text, is_upper_letter, is_lower_letter); }

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string quoted(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const bool has_double = text.find('"') != std::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t position = 0; position < text.size();) {
    const char32_t c = next_code_point(text, position);
    if (c == char32_t(quote) || c == '\\')
      out += '\\', out += char(c);
    else if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (is_printable(c))
      append_utf8(out, c);
    else if (c < 0x100)
      out += fmt::format("\\x{:02x}", unsigned(c));
    else if (c < 0x10000)
      out += fmt::format("\\u{:04x}", unsigned(c));
    else
      out += fmt::format("\\U{:08x}", unsigned(c));
  }
  out += quote;
  return out;
}

}  // namespace isotope::text::jinja::utf8
