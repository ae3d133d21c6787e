// UTF-8 as it arrives from outside: checked, repaired, and cut only between characters.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace isotope::text {

/// What a run of bytes begins with.
struct Utf8Sequence {
  enum Kind {
    valid,    ///< one character of `length` bytes
    invalid,  ///< `length` bytes that one U+FFFD replaces (a maximal subpart, as Unicode calls it)
    incomplete,  ///< all bytes, `length` of them, begin a character whose rest is missing
  };
  Kind kind;
  std::size_t length;
};

/// Classifies the first sequence of `bytes`, which must not be empty.
Utf8Sequence first_utf8_sequence(std::string_view bytes);

/// How many bytes at the end of `bytes` may still become a character once more bytes follow.
std::size_t incomplete_utf8_suffix(std::string_view bytes);

/// Valid UTF-8: every maximal invalid part becomes U+FFFD, as Unicode recommends and Python, Rust
/// and browsers do. What is replaced does not depend on how a stream is cut at
/// incomplete_utf8_suffix().
std::string replace_invalid_utf8(std::string_view bytes);

/// The character that valid, non-empty UTF-8 begins with; `length` receives its bytes.
char32_t first_code_point(std::string_view text, std::size_t& length);
/// The character that valid, non-empty UTF-8 ends with; `length` receives its bytes.
char32_t last_code_point(std::string_view text, std::size_t& length);

void append_utf8(char32_t code_point, std::string& out);

}  // namespace isotope::text
