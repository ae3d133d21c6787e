// One input row of a product, normed or as it is, brought into the order of the fragments by 256 threads. The same
// arithmetic whether a kernel of its own does it or the product's prologue.
//
//   ISOTOPE_LINEAR_OPERANDS  1: the order in which wgmma reads 16-bit operands from shared memory (linear_wide_wgmma.cu)
#pragma once

#include "ops/linear/linear_decode_params.h"
#include "ops/linear/linear_fragments.cuh"

namespace isotope::gpu {

constexpr int kInputThreads = 256;
constexpr int kInputWarps = kInputThreads / kWarp;

#if defined(ISOTOPE_LINEAR_OPERANDS)
constexpr bool kOperandOrder = ISOTOPE_LINEAR_OPERANDS;
#else
constexpr bool kOperandOrder = false;
#endif

/// Where a row goes: row `row` of a tile of `tile_rows` (≤ kMmaRows) rows.
struct InputTarget {
  u8* tile;
  i64 k_stride;   ///< operand order: bytes from a tile of k to the next
  float* scales;  ///< of this row: one, or one for each 128 values of k
  int tile_rows, row;
};

/// Elements [i, i + 4) of a row, zeros behind k.
ISOTOPE_DEVICE void load_four(const LinearSource& s, i64 row, int i, float (&v)[4]) {
#pragma unroll
  for (int e = 0; e < 4; ++e) v[e] = 0.0f;
  if (i >= s.k) return;
  if (s.bf16) {
    const u16* x = static_cast<const u16*>(s.x) + row * s.stride + i;
    if (s.aligned) {
      const Vec8 a = load8(x);
      v[0] = bf16_lo(a.w[0]), v[1] = bf16_hi(a.w[0]), v[2] = bf16_lo(a.w[1]), v[3] = bf16_hi(a.w[1]);
      return;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e)
      if (i + e < s.k) v[e] = bf16_to_float(x[e]);
    return;
  }
  const float* x = static_cast<const float*>(s.x) + row * s.stride + i;
  if (s.aligned) {
    const Vec16 a = load16(x);
#pragma unroll
    for (int e = 0; e < 4; ++e) v[e] = float_of(a.w[e]);
    return;
  }
#pragma unroll
  for (int e = 0; e < 4; ++e)
    if (i + e < s.k) v[e] = x[e];
}

ISOTOPE_DEVICE void multiply_norm(const LinearSource& s, int i, float factor, float (&v)[4]) {
  if (i >= s.k) return;
  if (s.aligned) {
    const Vec16 g = load16(s.norm + i);
#pragma unroll
    for (int e = 0; e < 4; ++e) v[e] = v[e] * factor * float_of(g.w[e]);
    return;
  }
#pragma unroll
  for (int e = 0; e < 4; ++e)
    if (i + e < s.k) v[e] = v[e] * factor * s.norm[i + e];
}

/// Over the block; `shared` holds kInputWarps floats. All threads get the result.
ISOTOPE_DEVICE float block_sum(float v, float* shared) {
  v = warp_sum(v);
  block_barrier();
  if (lane_index() == 0) shared[warp_index()] = v;
  block_barrier();
  float sum = shared[0];
#pragma unroll
  for (int w = 1; w < kInputWarps; ++w) sum += shared[w];
  return sum;
}
ISOTOPE_DEVICE float block_max(float v, float* shared) {
  v = warp_max(v);
  block_barrier();
  if (lane_index() == 0) shared[warp_index()] = v;
  block_barrier();
  float most = shared[0];
#pragma unroll
  for (int w = 1; w < kInputWarps; ++w) most = max(most, shared[w]);
  return most;
}

/// Values of a row that a thread holds: groups of four, kBatchStride apart. They are asked for together, because one trip
/// to memory after the other would cost more than the product of a small weight.
constexpr int kBatch = 4;
constexpr int kBatchStride = kInputThreads * 4;
struct Batch {
  float v[kBatch][4];
};

ISOTOPE_DEVICE void load_batch(const LinearSource& s, i64 row, int first, Batch& batch) {
  if (!s.aligned) {
#pragma unroll
    for (int b = 0; b < kBatch; ++b) load_four(s, row, first + b * kBatchStride, batch.v[b]);
  } else if (s.bf16) {
    const u16* x = static_cast<const u16*>(s.x) + row * s.stride;
    Vec8 raw[kBatch] = {};
#pragma unroll
    for (int b = 0; b < kBatch; ++b)
      if (first + b * kBatchStride < s.k) raw[b] = load8(x + first + b * kBatchStride);
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      batch.v[b][0] = bf16_lo(raw[b].w[0]), batch.v[b][1] = bf16_hi(raw[b].w[0]);
      batch.v[b][2] = bf16_lo(raw[b].w[1]), batch.v[b][3] = bf16_hi(raw[b].w[1]);
    }
  } else {
    const float* x = static_cast<const float*>(s.x) + row * s.stride;
    Vec16 raw[kBatch] = {};
#pragma unroll
    for (int b = 0; b < kBatch; ++b)
      if (first + b * kBatchStride < s.k) raw[b] = load16(x + first + b * kBatchStride);
#pragma unroll
    for (int b = 0; b < kBatch; ++b)
#pragma unroll
      for (int e = 0; e < 4; ++e) batch.v[b][e] = float_of(raw[b].w[e]);
  }
}

