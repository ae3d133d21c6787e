// Python's string methods on UTF-8, counted in code points. Every text given must be valid UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace isotope::text::jinja::utf8 {

bool valid_utf8(std::string_view text);
std::size_t code_point_count(std::string_view text);
/// Where the code point with this number begins; text.size() if there are fewer.
std::size_t byte_offset(std::string_view text, std::size_t code_point);
/// Decodes one code point and advances `position` past it.
char32_t next_code_point(std::string_view text, std::size_t& position);
void append_utf8(std::string& out, char32_t code_point);
std::vector<std::string_view> characters(std::string_view text);
std::string reversed(std::string_view text);

/// str.isspace() of one character.
bool is_space(char32_t code_point);
bool is_identifier(std::string_view text);
bool is_printable(char32_t code_point);

enum class Side { left, right, both };
/// Without `characters`: white space.
std::string_view strip(std::string_view text, Side side,
                       std::optional<std::string_view> characters = std::nullopt);

/// As std::string_view::find, in linear time whatever the needle.
std::size_t find(std::string_view text, std::string_view needle, std::size_t from = 0);
std::size_t find_last(std::string_view text, std::string_view needle);
/// Occurrences that do not overlap.
std::size_t count(std::string_view text, std::string_view needle);
std::string replace(std::string_view text, std::string_view old, std::string_view replacement,
                    std::int64_t limit);

/// At white space, or at `separator` (not empty); at most `limit` cuts unless it is negative.
std::vector<std::string_view> split(std::string_view text, std::int64_t limit);
std::vector<std::string_view> split(std::string_view text, std::string_view separator,
                                    std::int64_t limit);
/// The same from the end.
std::vector<std::string_view> split_right(std::string_view text, std::int64_t limit);
std::vector<std::string_view> split_right(std::string_view text, std::string_view separator,
                                          std::int64_t limit);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
/// str.title(): every run of letters.
std::string title(std::string_view text);
std::string swap_case(std::string_view text);

bool all_space(std::string_view text);
bool all_digits(std::string_view text);
bool all_letters(std::string_view text);
bool all_letters_or_digits(std::string_view text);
/// Has letters with case, all of them of this one.
bool all_lower(std::string_view text);
bool all_upper(std::string_view text);

std::string escape_html(std::string_view text);
/// In Python's quotes, with its escapes.
std::string quoted(std::string_view text);

}  // namespace isotope::text::jinja::utf8
