#include "text/grammar/json_numbers.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace isotope::text {
namespace {

constexpr std::size_t kMaxWhole = 15, kMaxFraction = 12;

/// Digits of the integers between two decimals, as text: [first, last]; empty if first > last.
struct WholeRange {
  std::string first, last;
};

bool less(const std::string& a, const std::string& b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

std::string plus_one(std::string digits) {
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
    if (*digit != '9') {
      ++*digit;
      return digits;
    }
    *digit = '0';
  }
  return "1" + digits;
}

std::string minus_one(std::string digits) {
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
    if (*digit != '0') {
      --*digit;
      break;
    }
    *digit = '9';
  }
  if (digits.size() > 1 && digits[0] == '0') digits.erase(0, 1);
  return digits;
}

/// Grammars of decimal digits.
class DigitGrammar {
 public:
  explicit DigitGrammar(GrammarBuilder& builder) : builder_(builder) {}

  GrammarExpr digit(char first, char last) {
    return builder_.byte_range(std::uint8_t(first), std::uint8_t(last));
  }
  GrammarExpr digits(std::size_t min, std::size_t max) {
    return builder_.repeat(digit('0', '9'), std::int32_t(min), std::int32_t(max));
  }

  /// Non-negative integers without zeros in front.
  GrammarExpr between(const WholeRange& range) {
    std::vector<GrammarExpr> parts;
    for (std::size_t length = range.first.size(); length <= range.last.size(); ++length) {
      std::string first = "1" + std::string(length - 1, '0'), last(length, '9');
      if (length == 1) first = "0";
      if (less(first, range.first)) first = range.first;
      if (less(range.last, last)) last = range.last;
      if (!less(last, first)) parts.push_back(same_length(first, last));
    }
    return builder_.alternatives(std::move(parts));
  }

  /// Fractions (with their point, or none) that are at least, or more than, 0.`bound`.
  GrammarExpr fraction_from(const std::string& bound, bool exclusive, std::size_t longest) {
    if (bound.empty() && !exclusive) return any_fraction(longest);
    if (bound.empty()) return builder_.sequence({builder_.literal("."), nonzero_digits(longest)});
    GrammarExpr tail =
        exclusive ? nonzero_digits(longest - bound.size()) : digits(0, longest - bound.size());
    for (std::size_t i = bound.size(); i-- > 0;) {
      std::vector<GrammarExpr> parts = {builder_.sequence({digit(bound[i], bound[i]), tail})};
      if (bound[i] < '9')
        parts.push_back(
            builder_.sequence({digit(char(bound[i] + 1), '9'), digits(0, longest - i - 1)}));
      tail = builder_.alternatives(std::move(parts));
    }
    return builder_.sequence({builder_.literal("."), tail});
  }

  /// Fractions that are at most, or less than, 0.`bound`.
  GrammarExpr fraction_to(const std::string& bound, bool exclusive, std::size_t longest) {
    const auto zeros = [&](std::size_t min, std::size_t max) {
      return builder_.repeat(digit('0', '0'), std::int32_t(min), std::int32_t(max));
    };
    if (bound.empty() && exclusive) return builder_.never();
    if (bound.empty())
      return builder_.optional(builder_.sequence({builder_.literal("."), zeros(1, longest)}));
    GrammarExpr tail = exclusive ? builder_.never() : zeros(0, longest - bound.size());
    for (std::size_t i = bound.size(); i-- > 0;) {
      // Ending after a part of the bound's digits is less than the bound.
      if (i + 1 < bound.size()) tail = builder_.optional(tail);
      std::vector<GrammarExpr> parts = {builder_.sequence({digit(bound[i], bound[i]), tail})};
      if (bound[i] > '0')
        parts.push_back(
            builder_.sequence({digit('0', char(bound[i] - 1)), digits(0, longest - i - 1)}));
      tail = builder_.alternatives(std::move(parts));
    }
    return builder_.optional(builder_.sequence({builder_.literal("."), tail}));
  }

  GrammarExpr any_fraction(std::size_t longest) {
    return builder_.optional(builder_.sequence({builder_.literal("."), digits(1, longest)}));
  }

 private:
  /// Up to `longest` digits that are not all zero.
  GrammarExpr nonzero_digits(std::size_t longest) {
    if (longest == 0) return builder_.never();
    return builder_.except(digits(1, longest), builder_.repeat(digit('0', '0'), 1));
  }

  GrammarExpr same_length(const std::string& first, const std::string& last) {
    if (first.empty()) return builder_.empty();
    const std::size_t rest = first.size() - 1;
    const std::string lows(rest, '0'), highs(rest, '9');
    if (first.substr(1) == lows && last.substr(1) == highs)
      return builder_.sequence({digit(first[0], last[0]), digits(rest, rest)});
    const auto from = [&](char head, const std::string& low, const std::string& high) {
      return builder_.sequence({digit(head, head), same_length(low, high)});
    };
    if (first[0] == last[0]) return from(first[0], first.substr(1), last.substr(1));
    std::vector<GrammarExpr> parts = {from(first[0], first.substr(1), highs),
                                      from(last[0], lows, last.substr(1))};
    if (last[0] - first[0] > 1)
      parts.push_back(
          builder_.sequence({digit(char(first[0] + 1), char(last[0] - 1)), digits(rest, rest)}));
    return builder_.alternatives(std::move(parts));
  }

  GrammarBuilder& builder_;
};

/// Where numbers of one sign lie, by their absolute values.
struct Magnitudes {
  Bound min, max;
};

