#include "ops/swiglu/swiglu.h"

#include <algorithm>

#include "base/checked.h"
#include "base/error.h"
#include "device/cpu/cpu_device.h"
#include "ops/swiglu/swiglu_gpu.h"
#include "ops/swiglu/swiglu_row.h"

namespace isotope::ops {
namespace {

/// Values of one task: a few microseconds, well above the price of handing it out.
constexpr std::int64_t kTaskValues = 2048;

void check(const TensorView& gate_up, const TensorView& out) {
  const bool dtype_fits = out.dtype == DType::f32 || out.dtype == DType::bf16;
  if (!dtype_fits || gate_up.dtype != out.dtype || gate_up.shape.rank() != 2 ||
      out.shape.rank() != 2 || gate_up.shape[0] != out.shape[0] ||
      gate_up.shape[1] != 2 * out.shape[1])
    fail(ErrorCode::internal, "swiglu: {} {} into {} {}, expected [m, 2·I] into [m, I]",
         name_of(gate_up.dtype), gate_up.shape.to_string(), name_of(out.dtype),
         out.shape.to_string());
}

auto row_function(const Context& context, const device::CpuDevice& device) {
  if (context.path() == Path::oracle) return swiglu_oracle;
  return device.isa() >= device::Isa::avx512 ? swiglu_avx512 : swiglu_avx2;
}

}  // namespace

void swiglu(Context& context, const TensorView& gate_up, const TensorView& out) {
  check(gate_up, out);
  if (context.on_gpu()) return gpu::swiglu_gpu(context, gate_up, out);
  auto& device = static_cast<device::CpuDevice&>(context.device());
  const auto function = row_function(context, device);
  const std::int64_t width = out.shape[1], parts = ceil_div(width, kTaskValues);
  const auto size = std::int64_t(size_of(out.dtype));
  device.pool().parallel_for(out.shape[0] * parts, [&](std::int64_t task, int) {
    const std::int64_t r = task / parts, begin = task % parts * kTaskValues;
    const auto* gate =
        static_cast<const std::byte*>(gate_up.data) + (r * gate_up.row_stride + begin) * size;
    SwigluRow row;
    row.gate = gate;
    row.up = gate + width * size;
    row.out = static_cast<std::byte*>(out.data) + (r * out.row_stride + begin) * size;
    row.count = std::min(kTaskValues, width - begin);
    row.dtype = out.dtype;
    function(row);
  });
}

}  // namespace isotope::ops
