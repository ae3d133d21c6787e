#include "ops/embed/embed.h"

#include "base/error.h"
#include "ops/embed/embed_cpu.h"
#include "ops/embed/embed_gpu.h"

namespace isotope::ops {

void embed(Context& context, const TensorView& ids, const LinearWeight& table,
           const TensorView& out) {
  ISOTOPE_ASSERT(ids.dtype == DType::i32 && ids.shape.rank() == 1);
  ISOTOPE_ASSERT(out.dtype == DType::f32 && out.shape.rank() == 2);
  ISOTOPE_ASSERT(out.shape[0] == ids.shape[0] && out.shape[1] == table.k && !table.empty());
  if (context.on_gpu()) return gpu::embed_gpu(context, ids, table, out);
  if (context.path() == Path::oracle)
    cpu::embed_oracle(ids, table, out);
  else
    cpu::embed_fast(context, ids, table, out);
}

}  // namespace isotope::ops