constexpr auto kLargest = "999999999999999";

/// nullopt if no number of that sign is in the range. Negative numbers do not include "-0".
std::optional<Magnitudes> magnitudes(const NumberRange& range, bool negative) {
  const std::optional<Bound>& low = negative ? range.max : range.min;
  const std::optional<Bound>& high = negative ? range.min : range.max;
  Magnitudes result{{Decimal{}, negative}, {Decimal{false, kLargest, {}}, false}};
  if (low && low->value.negative == negative && !low->value.is_zero()) result.min = *low;
  if (low && low->value.is_zero() && !negative) result.min.exclusive = low->exclusive;
  if (high) {
    if (high->value.negative != negative && !high->value.is_zero()) return std::nullopt;
    result.max = *high;
  }
  result.min.value.negative = result.max.value.negative = false;
  const int order = compare(result.min.value, result.max.value);
  if (order > 0 || (order == 0 && (result.min.exclusive || result.max.exclusive)))
    return std::nullopt;
  return result;
}

/// The integers within; nullopt if there are none.
std::optional<WholeRange> whole_range(const Magnitudes& within) {
  WholeRange range{within.min.value.whole, within.max.value.whole};
  if (!within.min.value.is_integer() || within.min.exclusive) range.first = plus_one(range.first);
  if (within.max.value.is_integer() && within.max.exclusive) {
    if (range.last == "0") return std::nullopt;
    range.last = minus_one(range.last);
  }
  if (less(range.last, range.first)) return std::nullopt;
  return range;
}

GrammarExpr decimals_within(GrammarBuilder& builder, const Magnitudes& within) {
  DigitGrammar grammar(builder);
  const std::string &first = within.min.value.whole, &last = within.max.value.whole;
  // As many digits as doubles tell apart, so that no number rounds to a bound that it may not be.
  const std::size_t whole = std::max(first.size(), last == kLargest ? 1 : last.size());
  const std::size_t room = whole < kMaxWhole ? kMaxWhole - whole : 1;
  const std::size_t longest =
      std::max({std::size_t(1), std::min(room, kMaxFraction), within.min.value.fraction.size() + 1,
                within.max.value.fraction.size() + 1});
  const GrammarExpr from =
      grammar.fraction_from(within.min.value.fraction, within.min.exclusive, longest);
  const GrammarExpr to =
      grammar.fraction_to(within.max.value.fraction, within.max.exclusive, longest);
  if (first == last) return builder.sequence({builder.literal(first), builder.both(from, to)});
  std::vector<GrammarExpr> parts = {builder.sequence({builder.literal(first), from}),
                                    builder.sequence({builder.literal(last), to})};
  const WholeRange between{plus_one(first), minus_one(last)};
  if (!less(between.last, between.first))
    parts.push_back(builder.sequence({grammar.between(between), grammar.any_fraction(longest)}));
  return builder.alternatives(std::move(parts));
}

/// Both signs, each with what `make` gives for its magnitudes.
template <typename Make>
GrammarExpr both_signs(GrammarBuilder& builder, const NumberRange& range, const Make& make) {
  std::vector<GrammarExpr> parts;
  if (const auto within = magnitudes(range, false)) parts.push_back(make(*within));
  if (const auto within = magnitudes(range, true))
    parts.push_back(builder.sequence({builder.literal("-"), make(*within)}));
  return builder.alternatives(std::move(parts));
}

}  // namespace

std::optional<Decimal> decimal_of(const json::value& number) {
  std::string text;
  if (const double* real = number.if_double())
    text = fmt::format("{:.{}f}", *real, kMaxFraction);
  else
    text = number.is_int64() ? std::to_string(number.get_int64())
                             : std::to_string(number.get_uint64());
  Decimal result;
  if (text.starts_with("-")) {
    result.negative = true;
    text.erase(0, 1);
  }
  const std::size_t point = std::min(text.find('.'), text.size());
  result.whole = text.substr(0, point);
  if (point < text.size()) result.fraction = text.substr(point + 1);
  while (result.fraction.ends_with("0")) result.fraction.pop_back();
  if (result.whole.size() > kMaxWhole) return std::nullopt;
  // What was cut off would make it another number.
  if (const double* real = number.if_double();
      real && std::stod(fmt::format("{}{}.{}", result.negative ? "-" : "", result.whole,
                                    result.fraction)) != *real)
    return std::nullopt;
  if (result.is_zero()) result.negative = false;
  return result;
}

int compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  const int sign = a.negative ? -1 : 1;
  if (a.whole != b.whole) return less(a.whole, b.whole) ? -sign : sign;
  if (a.fraction == b.fraction) return 0;
  return a.fraction < b.fraction ? -sign : sign;
}

GrammarExpr integers_within(JsonParts& parts, const NumberRange& range) {
  GrammarBuilder& builder = parts.builder();
  return both_signs(builder, range, [&](const Magnitudes& within) {
    const auto whole = whole_range(within);
    if (!whole) return builder.never();
    const GrammarExpr all = DigitGrammar(builder).between(*whole);
    if (range.multiple_of <= 1) return all;
    return builder.both(all, builder.digits_of_multiple(range.multiple_of));
  });
}

GrammarExpr numbers_within(JsonParts& parts, const NumberRange& range) {
  GrammarBuilder& builder = parts.builder();
  return both_signs(builder, range,
                    [&](const Magnitudes& within) { return decimals_within(builder, within); });
}

}  // namespace isotope::text
