// The alphabet of byte-level BPE: GPT-2 spells each of the 256 bytes as one printable character.
#pragma once

#include <string>
#include <string_view>

namespace isotope::text {

/// Appends the spelling of `bytes` (" a" → "Ġa").
void append_byte_spelling(std::string_view bytes, std::string& out);

/// Appends the bytes that `spelling` stands for. False, with `out` unchanged, if a character is not
/// of the alphabet.
bool append_spelled_bytes(std::string_view spelling, std::string& out);

}  // namespace isotope::text
