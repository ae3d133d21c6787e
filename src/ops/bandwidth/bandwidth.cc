#include "ops/bandwidth/bandwidth.h"

#include "device/cpu/cpu_device.h"

namespace isotope::ops {

double read_bandwidth(Context& context, std::size_t bytes) {
  if (context.on_gpu()) return gpu::gpu_read_bandwidth(context, bytes);
  ThreadPool& pool = static_cast<device::CpuDevice&>(context.device()).pool();
  return cpu_read_bandwidth(pool, bytes > 0 ? bytes : std::size_t(1) << 30);
}

}  // namespace isotope::ops
