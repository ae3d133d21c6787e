// When each request of a load is due.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace isotope::cli {

/// Seconds after the start, ascending. Gaps follow a gamma distribution with mean 1 / rate: with
/// burstiness 1 a Poisson process, below 1 burstier, above 1 more even, with infinity all the same.
/// As in vLLM all are scaled so that the last request is due at count / rate: the rate is met
/// exactly, whatever the seed. An infinite rate: all at once.
std::vector<double> arrival_times(std::size_t count, double rate, double burstiness,
                                  std::uint64_t seed);

}  // namespace isotope::cli
