// The counter-based random numbers of sampling.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace isotope::ops {

/// Philox4x32 with 10 rounds (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1,
/// 2, 3", SC 2011): a bijection of 128-bit counters for each 64-bit key.
inline std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
  constexpr std::uint64_t kMultiply0 = 0xD2511F53, kMultiply1 = 0xCD9E8D57;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiply0 * counter[0];
    const std::uint64_t product1 = kMultiply1 * counter[2];
    counter = {std::uint32_t(product1 >> 32) ^ counter[1] ^ key[0], std::uint32_t(product1),
               std::uint32_t(product0 >> 32) ^ counter[3] ^ key[1], std::uint32_t(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

/// The random bits of tokens 4·group … 4·group + 3 at the position `counter` of a request with
/// `seed`.
inline std::array<std::uint32_t, 4> token_bits(std::uint64_t seed, std::uint64_t counter,
                                               std::uint32_t group) {
  return philox4x32_10({group, 0, std::uint32_t(counter), std::uint32_t(counter >> 32)},
                       {std::uint32_t(seed), std::uint32_t(seed >> 32)});
}

/// A sample of the standard Gumbel distribution: -ln(-ln(u)), u uniform in (0, 1).
inline double gumbel(std::uint32_t bits) {
  return -std::log(-std::log((double(bits) + 0.5) * 0x1p-32));
}

}  // namespace isotope::ops
