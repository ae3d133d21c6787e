#include "ops/norm_linear/norm_linear.h"

#include "base/checked.h"
#include "base/error.h"
#include "device/cpu/cpu_device.h"
#include "ops/linear/linear_gpu.h"
#include "ops/norm_linear/rms_norm.h"

namespace isotope::ops {
namespace {

/// k is padded to a multiple of 32 at most by every layout.
constexpr std::int64_t kPadding = 32;

void check(const TensorView& x, const TensorView& row_index, const TensorView& g,
           const LinearWeight& weight, Rows rows) {
  if (x.dtype != DType::f32 || x.shape.rank() != 2 || x.shape[1] != weight.k)
    fail(ErrorCode::internal, "norm_linear: x is {} {}, expected f32 [rows, {}]", name_of(x.dtype),
         x.shape.to_string(), weight.k);
  if (g.dtype != DType::f32 || g.shape != Shape{weight.k})
    fail(ErrorCode::internal, "norm_linear: g is {} {}, expected f32 [{}]", name_of(g.dtype),
         g.shape.to_string(), weight.k);
  if (row_index.empty() ? x.shape[0] != rows.total
                        : row_index.dtype != DType::i32 || row_index.shape != Shape{rows.total})
    fail(ErrorCode::internal, "norm_linear: {} rows wanted of x {} by index {}", rows.total,
         x.shape.to_string(), row_index.shape.to_string());
}

auto rms_norm_for(const Context& context, const device::CpuDevice& device) {
  if (context.path() == Path::oracle) return rms_norm_oracle;
  return device.isa() >= device::Isa::avx512 ? rms_norm_avx512 : rms_norm_avx2;
}

}  // namespace

void norm_linear(Context& context, const TensorView& x, const TensorView& row_index,
                 const TensorView& g, float eps, const LinearWeight& weight, const TensorView& out,
                 Rows rows) {
  check(x, row_index, g, weight, rows);
  if (context.on_gpu()) {
    gpu::LinearCall call;
    call.x = x;
    call.row_index = row_index;
    call.norm = g.as<const float>();
    call.norm_eps = eps;
    call.weight = &weight;
    call.y = out;
    return gpu::linear_by_phase(context, call, rows);
  }
  auto& device = static_cast<device::CpuDevice&>(context.device());
  const Workspace::Scope scope(context.workspace());
  const DType dtype = weight.dtype == DType::f32 ? DType::f32 : DType::bf16;
  const TensorView normed = context.workspace().take(dtype, {rows.total, weight.padded_k});
  const auto rms_norm = rms_norm_for(context, device);
  device.pool().parallel_for(rows.total, [&](std::int64_t m, int) {
    const std::int64_t r = row_index.empty() ? m : row_index.as<const std::int32_t>()[m];
    ISOTOPE_ASSERT(r >= 0 && r < x.shape[0]);
    RmsNormRow row;
    row.x = x.row<const float>(r);
    row.g = g.as<const float>();
    row.eps = eps;
    row.k = weight.k;
    row.padded_k = weight.padded_k;
    row.out = normed.rows(m, 1).data;
    row.out_dtype = dtype;
    rms_norm(row);
  });
  matmul(context, normed, weight, out, rows, false);
}

std::size_t norm_linear_scratch(std::int64_t rows, std::int64_t k, bool gpu) {
  if (gpu) return gpu::linear_scratch(rows, k);
  // FP32 at most, and what aligning it may cost.
  return std::size_t(rows * round_up(k, kPadding)) * sizeof(float) + 64;
}

}  // namespace isotope::ops
