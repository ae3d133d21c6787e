#include "text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "text/utf8.h"

namespace isotope::text {
namespace {

/// The bytes that Latin-1 prints stand for themselves; the others, in order, for U+0100 and
/// following.
constexpr bool spells_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr int kAlphabetEnd = 0x100 + 68;  // 256 bytes less the 188 that spell themselves

struct Alphabet {
  std::array<char16_t, 256> character{};
  std::array<std::int16_t, kAlphabetEnd> byte{};
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  alphabet.byte.fill(-1);
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const int character = spells_itself(byte) ? byte : next++;
    alphabet.character[std::size_t(byte)] = char16_t(character);
    alphabet.byte[std::size_t(character)] = std::int16_t(byte);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

void append_byte_spelling(std::string_view bytes, std::string& out) {
  for (const char byte : bytes) append_utf8(kAlphabet.character[std::uint8_t(byte)], out);
}

bool append_spelled_bytes(std::string_view spelling, std::string& out) {
  const std::size_t size_before = out.size();
  while (!spelling.empty()) {
    std::size_t length = 0;
    const char32_t character = first_code_point(spelling, length);
    if (character >= kAlphabetEnd || kAlphabet.byte[character] < 0) {
      out.resize(size_before);
      return false;
    }
    out.push_back(char(kAlphabet.byte[character]));
    spelling.remove_prefix(length);
  }
  return true;
}

}  // namespace isotope::text
