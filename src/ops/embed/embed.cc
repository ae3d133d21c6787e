#include "ops/embed/embed.h"

#include <algorithm>

#include "device/cpu/cpu_device.h"
#include "ops/embed/embed_cpu.h"

namespace isotope::ops {

void embed(Context& context, const TensorView& ids, const LinearWeight& table,
           const TensorView& out) {
  const std::int64_t rows = ids.shape[0];
  ISOTOPE_ASSERT(ids.dtype == DType::i32 && ids.shape.rank() == 1);
  ISOTOPE_ASSERT(out.dtype == DType::f32 && out.shape == Shape({rows, table.k}));
  const TokenId* id = ids.as<const TokenId>();
  auto& cpu = static_cast<device::CpuDevice&>(context.device());
  cpu.pool().parallel_for(rows, [&](std::int64_t m, int) {
    float* row = out.row<float>(m);
    if (id[m] >= 0 && id[m] < table.n)
      unpack_weight_row(table, id[m], row);
    else
      std::fill(row, row + table.k, 0.0f);
  });
}

}  // namespace isotope::ops
