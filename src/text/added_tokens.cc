#include "text/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>

#include "text/utf8.h"
#include "text/vocabulary.h"

namespace isotope::text {
namespace {

/// A word character as Unicode's regular expressions define it (UTS #18, annex C), except for the
/// few symbols that are alphabetic without being letters.
bool is_word_character(char32_t c) {
  constexpr char32_t kZeroWidthNonJoiner = 0x200C, kZeroWidthJoiner = 0x200D;
  switch (utf8proc_category(utf8proc_int32_t(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return c == kZeroWidthNonJoiner || c == kZeroWidthJoiner;
  }
}

/// Unicode's White_Space property.
bool is_white_space(char32_t c) {
  switch (utf8proc_category(utf8proc_int32_t(c))) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return true;
    default:
      return (c >= '\t' && c <= '\r') || c == 0x85;
  }
}

bool ends_inside_word(std::string_view text) {
  std::size_t length = 0;
  return !text.empty() && is_word_character(last_code_point(text, length));
}

bool starts_inside_word(std::string_view text) {
  std::size_t length = 0;
  return !text.empty() && is_word_character(first_code_point(text, length));
}

std::size_t white_space_at_end(std::string_view text) {
  std::size_t total = 0;
  std::size_t length = 0;
  while (!text.empty() && is_white_space(last_code_point(text, length))) {
    total += length;
    text.remove_suffix(length);
  }
  return total;
}

std::size_t white_space_at_start(std::string_view text) {
  std::size_t total = 0;
  std::size_t length = 0;
  while (!text.empty() && is_white_space(first_code_point(text, length))) {
    total += length;
    text.remove_prefix(length);
  }
  return total;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  if (tokens_.empty()) return;
  std::sort(tokens_.begin(), tokens_.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; });
  first_.assign(257, 0);
  for (const AddedToken& token : tokens_) ++first_[std::uint8_t(token.content[0]) + 1u];
  for (std::size_t byte = 1; byte < first_.size(); ++byte) first_[byte] += first_[byte - 1];
}

const AddedToken* AddedTokenMatcher::longest_prefix(std::string_view text) const {
  const auto lead = std::uint8_t(text[0]);
  auto begin = tokens_.begin() + first_[lead];
  auto end = tokens_.begin() + first_[lead + 1u];
  const AddedToken* longest = nullptr;
  // tokens_[begin, end) are those that agree with `text` in the first `depth` bytes.
  for (std::size_t depth = 1; begin != end; ++depth) {
    if (begin->content.size() == depth) longest = &*begin++;
    if (depth == text.size()) break;
    const auto next = std::uint8_t(text[depth]);
    begin = std::partition_point(begin, end, [&](const AddedToken& token) {
      return std::uint8_t(token.content[depth]) < next;
    });
    end = std::partition_point(begin, end, [&](const AddedToken& token) {
      return std::uint8_t(token.content[depth]) == next;
    });
  }
  return longest;
}

std::vector<TextSegment> AddedTokenMatcher::split(std::string_view text) const {
  std::vector<TextSegment> segments;
  const auto push = [&](TokenId id, std::size_t begin, std::size_t end) {
    if (begin < end) segments.push_back({id, {std::uint32_t(begin), std::uint32_t(end)}});
  };
  std::size_t done = 0;
  std::size_t position = tokens_.empty() ? text.size() : 0;
  while (position < text.size()) {
    const AddedToken* token = longest_prefix(text.substr(position));
    if (!token) {
      ++position;
      continue;
    }
    std::size_t begin = position;
    std::size_t end = position + token->content.size();
    position = end;
    if (token->single_word &&
        (ends_inside_word(text.substr(0, begin)) || starts_inside_word(text.substr(end))))
      continue;
    if (token->lstrip) begin -= white_space_at_end(text.substr(done, begin - done));
    if (token->rstrip) end += white_space_at_start(text.substr(end));
    push(kNoToken, done, begin);
    push(token->id, begin, end);
    done = position = end;
  }
  push(kNoToken, done, text.size());
  return segments;
}

}  // namespace isotope::text
