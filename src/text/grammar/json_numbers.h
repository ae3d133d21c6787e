// JSON numbers within bounds, as grammars.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/json.h"
#include "text/grammar/json_parts.h"

namespace isotope::text {

/// A decimal number, exactly as a schema wrote it.
struct Decimal {
  bool negative = false;
  std::string whole = "0";  ///< digits, no zeros in front
  std::string fraction;     ///< digits, no zeros at the end
  bool is_zero() const { return whole == "0" && fraction.empty(); }
  bool is_integer() const { return fraction.empty(); }
};

/// nullopt beyond the range that is served: 15 digits before the point, 12 after it.
std::optional<Decimal> decimal_of(const json::value& number);
/// -1, 0 or 1, as a - b.
int compare(const Decimal& a, const Decimal& b);

struct Bound {
  Decimal value;
  bool exclusive = false;
};

struct NumberRange {
  std::optional<Bound> min, max;
  std::int32_t multiple_of = 0;  ///< of integers; 0: any
  bool unbounded() const { return !min && !max && multiple_of == 0; }
};

/// Integers without fraction and exponent, of at most 15 digits where a bound is missing.
GrammarExpr integers_within(JsonParts& parts, const NumberRange& range);
/// Numbers without exponent. `multiple_of` is not looked at.
GrammarExpr numbers_within(JsonParts& parts, const NumberRange& range);

}  // namespace isotope::text
