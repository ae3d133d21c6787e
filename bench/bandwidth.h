// The two ceilings of a CPU that speeds are compared with: how fast it reads memory, and how fast
// it multiplies. Measured, because data sheets speak of other memory and other clocks than the
// machine at hand has.
#pragma once

#include <cstddef>

#include "base/thread_pool.h"

namespace isotope::bench {

/// Bytes per second at which all threads of the pool together read a buffer much larger than the
/// caches: the best of `repeats` passes over `bytes`, in each of several patterns.
double streaming_read_bandwidth(ThreadPool& pool, std::size_t bytes = std::size_t(1) << 30,
                                int repeats = 5);

/// Floating-point operations per second of BF16 dot products on all threads (FP32 multiply-adds
/// where the CPU has none): AMX tiles if `amx`, else the widest vectors. The best of a few runs.
double multiply_peak(ThreadPool& pool, bool amx);

}  // namespace isotope::bench
