#include "ops/norm_swiglu/norm_swiglu.h"

#include <algorithm>

#include "base/checked.h"
#include "base/error.h"
#include "ops/linear/linear_gpu.h"
#include "ops/norm_linear/norm_linear.h"
#include "ops/swiglu/swiglu.h"

namespace isotope::ops {
namespace {

void check(const TensorView& x, const TensorView& g, const LinearWeight& weight,
           const TensorView& out, Rows rows) {
  if (x.dtype != DType::f32 || x.shape != Shape{rows.total, weight.k} || g.dtype != DType::f32 ||
      g.shape != Shape{weight.k})
    fail(ErrorCode::internal, "norm_swiglu: x is {} {}, g {} {}, expected f32 [{}, {}]",
         name_of(x.dtype), x.shape.to_string(), name_of(g.dtype), g.shape.to_string(), rows.total,
         weight.k);
  if ((out.dtype != DType::bf16 && out.dtype != DType::f32) ||
      out.shape != Shape{rows.total, weight.n / 2} || weight.n % 2 != 0)
    fail(ErrorCode::internal, "norm_swiglu: out is {} {}, expected [{}, {}]", name_of(out.dtype),
         out.shape.to_string(), rows.total, weight.n / 2);
}

}  // namespace

void norm_swiglu(Context& context, const TensorView& x, const TensorView& g, float eps,
                 const LinearWeight& weight, const TensorView& out, Rows rows) {
  check(x, g, weight, out, rows);
  if (context.on_gpu()) {
    gpu::LinearCall call;
    call.x = x;
    call.norm = g.as<const float>();
    call.norm_eps = eps;
    call.weight = &weight;
    call.epilogue = gpu::Epilogue::swiglu;
    call.y = out;
    return gpu::linear_by_phase(context, call, rows);
  }
  const Workspace::Scope scope(context.workspace());
  const TensorView gate_up = context.workspace().take(out.dtype, {rows.total, weight.n});
  norm_linear(context, x, {}, g, eps, weight, gate_up, rows);
  swiglu(context, gate_up, out);
}

std::size_t norm_swiglu_scratch(std::int64_t rows, std::int64_t k, std::int64_t width, DType dtype,
                                bool gpu) {
  const std::size_t linear = norm_linear_scratch(rows, k, gpu);
  if (gpu) return linear;
  return round_up<std::size_t>(std::size_t(rows * 2 * width) * size_of(dtype), 64) + linear;
}

}  // namespace isotope::ops
