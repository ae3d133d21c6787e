#include <algorithm>
#include <array>

#include "base/error.h"
#include "ops/bandwidth/bandwidth.h"
#include "ops/bandwidth/bandwidth_params.h"
#include "ops/gpu/kernel_library.h"

namespace isotope::ops::gpu {
namespace {

using isotope::gpu::kReadThreads;

constexpr std::size_t kUsualBytes = std::size_t(4) << 30;
constexpr std::array kBlocksPerMultiprocessor = {2, 4, 8, 16};
constexpr int kPasses = 12;  ///< of each pattern; clocks rise during the first
/// A pattern is given up after this time: on a slow device the first passes say enough.
constexpr float kEnoughMs = 1000;

KernelName kernel_name() { return {{"bandwidth", "ops/bandwidth/bandwidth.cu", {}}, "read_once"}; }

}  // namespace

std::size_t read_threads(int blocks) { return std::size_t(blocks) * kReadThreads; }

void read_once(Context& context, const void* data, std::size_t bytes, int blocks, void* sums) {
  ISOTOPE_ASSERT(bytes % 16 == 0);
  const isotope::gpu::ReadParams params{data, static_cast<unsigned*>(sums),
                                        static_cast<long long>(bytes / 16)};
  device::Launch launch;
  launch.grid = {std::uint32_t(blocks), 1, 1};
  launch.threads = kReadThreads;
  launch.overlaps_predecessor = true;
  context.kernels().launch(kernel_name(), launch, params);
}

double gpu_read_bandwidth(Context& context, std::size_t bytes) {
  auto& gpu = static_cast<device::Gpu&>(context.device());
  if (bytes == 0) bytes = std::min(kUsualBytes, gpu.memory().available / 2);
  bytes -= bytes % 16;
  const int multiprocessors = std::max(1, gpu.properties().multiprocessors);
  const device::Buffer data = gpu.allocate(bytes, "memory to read");
  const device::Buffer sums =
      gpu.allocate(read_threads(kBlocksPerMultiprocessor.back() * multiprocessors) * 4, "sums");
  const auto begin = gpu.create_event(), end = gpu.create_event();
  context.kernels().build({kernel_name().unit});
  float best = 0;
  for (const int per_multiprocessor : kBlocksPerMultiprocessor) {
    float spent = 0;
    for (int pass = 0; pass < kPasses && spent < kEnoughMs; ++pass) {
      gpu.record(*begin);
      read_once(context, data.data(), bytes, per_multiprocessor * multiprocessors, sums.data());
      gpu.record(*end);
      const float ms = gpu.elapsed_ms(*begin, *end);
      spent += ms;
      if (best == 0 || ms < best) best = ms;
    }
  }
  ISOTOPE_ASSERT(best > 0);
  return double(bytes) / (double(best) * 1e-3);
}

}  // namespace isotope::ops::gpu
