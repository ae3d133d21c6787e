// What the process takes from the system, as Prometheus' client libraries tell it.
#pragma once

#include <cstdint>
#include <optional>

namespace isotope::server {

/// From /proc; what cannot be read is missing.
struct ProcessStats {
  std::optional<double> cpu_seconds, start_seconds;  ///< user and system; since 1970
  std::optional<std::int64_t> virtual_bytes, resident_bytes, open_descriptors, max_descriptors;
};

ProcessStats process_stats();

}  // namespace isotope::server
