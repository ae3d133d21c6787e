#include "ops/rope_store/rope_store_gpu.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/checked.h"
#include "ops/gpu/kernel_library.h"
#include "ops/rope_store/rope_store_params.h"

namespace isotope::ops::gpu {
namespace {

constexpr std::int64_t kThreads = 128, kElements = 8;  // of rope_store.cu

/// Whether every row of a tensor begins at a multiple of 16 bytes.
bool aligned(const TensorView& tensor) {
  return std::uintptr_t(tensor.data) % 16 == 0 &&
         tensor.row_stride * std::int64_t(size_of(tensor.dtype)) % 16 == 0;
}

jit::Unit unit_of(const RopeSpec& rope, DType dtype, DType kv_dtype, bool vector) {
  const bool f32 = dtype == DType::f32, fp8 = kv_dtype == DType::f8_e4m3;
  jit::Unit unit;
  unit.name = fmt::format("rope_store<d={},{},kv={}{}>", rope.head_dim, f32 ? "f32" : "bf16",
                          fp8 ? "fp8" : "bf16", vector ? "" : ",scalar");
  unit.file = "ops/rope_store/rope_store.cu";
  unit.defines = {{"ISOTOPE_ROPE_DIM", std::to_string(rope.head_dim)},
                  {"ISOTOPE_ROPE_F32", f32 ? "1" : "0"},
                  {"ISOTOPE_ROPE_FP8", fp8 ? "1" : "0"},
                  {"ISOTOPE_ROPE_VECTOR", vector ? "1" : "0"}};
  return unit;
}

template <typename T>
T* pointer(const TensorView& tensor) {
  return tensor.empty() ? nullptr : tensor.as<T>();
}

}  // namespace

void rope_store_gpu(Context& context, const TensorView& qkv, const TensorView& q_norm,
                    const TensorView& k_norm, float norm_eps, const RopeSpec& rope,
                    const Batch& batch, const TensorView& q_out, const KvLayer& kv) {
  const std::int64_t rows = batch.rows.total;
  if (rows == 0) return;
  isotope::gpu::RopeStoreParams params{};
  params.qkv = qkv.data;
  params.q_out = q_out.data;
  params.k = kv.k.data;
  params.v = kv.v.data;
  params.k_scale = pointer<float>(kv.k_scale);
  params.v_scale = pointer<float>(kv.v_scale);
  params.q_norm = pointer<const float>(q_norm);
  params.k_norm = pointer<const float>(k_norm);
  params.frequencies = rope.inverse_frequencies.as<const float>();
  params.positions = batch.positions.as<const std::int32_t>();
  params.slots = reinterpret_cast<const long long*>(batch.slots.as<const std::int64_t>());
  params.qkv_stride = qkv.row_stride;
  params.q_stride = q_out.row_stride;
  params.heads = int(rope.num_heads);
  params.kv_heads = int(rope.num_kv_heads);
  params.norm_eps = norm_eps;
  params.attention_factor = rope.attention_factor;
  params.query_scale_beta = rope.query_scale_beta;
  params.query_scale_period = int(std::min<std::int64_t>(rope.query_scale_original_max_position,
                                                         std::numeric_limits<int>::max()));

  const bool vector = rope.head_dim % 16 == 0 && aligned(qkv) && aligned(q_out);
  const std::int64_t chunks = ceil_div(rope.head_dim / 2, kElements);
  const std::int64_t heads_per_block =
      kThreads / std::int64_t(std::bit_ceil(std::uint64_t(chunks)));
  device::Launch launch;
  launch.grid = {std::uint32_t(rows),
                 std::uint32_t(ceil_div(rope.num_heads + 2 * rope.num_kv_heads, heads_per_block)),
                 1};
  launch.threads = kThreads;
  launch.overlaps_predecessor = true;
  context.kernels().launch({unit_of(rope, qkv.dtype, kv.k.dtype, vector), "rope_store"}, launch,
                           params);
}

}  // namespace isotope::ops::gpu
