#include "cli/bench/schedule.h"

#include <cmath>
#include <random>

namespace isotope::cli {

std::vector<double> arrival_times(std::size_t count, double rate, double burstiness,
                                  std::uint64_t seed) {
  std::vector<double> times(count, 0.0);
  if (std::isinf(rate) || count == 0) return times;
  std::mt19937_64 random(seed);
  std::gamma_distribution<double> gap(std::isinf(burstiness) ? 1.0 : burstiness, 1.0);
  double time = 0;
  for (double& due : times) due = time += std::isinf(burstiness) ? 1.0 : gap(random);
  // A tiny burstiness can make every gap vanish; then all are due at the end, as its limit says.
  const double wanted = double(count) / rate;
  for (double& due : times) due = time > 0 ? due * wanted / time : wanted;
  return times;
}

}  // namespace isotope::cli
