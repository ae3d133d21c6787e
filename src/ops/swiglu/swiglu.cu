// SiLU(gate) × up of [rows, 2·width]. ISOTOPE_SWIGLU_F32: 0 bf16, 1 f32.
#include "ops/gpu/portable.cuh"
#include "ops/swiglu/swiglu_params.h"

namespace isotope::gpu {

/// g / (1 + e^-g). With e^-|g| nothing overflows: for g < 0 it is g · e^g / (1 + e^g).
ISOTOPE_DEVICE float silu(float g) {
  const float decay = exp(-fabs(g));
  return (g < 0.0f ? g * decay : g) / (1.0f + decay);
}

#if ISOTOPE_SWIGLU_F32
using Value = float;
ISOTOPE_DEVICE float to_float(float v) { return v; }
ISOTOPE_DEVICE float to_value(float v) { return v; }
#else
using Value = u16;
ISOTOPE_DEVICE float to_float(u16 v) { return bf16_to_float(v); }
ISOTOPE_DEVICE u16 to_value(float v) { return float_to_bf16(v); }
#endif

struct alignas(kSwigluValues * sizeof(Value)) Values {
  Value v[kSwigluValues];
};
ISOTOPE_DEVICE bool is_aligned(const void* p) { return reinterpret_cast<u64>(p) % sizeof(Values) == 0; }

/// Shape: grid (width / 1024, rows), four neighbours a thread. Reads what the predecessor wrote.
KERNEL(swiglu, SwigluParams, kSwigluThreads) {
  release_successor();
  wait_for_predecessor();
  const int first = (block_x() * kSwigluThreads + thread_index()) * kSwigluValues;
  const int count = min(kSwigluValues, p.width - first);
  if (count <= 0) return;
  const Value* gate = static_cast<const Value*>(p.gate_up) + block_y() * p.in_stride + first;
  const Value* up = gate + p.width;
  Value* out = static_cast<Value*>(p.out) + block_y() * p.out_stride + first;
  if (count == kSwigluValues && is_aligned(gate) && is_aligned(up) && is_aligned(out)) {
    const Values g = *reinterpret_cast<const Values*>(gate), u = *reinterpret_cast<const Values*>(up);
    Values y;
#pragma unroll
    for (int i = 0; i < kSwigluValues; ++i) y.v[i] = to_value(silu(to_float(g.v[i])) * to_float(u.v[i]));
    *reinterpret_cast<Values*>(out) = y;
    return;
  }
  for (int i = 0; i < count; ++i) out[i] = to_value(silu(to_float(gate[i])) * to_float(up[i]));
}

}  // namespace isotope::gpu
