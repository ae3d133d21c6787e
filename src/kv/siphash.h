// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, 2012).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace isotope::kv {

/// Two 64-bit words, little endian as in the reference: a key, or a digest.
struct SipWords {
  std::uint64_t low = 0, high = 0;
  bool operator==(const SipWords&) const = default;
};

SipWords siphash128(const SipWords& key, std::span<const std::byte> message);

}  // namespace isotope::kv
