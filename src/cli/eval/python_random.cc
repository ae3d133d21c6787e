#include "cli/eval/python_random.h"

#include <bit>
#include <numeric>
#include <unordered_set>

#include "base/error.h"

namespace isotope::cli {

PythonRandom::PythonRandom(std::uint32_t seed) {
  // init_by_array of the Mersenne Twister's authors, with the seed as its only word.
  state_[0] = 19650218u;
  for (std::uint32_t i = 1; i < kWords; ++i)
    state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
  std::size_t i = 1;
  const auto mix = [&](std::uint32_t factor) {
    return state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * factor);
  };
  const auto advance = [&] {
    if (++i < kWords) return;
    state_[0] = state_[kWords - 1];
    i = 1;
  };
  for (std::size_t k = 0; k < kWords; ++k) {
    state_[i] = mix(1664525u) + seed;
    advance();
  }
  for (std::size_t k = 1; k < kWords; ++k) {
    state_[i] = mix(1566083941u) - std::uint32_t(i);
    advance();
  }
  state_[0] = 0x80000000u;
}

void PythonRandom::twist() {
  for (std::size_t i = 0; i < kWords; ++i) {
    const std::uint32_t bits = (state_[i] & 0x80000000u) | (state_[(i + 1) % kWords] & 0x7fffffffu);
    state_[i] = state_[(i + 397) % kWords] ^ (bits >> 1) ^ ((bits & 1) != 0 ? 0x9908b0dfu : 0u);
  }
  position_ = 0;
}

std::uint32_t PythonRandom::next() {
  if (position_ == kWords) twist();
  std::uint32_t word = state_[position_++];
  word ^= word >> 11;
  word ^= (word << 7) & 0x9d2c5680u;
  word ^= (word << 15) & 0xefc60000u;
  return word ^ (word >> 18);
}

std::size_t PythonRandom::below(std::size_t n) {
  const int bits = std::bit_width(n);
  for (;;)
    if (const std::size_t drawn = next() >> (32 - bits); drawn < n) return drawn;
}

std::vector<std::size_t> PythonRandom::sample(std::size_t population, std::size_t k) {
  if (k > population || population >= (std::size_t(1) << 32))
    fail(ErrorCode::invalid_argument, "{} examples cannot be drawn from {}", k, population);
  // Python takes the form that needs less memory; the two draw differently.
  std::size_t set_size = 21;
  if (k > 5) {
    std::size_t power = 1;
    while (power < 3 * k) power *= 4;
    set_size += power;
  }
  std::vector<std::size_t> result;
  if (population <= set_size) {
    std::vector<std::size_t> pool(population);
    std::iota(pool.begin(), pool.end(), std::size_t(0));
    for (std::size_t i = 0; i < k; ++i) {
      const std::size_t j = below(population - i);
      result.push_back(pool[j]);
      pool[j] = pool[population - i - 1];
    }
    return result;
  }
  std::unordered_set<std::size_t> selected;
  while (result.size() < k)
    if (const std::size_t j = below(population); selected.insert(j).second) result.push_back(j);
  return result;
}

}  // namespace isotope::cli
