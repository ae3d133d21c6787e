#include "text/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace isotope::text {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool is_continuation(std::uint8_t byte) { return (byte & 0xC0) == 0x80; }

/// Length of the run of ASCII at the start, eight bytes at a time.
std::size_t ascii_prefix(std::string_view bytes) {
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    if (word & 0x8080808080808080u) break;
  }
  while (i < bytes.size() && std::uint8_t(bytes[i]) < 0x80) ++i;
  return i;
}

/// What a lead byte promises: the character's length, and the range of the second byte, which is
/// narrower where it must exclude overlong forms, surrogates and values above U+10FFFF.
struct Lead {
  std::size_t length;  ///< 0: not a lead byte
  std::uint8_t second_min = 0x80;
  std::uint8_t second_max = 0xBF;
};

Lead classify_lead(std::uint8_t byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {0};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0};
}

}  // namespace

Utf8Sequence first_utf8_sequence(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return std::uint8_t(bytes[i]); };
  const Lead lead = classify_lead(at(0));
  if (lead.length == 0) return {Utf8Sequence::invalid, 1};
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (i == bytes.size()) return {Utf8Sequence::incomplete, i};
    const bool fits =
        i == 1 ? at(1) >= lead.second_min && at(1) <= lead.second_max : is_continuation(at(i));
    if (!fits) return {Utf8Sequence::invalid, i};
  }
  return {Utf8Sequence::valid, lead.length};
}

std::size_t incomplete_utf8_suffix(std::string_view bytes) {
  // The lead byte of an incomplete character is among the last three bytes.
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, bytes.size()); ++back) {
    const std::string_view suffix = bytes.substr(bytes.size() - back);
    if (is_continuation(std::uint8_t(suffix[0]))) continue;
    return first_utf8_sequence(suffix).kind == Utf8Sequence::incomplete ? back : 0;
  }
  return 0;
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string result;
  result.reserve(bytes.size());
  std::size_t good_begin = 0;
  std::size_t i = 0;
  while (i < bytes.size()) {
    i += ascii_prefix(bytes.substr(i));
    if (i == bytes.size()) break;
    const Utf8Sequence sequence = first_utf8_sequence(bytes.substr(i));
    if (sequence.kind != Utf8Sequence::valid) {
      result.append(bytes.substr(good_begin, i - good_begin));
      result.append(kReplacement);
      good_begin = i + sequence.length;
    }
    i += sequence.length;
  }
  result.append(bytes.substr(good_begin));
  return result;
}

char32_t first_code_point(std::string_view text, std::size_t& length) {
  const auto at = [&](std::size_t i) { return char32_t(std::uint8_t(text[i])); };
  const char32_t lead = at(0);
  if (lead < 0x80) {
    length = 1;
    return lead;
  }
  length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code_point = lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) code_point = code_point << 6 | (at(i) & 0x3F);
  return code_point;
}

char32_t last_code_point(std::string_view text, std::size_t& length) {
  std::size_t begin = text.size() - 1;
  while (begin > 0 && is_continuation(std::uint8_t(text[begin]))) --begin;
  return first_code_point(text.substr(begin), length);
}

void append_utf8(char32_t code_point, std::string& out) {
  const auto push = [&](char32_t byte) { out.push_back(char(byte)); };
  if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xC0 | code_point >> 6);
    push(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    push(0xE0 | code_point >> 12);
    push(0x80 | (code_point >> 6 & 0x3F));
    push(0x80 | (code_point & 0x3F));
  } else {
    push(0xF0 | code_point >> 18);
    push(0x80 | (code_point >> 12 & 0x3F));
    push(0x80 | (code_point >> 6 & 0x3F));
    push(0x80 | (code_point & 0x3F));
  }
}

}  // namespace isotope::text
