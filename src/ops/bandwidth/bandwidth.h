// The streaming-read bandwidth of a device, measured: what decode speeds are compared with, because
// data sheets speak of other memory and other clocks than the machine at hand has.
#pragma once

#include <cstddef>

#include "base/thread_pool.h"
#include "ops/context.h"

namespace isotope::ops {

/// Bytes per second: the best of several patterns and passes over a buffer much larger than the
/// caches. `bytes` 0: on a GPU 4 GiB or half of what is free, on a CPU 1 GiB.
double read_bandwidth(Context& context, std::size_t bytes = 0);

/// With all threads of a pool, window by window: the best of `repeats` passes over `bytes`, in each
/// of several patterns.
double cpu_read_bandwidth(ThreadPool& pool, std::size_t bytes = std::size_t(1) << 30,
                          int repeats = 5);

namespace gpu {

double gpu_read_bandwidth(Context& context, std::size_t bytes);

/// Reads `bytes` (a multiple of 16) at `data` once, with `blocks` blocks; `sums` gets the sum of
/// all 32-bit words that a thread has read, for each of read_threads(blocks) threads.
void read_once(Context& context, const void* data, std::size_t bytes, int blocks, void* sums);
std::size_t read_threads(int blocks);

}  // namespace gpu
}  // namespace isotope::ops
