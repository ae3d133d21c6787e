// Numbers as Python writes, reads and rounds them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace isotope::text::jinja {

/// The shortest digits that give the same number back: 1.0, 1e+16, inf.
std::string real_to_text(double value);
/// int(text, base): white space around, a sign, underscores between digits, 0x/0o/0b. nullopt if
/// malformed or outside 64 bits.
std::optional<std::int64_t> parse_integer(std::string_view text, int base);
/// float(text).
std::optional<double> parse_real(std::string_view text);
/// round(value, digits): half to even on the decimal digits of the exact value.
double round_real(double value, std::int64_t digits);
/// int(value). nullopt if not finite or outside 64 bits.
std::optional<std::int64_t> truncate_real(double value);

}  // namespace isotope::text::jinja
