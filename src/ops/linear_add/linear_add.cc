#include "ops/linear_add/linear_add.h"

#include <cstring>

#include "base/checked.h"
#include "base/error.h"
#include "device/cpu/cpu_device.h"
#include "ops/linear/linear_gpu.h"

namespace isotope::ops {
namespace {

/// k is padded to a multiple of 32 at most by every layout.
constexpr std::int64_t kPadding = 32;

/// Row `r` of x as `out.dtype`, padded with zeros.
void copy_row(const TensorView& x, std::int64_t r, const TensorView& out) {
  const std::int64_t k = x.shape[1], padded = out.shape[1];
  if (x.dtype == out.dtype) {
    const std::size_t size = size_of(x.dtype);
    const auto* from = static_cast<const std::byte*>(x.data) + std::size_t(r * x.row_stride) * size;
    auto* to = static_cast<std::byte*>(out.data) + std::size_t(r * padded) * size;
    std::memcpy(to, from, std::size_t(k) * size);
    std::memset(to + std::size_t(k) * size, 0, std::size_t(padded - k) * size);
    return;
  }
  for (std::int64_t i = 0; i < padded; ++i) {
    const float value = i < k ? load_float(x, r * x.row_stride + i) : 0.0f;
    if (out.dtype == DType::bf16)
      out.row<bfloat16>(r)[i] = to_bfloat16(value);
    else
      out.row<float>(r)[i] = value;
  }
}

}  // namespace

void linear_add(Context& context, const TensorView& x, const LinearWeight& weight,
                const TensorView& residual, Rows rows) {
  const std::int64_t m = rows.total;
  const bool floats = x.dtype == DType::f32 || x.dtype == DType::bf16;
  if (!floats || x.shape.rank() != 2 || x.shape[0] != m || x.shape[1] != weight.k)
    fail(ErrorCode::internal, "linear_add: x is {} {}, expected bf16 or f32 [{}, {}]",
         name_of(x.dtype), x.shape.to_string(), m, weight.k);
  if (context.on_gpu()) {
    gpu::LinearCall call;
    call.x = x;
    call.weight = &weight;
    call.epilogue = gpu::Epilogue::add;
    call.y = residual;
    return gpu::linear_by_phase(context, call, rows);
  }
  const DType dtype = weight.dtype == DType::f32 ? DType::f32 : DType::bf16;
  if (x.dtype == dtype && weight.k == weight.padded_k && x.dense())
    return matmul(context, x, weight, residual, rows, true);

  const Workspace::Scope scope(context.workspace());
  const TensorView padded = context.workspace().take(dtype, {m, weight.padded_k});
  auto& pool = static_cast<device::CpuDevice&>(context.device()).pool();
  pool.parallel_for(m, [&](std::int64_t r, int) { copy_row(x, r, padded); });
  matmul(context, padded, weight, residual, rows, true);
}

std::size_t linear_add_scratch(std::int64_t rows, std::int64_t k, bool gpu) {
  if (gpu) return gpu::linear_scratch(rows, k);
  // FP32 at most, and what aligning it may cost.
  return std::size_t(rows * round_up(k, kPadding)) * sizeof(float) + 64;
}

}  // namespace isotope::ops
