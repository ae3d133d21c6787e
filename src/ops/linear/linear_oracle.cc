#include "device/cpu/cpu_device.h"
#include "ops/linear/linear_forms.h"

namespace isotope::ops {

void matmul_oracle(Context& context, const TensorView& x, const LinearWeight& weight,
                   const TensorView& y, bool accumulate) {
  const float* w = weight.data.as<float>();
  const std::int64_t k = weight.k, m = x.shape[0];
  auto& pool = static_cast<device::CpuDevice&>(context.device()).pool();
  pool.parallel_for(weight.n, [&](std::int64_t j, int) {
    for (std::int64_t r = 0; r < m; ++r) {
      float sum = 0.0f;
      for (std::int64_t i = 0; i < k; ++i)
        sum += load_float(x, r * x.row_stride + i) * w[j * k + i];
      if (y.dtype == DType::bf16)
        y.row<bfloat16>(r)[j] = to_bfloat16(sum);
      else
        y.row<float>(r)[j] = accumulate ? y.row<float>(r)[j] + sum : sum;
    }
  });
}

}  // namespace isotope::ops