/// 1 / sqrt(mean(x²) + eps), the same for all threads.
ISOTOPE_DEVICE float norm_factor(const LinearSource& s, i64 row, Batch& batch, float* shared) {
  float sum = 0.0f;
  // To padded_k, so that what lies behind k is held as zeros.
  for (int first = thread_index() * 4; first < s.padded_k; first += kBatch * kBatchStride) {
    load_batch(s, row, first, batch);
#pragma unroll
    for (int b = 0; b < kBatch; ++b)
#pragma unroll
      for (int e = 0; e < 4; ++e) sum = fma(batch.v[b][e], batch.v[b][e], sum);
  }
  return rsqrt(block_sum(sum, shared) / float(s.k) + s.eps);
}

/// The fragment address of element i (a multiple of 4) of a row; `block` is added to its block.
ISOTOPE_DEVICE u8* element_address(const InputTarget& t, int i, int block) {
  const int step = i / kStepValues, v = i % kStepValues / kVectorValues, e = i % kVectorValues;
  int within;
#if defined(ISOTOPE_GFX12)
  block += vector_block(v);
  within = kFp8 ? e : 2 * e;
#else
  block += kFp8 ? e / 8 : 0;
  within = e % 8 * 2;
#endif
  const i64 index = (i64(step * kInputVectors + block) * t.tile_rows + t.row) * kLanesPerRow + vector_lane(v);
  return t.tile + index * 16 + within;
}

/// Operand order: elements [i, i + 2) of a row; i + 2 and i + 3 are 128 bytes behind. Each product of 16 values of k has two
/// cores of 8 rows × 16 bytes; values come to the same places of the same products as in the order of fragments.
ISOTOPE_DEVICE u8* operand_address(const InputTarget& t, int i) {
  const int tile = i / kTileValues, step = i % kTileValues / kStepValues;
  const int v = i % kStepValues / kVectorValues, e = i % kVectorValues;
  return t.tile + tile * t.k_stride + (step * 2 * kInputVectors + e / 4) * 256 + t.row * 16 + v * 4;
}

/// Elements [i, i + 4) of a row, 16 bits each.
ISOTOPE_DEVICE void store_values(const InputTarget& t, int i, Vec8 values) {
  if constexpr (kOperandOrder) {
    u8* const to = operand_address(t, i);
    *reinterpret_cast<u32*>(to) = values.w[0];
    *reinterpret_cast<u32*>(to + 128) = values.w[1];
  } else {
    store8(element_address(t, i, 0), values);
  }
}
ISOTOPE_DEVICE Vec8 stored_values(const InputTarget& t, int i) {
  if constexpr (kOperandOrder) {
    const u8* const from = operand_address(t, i);
    return {{load4(from), load4(from + 128)}};
  } else {
    return load8(element_address(t, i, 0));
  }
}

/// The power of two 2^(target - exponent of `largest`) as the exponent field of a float, and its inverse.
ISOTOPE_DEVICE int scale_field(int field) { return min(max(field, 1), 253); }
ISOTOPE_DEVICE float power_of_field(int field) { return float_of(u32(field) << 23); }

