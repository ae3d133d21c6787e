// matmul: shapes are checked here, once; the forms trust them.
#include "base/error.h"
#include "ops/linear/linear_forms.h"
#include "ops/linear/linear_gpu.h"
#include "ops/linear/linear_weight.h"

namespace isotope::ops {
namespace {

void check(const TensorView& x, const LinearWeight& weight, const TensorView& y, Rows rows,
           bool accumulate) {
  const DType x_dtype = weight.dtype == DType::f32 ? DType::f32 : DType::bf16;
  const std::int64_t m = rows.total;
  if (weight.empty() || rows.decode < 0 || rows.decode > m)
    fail(ErrorCode::internal, "matmul: no weight, or {} of {} rows in decode phase", rows.decode,
         m);
  if (x.dtype != x_dtype || x.shape.rank() != 2 || x.shape[0] != m ||
      x.shape[1] != weight.padded_k || !x.dense())
    fail(ErrorCode::internal, "matmul: x is {} {}, expected {} [{}, {}] for {} weights",
         name_of(x.dtype), x.shape.to_string(), name_of(x_dtype), m, weight.padded_k,
         name_of(weight.dtype));
  const bool y_dtype_fits = y.dtype == DType::f32 || (y.dtype == DType::bf16 && !accumulate);
  if (!y_dtype_fits || y.shape.rank() != 2 || y.shape[0] != m || y.shape[1] != weight.n)
    fail(ErrorCode::internal, "matmul: y is {} {}, expected f32{} [{}, {}]", name_of(y.dtype),
         y.shape.to_string(), accumulate ? "" : " or bf16", m, weight.n);
}

}  // namespace

void matmul(Context& context, const TensorView& x, const LinearWeight& weight, const TensorView& y,
            Rows rows, bool accumulate) {
  check(x, weight, y, rows, accumulate);
  if (rows.total == 0) return;
  if (context.on_gpu()) {
    gpu::LinearCall call;
    call.x = x;
    call.weight = &weight;
    call.epilogue = accumulate ? gpu::Epilogue::add : gpu::Epilogue::store;
    call.y = y;
    return gpu::linear_by_phase(context, call, rows);
  }
  // The path was chosen when the weight was packed.
  if (weight.layout == WeightLayout::row_major_f32)
    matmul_oracle(context, x, weight, y, accumulate);
  else
    matmul_cpu(context, x, weight, y, rows, accumulate);
}

}  // namespace isotope::ops
