// Python's random.Random for what evaluation harnesses draw with it: the same seed, the same draws.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace isotope::cli {

/// MT19937 seeded as random.seed(int) does.
class PythonRandom {
 public:
  explicit PythonRandom(std::uint32_t seed);

  /// random.sample(range(population), k). Errors: invalid_argument if k > population.
  std::vector<std::size_t> sample(std::size_t population, std::size_t k);

 private:
  static constexpr std::size_t kWords = 624;

  std::uint32_t next();
  /// Uniform in [0, n), 0 < n < 2^32, by drawing as many bits as n has until they are below n.
  std::size_t below(std::size_t n);
  void twist();

  std::array<std::uint32_t, kWords> state_;
  std::size_t position_ = kWords;
};

}  // namespace isotope::cli
