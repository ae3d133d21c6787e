// What the benchmarks of GPU kernels share: inputs, times between events, arguments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "device/gpu.h"

namespace isotope::bench {

/// 4 MiB of normally distributed numbers with mean 0. Equal numbers would take less power, hence
/// run faster than a model does.
std::vector<std::byte> normal_noise(DType dtype, float sigma);
/// 4 MiB of random bytes that are neither NaN nor large, as BF16 and as E4M3.
std::vector<std::byte> code_noise();

/// Repeats `pattern` over `bytes` of the card's memory.
void fill(device::Gpu& gpu, void* data, std::size_t bytes, const std::vector<std::byte>& pattern);

/// Median microseconds of what `work` queues, over `runs` after a first that does not count.
double median_us(device::Gpu& gpu, int runs, const std::function<void()>& work);
/// The same of a graph that is captured from `work`, after a first call that compiles kernels.
double median_us_of_graph(device::Gpu& gpu, int runs, const std::function<void()>& work);

/// The arguments from `first` on as numbers of at least 1, or `usual` if there are none.
std::vector<std::int64_t> counts_from(int argc, char** argv, int first,
                                      std::vector<std::int64_t> usual);

/// Runs `body` with the GPU of this name ("cuda", "hip", "cuda:1"); returns the exit status.
int run_on_gpu(const std::string& name, const std::function<void(device::Gpu&)>& body);

}  // namespace isotope::bench
