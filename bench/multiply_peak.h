// A ceiling of a CPU that speeds are compared with: how fast it multiplies (how fast it reads
// memory is ops/bandwidth). Measured, because data sheets speak of other memory and other clocks
// than the machine at hand has.
#pragma once

#include <cstddef>

#include "base/thread_pool.h"

namespace isotope::bench {

/// Floating-point operations per second of BF16 dot products on all threads (FP32 multiply-adds
/// where the CPU has none): AMX tiles if `amx`, else the widest vectors. The best of a few runs.
double multiply_peak(ThreadPool& pool, bool amx);

}  // namespace isotope::bench