/// Four values of a row, from element i on, where the product looks for them. Returns the largest magnitude of BF16
/// values that wait for their row's scale.
ISOTOPE_DEVICE float write_four(const InputTarget& t, int i, float (&v)[4]) {
  const Vec8 rounded = {{bf16x2_of(v[0], v[1]), bf16x2_of(v[2], v[3])}};
  if constexpr (kInputRowScales || kInputBlockScales) {
    v[0] = bf16_lo(rounded.w[0]), v[1] = bf16_hi(rounded.w[0]);
    v[2] = bf16_lo(rounded.w[1]), v[3] = bf16_hi(rounded.w[1]);
  }
  if constexpr (kInputBlockScales) {
    float most = max(max(fabs(v[0]), fabs(v[1])), max(fabs(v[2]), fabs(v[3])));
    most = warp_max(most);
    const u32 bits = bits_of(most);
    const int field = scale_field(262 - int(bits >> 23) - ((bits & 0x7fffffu) > 0x600000u ? 1 : 0));
    const float scale = power_of_field(field);
    float rest[4];
    u32 hi = 0, lo = 0;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      v[e] *= scale;
      if (isinf(v[e])) v[e] = float_of(0x7fc00000u);  // it would become 448
    }
#pragma unroll
    for (int e = 0; e < 4; e += 2) {
      const u16 codes = fp8x2_of(v[e], v[e + 1]);
      float a, b;
      fp8x2_to_f32(codes, &a, &b);
      rest[e] = v[e] - a;
      rest[e + 1] = v[e + 1] - b;
      hi |= u32(codes) << (8 * e);
      lo |= u32(fp8x2_of(rest[e], rest[e + 1])) << (8 * e);
    }
    *reinterpret_cast<u32*>(element_address(t, i, 0)) = hi;
    *reinterpret_cast<u32*>(element_address(t, i, kInputVectors / 2)) = lo;
    if (lane_index() == 0) t.scales[i / 128] = power_of_field(254 - field);
    return 0.0f;
  }
  store_values(t, i, rounded);
  return max(max(fabs(v[0]), fabs(v[1])), max(fabs(v[2]), fabs(v[3])));
}

/// BF16 values on their way to F16.
ISOTOPE_DEVICE Vec8 rescaled(Vec8 a, float scale) {
  return {{f16x2_of(bf16_lo(a.w[0]) * scale, bf16_hi(a.w[0]) * scale),
           f16x2_of(bf16_lo(a.w[1]) * scale, bf16_hi(a.w[1]) * scale)}};
}
/// The exponent field of the row's scale, and the row's scale for the product.
ISOTOPE_DEVICE int row_scale_field(const InputTarget& t, float largest, float* shared) {
  const int field = scale_field(268 - int(bits_of(block_max(largest, shared)) >> 23));
  if (thread_index() == 0) t.scales[0] = power_of_field(254 - field);
  return field;
}

/// Writes row `m` of the product (zeros if there is none). All 256 threads take part.
ISOTOPE_DEVICE void prepare_row(const LinearSource& s, int m, const InputTarget& t, float* shared) {
  i64 row = m < s.rows ? i64(m) : i64(-1);
  if (row >= 0 && s.row_index) row = s.row_index[m];
  const bool idle = row < 0;
  Batch batch;
  const float factor = !idle && s.norm ? norm_factor(s, row, batch, shared) : 1.0f;
  float largest = 0.0f;
  // A warp's 128 values are one block of k.
  for (int first = thread_index() * 4; first < s.padded_k; first += kBatch * kBatchStride) {
    if (!idle && !(s.norm && s.k <= kBatch * kBatchStride)) load_batch(s, row, first, batch);
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int i = first + b * kBatchStride;
      if (i >= s.padded_k) break;
      float v[4] = {0.0f, 0.0f, 0.0f, 0.0f};
      if (!idle) {
#pragma unroll
        for (int e = 0; e < 4; ++e) v[e] = batch.v[b][e];
        if (s.norm) multiply_norm(s, i, factor, v);
      }
      const float most = write_four(t, i, v);
      if constexpr (kInputRowScales) largest = max(largest, most);
    }
  }
  if constexpr (kInputRowScales) {
    // The exponent is known only now: BF16 becomes F16 where it lies, each thread its own.
    const float scale = power_of_field(row_scale_field(t, largest, shared));
    for (int i = thread_index() * 4; i < s.padded_k; i += kInputThreads * 4)
      store_values(t, i, rescaled(stored_values(t, i), scale));
  }
}

