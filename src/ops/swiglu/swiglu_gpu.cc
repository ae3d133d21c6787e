#include "ops/swiglu/swiglu_gpu.h"

#include <algorithm>

#include "base/checked.h"
#include "ops/gpu/kernel_library.h"
#include "ops/swiglu/swiglu_params.h"

namespace isotope::ops::gpu {

using namespace isotope::gpu;

void swiglu_gpu(Context& context, const TensorView& gate_up, const TensorView& out) {
  constexpr std::int64_t kMaxRows = 65535;  // of a grid's second dimension
  const bool f32 = out.dtype == DType::f32;
  const jit::Unit unit{f32 ? "swiglu<f32>" : "swiglu<bf16>",
                       "ops/swiglu/swiglu.cu",
                       {{"ISOTOPE_SWIGLU_F32", f32 ? "1" : "0"}}};
  const std::int64_t rows = out.shape[0], size = std::int64_t(size_of(out.dtype));
  SwigluParams params{};
  params.in_stride = gate_up.row_stride;
  params.out_stride = out.row_stride;
  params.width = int(out.shape[1]);
  device::Launch launch;
  launch.threads = kSwigluThreads;
  launch.overlaps_predecessor = true;
  for (std::int64_t begin = 0; begin < rows; begin += kMaxRows) {
    params.gate_up =
        static_cast<const std::byte*>(gate_up.data) + begin * gate_up.row_stride * size;
    params.out = static_cast<std::byte*>(out.data) + begin * out.row_stride * size;
    launch.grid = {
        std::uint32_t(ceil_div(out.shape[1], std::int64_t(kSwigluThreads * kSwigluValues))),
        std::uint32_t(std::min(rows - begin, kMaxRows)), 1};
    context.kernels().launch({unit, "swiglu"}, launch, params);
  }
}

}  // namespace isotope::ops::gpu
