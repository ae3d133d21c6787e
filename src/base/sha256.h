// SHA-256 (FIPS 180-4): names what is kept on disk by everything that made it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace isotope {

using Sha256Digest = std::array<std::byte, 32>;

class Sha256 {
 public:
  void update(std::span<const std::byte> data);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  /// The text preceded by its length, so that ("ab", "c") and ("a", "bc") differ.
  void update_field(std::string_view text);
  /// Ends the message; the object is of no further use.
  Sha256Digest finish();

 private:
  void compress(const std::byte* block);

  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> pending_{};
  std::uint64_t length_ = 0;
};

Sha256Digest sha256(std::span<const std::byte> data);
std::string hex(const Sha256Digest& digest);

}  // namespace isotope
