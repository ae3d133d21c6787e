#include "text/grammar/grammar.h"

#include <algorithm>

#include "base/error.h"
#include "text/utf8.h"

namespace isotope::text {
namespace {

std::vector<std::int32_t> indices(const std::vector<GrammarExpr>& parts) {
  std::vector<std::int32_t> result;
  for (const GrammarExpr part : parts) {
    ISOTOPE_ASSERT(part.index >= 0);
    result.push_back(part.index);
  }
  return result;
}

std::string utf8_of(char32_t c) {
  std::string bytes;
  append_utf8(c, bytes);
  return bytes;
}

/// The largest character that needs as many bytes as `c`.
char32_t last_of_length(char32_t c) {
  for (const char32_t last : {0x7F, 0x7FF, 0xFFFF})
    if (c <= last) return last;
  return kLastCodePoint;
}

}  // namespace

GrammarExpr GrammarBuilder::add(Grammar::Node node) {
  if (grammar_.nodes_.size() >= kMaxGrammarNodes)
    fail(ErrorCode::invalid_argument,
         "the grammar has more than {} parts; shorten enumerations and repetitions",
         kMaxGrammarNodes);
  for (const std::int32_t child : node.children)
    ISOTOPE_ASSERT(child >= 0 && std::size_t(child) < grammar_.nodes_.size());
  grammar_.nodes_.push_back(std::move(node));
  return {std::int32_t(grammar_.nodes_.size() - 1)};
}

GrammarExpr GrammarBuilder::byte_range(std::uint8_t lo, std::uint8_t hi) {
  return add({Grammar::Kind::bytes, 0, lo, hi, {}});
}

GrammarExpr GrammarBuilder::literal(std::string_view bytes) {
  std::vector<GrammarExpr> parts;
  for (const char c : bytes) parts.push_back(byte_range(std::uint8_t(c), std::uint8_t(c)));
  return sequence(std::move(parts));
}

/// Characters of one length in UTF-8. They are cut where the bytes after the first stop running
/// through all their values, until every piece is a product of byte ranges.
GrammarExpr GrammarBuilder::code_point_bytes(char32_t first, char32_t last) {
  const std::size_t length = utf8_of(first).size();
  for (std::size_t rest = 1; rest < length; ++rest) {
    const char32_t mask = (char32_t(1) << (6 * rest)) - 1;  // of what the last `rest` bytes say
    if ((first & ~mask) == (last & ~mask)) continue;
    if ((first & mask) != 0)
      return alternatives(
          {code_point_bytes(first, first | mask), code_point_bytes((first | mask) + 1, last)});
    if ((last & mask) != mask)
      return alternatives(
          {code_point_bytes(first, (last & ~mask) - 1), code_point_bytes(last & ~mask, last)});
  }
  const std::string low = utf8_of(first), high = utf8_of(last);
  std::vector<GrammarExpr> bytes;
  for (std::size_t i = 0; i < length; ++i)
    bytes.push_back(byte_range(std::uint8_t(low[i]), std::uint8_t(high[i])));
  return sequence(std::move(bytes));
}

GrammarExpr GrammarBuilder::character(const CodePoints& set) {
  std::vector<GrammarExpr> parts;
  for (const CodePoints::Range& range : set.ranges()) {
    for (char32_t first = range.first; first <= range.last;) {
      const char32_t last = std::min(range.last, last_of_length(first));
      parts.push_back(code_point_bytes(first, last));
      first = last + 1;
    }
  }
  return alternatives(std::move(parts));
}

GrammarExpr GrammarBuilder::token(TokenId id) {
  ISOTOPE_ASSERT(id >= 0);
  return add({Grammar::Kind::token, id, 0, 0, {}});
}

GrammarExpr GrammarBuilder::sequence(std::vector<GrammarExpr> parts) {
  if (parts.size() == 1) return parts[0];
  return add({Grammar::Kind::sequence, 0, 0, 0, indices(parts)});
}

GrammarExpr GrammarBuilder::alternatives(std::vector<GrammarExpr> parts) {
  if (parts.size() == 1) return parts[0];
  return add({Grammar::Kind::alternatives, 0, 0, 0, indices(parts)});
}

GrammarExpr GrammarBuilder::choice(const std::vector<std::string>& literals) {
  std::vector<GrammarExpr> parts;
  for (const std::string& text : literals) parts.push_back(literal(text));
  return alternatives(std::move(parts));
}

GrammarExpr GrammarBuilder::repeat(GrammarExpr part, std::int32_t min, std::int32_t max) {
  ISOTOPE_ASSERT(min >= 0);
  if (max < min) return never();
  if (max == 0) return empty();
  if (min == 1 && max == 1) return part;
  return add({Grammar::Kind::repeat, 0, min, max, indices({part})});
}

GrammarExpr GrammarBuilder::list(GrammarList list) {
  std::vector<GrammarExpr> children;
  for (const GrammarList::Element& element : list.elements) children.push_back(element.expr);
  children.push_back(list.separator);
  if (list.rest.index >= 0) {
    list.more = sequence({list.separator, list.rest});
    children.push_back(list.more);
  }
  const auto number = std::int32_t(grammar_.lists_.size());
  grammar_.lists_.push_back(std::move(list));
  return add({Grammar::Kind::list, number, 0, 0, indices(children)});
}

GrammarExpr GrammarBuilder::digits_of_multiple(std::int32_t divisor) {
  ISOTOPE_ASSERT(divisor > 0);
  return add({Grammar::Kind::multiple, divisor, 0, 0, {}});
}

GrammarExpr GrammarBuilder::both(GrammarExpr a, GrammarExpr b) {
  return add({Grammar::Kind::both, 0, 0, 0, indices({a, b})});
}

GrammarExpr GrammarBuilder::except(GrammarExpr a, GrammarExpr b) {
  return add({Grammar::Kind::except, 0, 0, 0, indices({a, b})});
}

GrammarExpr GrammarBuilder::text_until(std::string_view marker) {
  ISOTOPE_ASSERT(!marker.empty());
  const GrammarExpr ends_with = sequence({free_text(), literal(marker)});
  return except(ends_with, sequence({ends_with, repeat(byte_range(0, 255), 1)}));
}

GrammarRule GrammarBuilder::declare(std::string name) {
  if (grammar_.rules_.size() >= kMaxGrammarRules)
    fail(ErrorCode::invalid_argument, "the grammar has more than {} rules", kMaxGrammarRules);
  grammar_.rules_.push_back({std::move(name), -1});
  return {std::int32_t(grammar_.rules_.size() - 1)};
}

void GrammarBuilder::define(GrammarRule rule, GrammarExpr body) {
  Grammar::Rule& target = grammar_.rules_[std::size_t(rule.index)];
  ISOTOPE_ASSERT(target.body < 0 && body.index >= 0);
  target.body = body.index;
}

GrammarExpr GrammarBuilder::call(GrammarRule rule) {
  ISOTOPE_ASSERT(rule.index >= 0 && std::size_t(rule.index) < grammar_.rules_.size());
  return add({Grammar::Kind::call, rule.index, 0, 0, {}});
}

Grammar GrammarBuilder::finish(GrammarExpr root) {
  for (const Grammar::Rule& rule : grammar_.rules_) ISOTOPE_ASSERT(rule.body >= 0);
  grammar_.root_ = root.index;
  return std::exchange(grammar_, {});
}

}  // namespace isotope::text