/// Values of a row that a thread has from the beginning to the end: groups of four, kBatchStride apart.
template <int kGroups>
struct HeldRow {
  float v[kGroups][4];
};

/// The norm's factors; zeros where there are none. They never change, so they may be read early.
template <int kGroups>
ISOTOPE_DEVICE void load_norm(const LinearSource& s, HeldRow<kGroups>& g) {
#pragma unroll
  for (int b = 0; b < kGroups; ++b) {
    const int i = thread_index() * 4 + b * kBatchStride;
    g.v[b][0] = g.v[b][1] = g.v[b][2] = g.v[b][3] = 0.0f;
    if (s.norm && i < s.k) {
      const Vec16 a = load16(s.norm + i);
#pragma unroll
      for (int e = 0; e < 4; ++e) g.v[b][e] = float_of(a.w[e]);
    }
  }
}

template <int kGroups>
ISOTOPE_DEVICE void load_row(const LinearSource& s, i64 row, HeldRow<kGroups>& x) {
  static_assert(kGroups % kBatch == 0);
#pragma unroll
  for (int b = 0; b < kGroups; b += kBatch) {
    Batch batch;
    load_batch(s, row, thread_index() * 4 + b * kBatchStride, batch);
#pragma unroll
    for (int j = 0; j < kBatch; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) x.v[b + j][e] = batch.v[j][e];
  }
}

template <int kGroups>
ISOTOPE_DEVICE void multiply_norm(const LinearSource& s, const HeldRow<kGroups>& g, HeldRow<kGroups>& x, float* shared) {
  float sum = 0.0f;
#pragma unroll
  for (int b = 0; b < kGroups; ++b)
#pragma unroll
    for (int e = 0; e < 4; ++e) sum = fma(x.v[b][e], x.v[b][e], sum);
  const float factor = rsqrt(block_sum(sum, shared) / float(s.k) + s.eps);
#pragma unroll
  for (int b = 0; b < kGroups; ++b)
#pragma unroll
    for (int e = 0; e < 4; ++e) x.v[b][e] = x.v[b][e] * factor * g.v[b][e];
}

/// The same as prepare_row, bit for bit, for aligned rows of at most kGroups · kBatchStride values: they are read once, all
/// together, and written once. `g`: by load_norm. Not for kInputBlockScales.
template <int kGroups>
ISOTOPE_DEVICE void prepare_held_row(const LinearSource& s, int m, const InputTarget& t, const HeldRow<kGroups>& g,
                                     float* shared) {
  i64 row = m < s.rows ? i64(m) : i64(-1);
  if (row >= 0 && s.row_index) row = s.row_index[m];
  Vec8 values[kGroups] = {};  // BF16
  if (row >= 0 && s.bf16 && !s.norm) {
    const u16* x = static_cast<const u16*>(s.x) + row * s.stride;
#pragma unroll
    for (int b = 0; b < kGroups; ++b) {
      const int i = thread_index() * 4 + b * kBatchStride;
      if (i < s.k) values[b] = load8(x + i);
    }
  } else if (row >= 0) {
    HeldRow<kGroups> x;
    load_row(s, row, x);
    if (s.norm) multiply_norm(s, g, x, shared);
#pragma unroll
    for (int b = 0; b < kGroups; ++b)
      values[b] = {{bf16x2_of(x.v[b][0], x.v[b][1]), bf16x2_of(x.v[b][2], x.v[b][3])}};
  }
  float scale = 1.0f;
  if constexpr (kInputRowScales) {
    float largest = 0.0f;
#pragma unroll
    for (int b = 0; b < kGroups; ++b)
#pragma unroll
      for (int j = 0; j < 2; ++j)
        largest = max(largest, max(fabs(bf16_lo(values[b].w[j])), fabs(bf16_hi(values[b].w[j]))));
    scale = power_of_field(row_scale_field(t, largest, shared));
  }
#pragma unroll
  for (int b = 0; b < kGroups; ++b) {
    const int i = thread_index() * 4 + b * kBatchStride;
    if (i < s.padded_k) store_values(t, i, kInputRowScales ? rescaled(values[b], scale) : values[b]);
  }
}

}  // namespace isotope::gpu
