// Test support: reproducible inputs that BF16 holds exactly.
#pragma once

#include <cstdint>

namespace isotope::ops::testing {

/// Element i of a stream of multiples of 1/128 in [-1, 1). tools/make_ops_fixtures.py has the same
/// function.
inline float noise(std::uint32_t stream, std::uint32_t i) {
  std::uint32_t x = i * 2654435761u + stream * 40503u + 12345u;
  x ^= x >> 16;
  x *= 2246822519u;
  x ^= x >> 13;
  x *= 3266489917u;
  x ^= x >> 16;
  return float(int(x & 255) - 128) / 128.0f;
}

}  // namespace isotope::ops::testing
