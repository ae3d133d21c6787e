// QK-norm, RoPE and the cache write: a few lanes a head, eight pairs of elements a lane.
//
//   ISOTOPE_ROPE_DIM     D, even, at most 512
//   ISOTOPE_ROPE_F32     1: qkv and q_out are f32, else bf16
//   ISOTOPE_ROPE_FP8     1: the cache is FP8 with a scale per token and head, else bf16
//   ISOTOPE_ROPE_VECTOR  1: D is a multiple of 16, and rows begin at multiples of 16 bytes
#include "ops/gpu/portable.cuh"
#include "ops/rope_store/rope_store_params.h"

namespace isotope::gpu {

constexpr int kDim = ISOTOPE_ROPE_DIM, kHalf = kDim / 2;
constexpr bool kF32 = ISOTOPE_ROPE_F32, kFp8 = ISOTOPE_ROPE_FP8, kVector = ISOTOPE_ROPE_VECTOR;
constexpr int kThreads = 128;
constexpr int kElements = 8;  ///< of each half that a lane holds
constexpr int kChunks = (kHalf + kElements - 1) / kElements;

constexpr int lanes_of(int chunks) {
  int lanes = 1;
  while (lanes < chunks) lanes *= 2;
  return lanes;
}
constexpr int kLanes = lanes_of(kChunks);  ///< that share a head, at most a warp
constexpr int kHeads = kThreads / kLanes;  ///< of one block

static_assert(kDim % 2 == 0 && kDim <= 512 && (!kVector || kHalf % kElements == 0));

/// The angle of one position as a fraction of a turn, in units of 2^-64: times a position, modulo 2^64, it is exact.
ISOTOPE_DEVICE u64 turn_fraction(float frequency) {
  const double turns = double(frequency) * 0.15915494309189533577;  // 1 / 2π
  return u64((turns - double(i64(turns))) * 18446744073709551616.0);
}

/// cos and sin of a fraction of a turn. The nearest quarter is taken off in integers, so that at most an eighth of a turn
/// is left, rounded to 24 bits (2^-25 radians); the polynomials are within an ulp on ±π/4.
ISOTOPE_DEVICE void cos_sin(u64 turns, float* cosine, float* sine) {
  const u32 quarter = u32((turns + (u64(1) << 61)) >> 62) & 3u;
  const i32 rest = i32(u32((turns - (u64(quarter) << 62)) >> 32));
  const float x = float(rest) * float(6.283185307179586 / 4294967296.0), y = x * x;
  const float s = fma(x * y, fma(y, fma(y, -1.9515295891e-4f, 8.3321608736e-3f), -1.6666654611e-1f), x);
  const float c =
      fma(y * y, fma(y, fma(y, 2.443315711809948e-5f, -1.388731625493765e-3f), 4.166664568298827e-2f), fma(y, -0.5f, 1.0f));
  const float cq = (quarter & 1u) ? s : c, sq = (quarter & 1u) ? c : s;
  *cosine = (quarter == 1u || quarter == 2u) ? -cq : cq;
  *sine = (quarter >= 2u) ? -sq : sq;
}

/// Eight consecutive elements from `i` of a head; 0 behind the half that ends at `end`.
ISOTOPE_DEVICE void load_elements(const void* head, int i, int end, float (&x)[kElements]) {
  if constexpr (kVector && kF32) {
    const float* from = static_cast<const float*>(head) + i;
    const Vec16 a = load16(from), b = load16(from + 4);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      x[e] = float_of(a.w[e]);
      x[e + 4] = float_of(b.w[e]);
    }
  } else if constexpr (kVector) {
    const Vec16 a = load16(static_cast<const u16*>(head) + i);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      x[2 * e] = bf16_lo(a.w[e]);
      x[2 * e + 1] = bf16_hi(a.w[e]);
    }
  } else {
#pragma unroll
    for (int e = 0; e < kElements; ++e) {
      x[e] = 0.0f;
      if (i + e >= end) continue;
      if constexpr (kF32)
        x[e] = static_cast<const float*>(head)[i + e];
      else
        x[e] = bf16_to_float(static_cast<const u16*>(head)[i + e]);
    }
  }
}

template <bool f32>
ISOTOPE_DEVICE void store_elements(void* head, int i, int end, const float (&x)[kElements]) {
  if constexpr (kVector && f32) {
    float* to = static_cast<float*>(head) + i;
    store_global16(to, {bits_of(x[0]), bits_of(x[1]), bits_of(x[2]), bits_of(x[3])});
    store_global16(to + 4, {bits_of(x[4]), bits_of(x[5]), bits_of(x[6]), bits_of(x[7])});
  } else if constexpr (kVector) {
    store_global16(static_cast<u16*>(head) + i,
            {bf16x2_of(x[0], x[1]), bf16x2_of(x[2], x[3]), bf16x2_of(x[4], x[5]), bf16x2_of(x[6], x[7])});
  } else {
#pragma unroll
    for (int e = 0; e < kElements; ++e) {
      if (i + e >= end) continue;
      if constexpr (f32)
        static_cast<float*>(head)[i + e] = x[e];
      else
        static_cast<u16*>(head)[i + e] = float_to_bf16(x[e]);
    }
  }
}

ISOTOPE_DEVICE void store_fp8(u8* head, int i, int end, const float (&x)[kElements], float scale) {
  u16 pair[kElements / 2];
#pragma unroll
  for (int e = 0; e < kElements / 2; ++e) pair[e] = fp8x2_of(x[2 * e] / scale, x[2 * e + 1] / scale);
  if constexpr (kVector) {
    store_global8(head + i, {u32(pair[0]) | u32(pair[1]) << 16, u32(pair[2]) | u32(pair[3]) << 16});
  } else {
#pragma unroll
    for (int e = 0; e < kElements; ++e)
      if (i + e < end) head[i + e] = u8(pair[e / 2] >> (e % 2 * 8));
  }
}

/// Over the lanes of a head, in an order that D fixes.
ISOTOPE_DEVICE float head_sum(float v) {
#pragma unroll
  for (int m = kLanes / 2; m > 0; m >>= 1) v += shuffle_xor(v, m);
  return v;
}
ISOTOPE_DEVICE float head_max(float v) {
#pragma unroll
  for (int m = kLanes / 2; m > 0; m >>= 1) v = max(v, shuffle_xor(v, m));
  return v;
}

/// What a lane holds of a head: elements [first, first + 8) of either half. Lanes behind D hold zeros.
struct Piece {
  float a[kElements], b[kElements];
};

ISOTOPE_DEVICE void normalize(Piece& x, int first, const float* weight, bool wanted, float eps) {
  float squares = 0.0f;
#pragma unroll
  for (int e = 0; e < kElements; ++e) squares = fma(x.a[e], x.a[e], fma(x.b[e], x.b[e], squares));
  squares = head_sum(squares);
  if (!wanted) return;
  const float scale = rsqrt(squares * (1.0f / float(kDim)) + eps);
#pragma unroll
  for (int e = 0; e < kElements; ++e) {
    const bool inside = kVector || first + e < kHalf;
    x.a[e] *= scale * (inside ? weight[first + e] : 0.0f);
    x.b[e] *= scale * (inside ? weight[kHalf + first + e] : 0.0f);
  }
}

/// The largest magnitude over 448, or NaN if an element is not finite.
ISOTOPE_DEVICE float fp8_scale(const Piece& x) {
  float largest = 0.0f, poison = 0.0f;  // max() passes over NaN, so whether there was one is kept apart
#pragma unroll
  for (int e = 0; e < kElements; ++e) {
    largest = max(largest, max(fabs(x.a[e]), fabs(x.b[e])));
    if (isnan(x.a[e]) || isnan(x.b[e]) || isinf(x.a[e]) || isinf(x.b[e])) poison = 1.0f;
  }
  largest = head_max(largest);
  poison = head_max(poison);
  if (poison != 0.0f) return float_of(0x7fc00000u);
  return largest == 0.0f ? 1.0f : largest / 448.0f;
}

/// Grid (rows, ceil((heads + 2·kv_heads) / kHeads)), kThreads threads. Idle rows (slot -1) write their q only.
KERNEL(rope_store, RopeStoreParams, kThreads) {
  // Whole chunks: compilers read them as vectors, also where the last elements are not wanted.
  SHARED(float, cosines, kChunks * kElements);
  SHARED(float, sines, kChunks * kElements);
  constexpr int kAngles = (kHalf + kThreads - 1) / kThreads;
  u64 steps[kAngles];
#pragma unroll
  for (int n = 0; n < kAngles; ++n) {
    const int i = thread_index() + n * kThreads;
    steps[n] = i < kHalf ? turn_fraction(p.frequencies[i]) : 0;
  }
  wait_for_predecessor();
  release_successor();

  const i64 row = block_x();
  const int head = block_y() * kHeads + thread_index() / kLanes;
  const int first = thread_index() % kLanes * kElements;
  const bool active = head < p.heads + 2 * p.kv_heads && first < kHalf;
  const bool is_q = head < p.heads, is_v = head >= p.heads + p.kv_heads;
  Piece x = {};
  if (active) {
    const i64 begin = row * p.qkv_stride + i64(head) * kDim;
    const u8* from = static_cast<const u8*>(p.qkv) + begin * (kF32 ? 4 : 2);
    load_elements(from, first, kHalf, x.a);
    load_elements(from, kHalf + first, kDim, x.b);
  }
  const int position = p.positions[row];
  const i64 slot = p.slots[row];
#pragma unroll
  for (int n = 0; n < kAngles; ++n) {
    const int i = thread_index() + n * kThreads;
    if (i < kHalf) {
      float c, s;
      cos_sin(steps[n] * u64(i64(position)), &c, &s);
      cosines[i] = c * p.attention_factor;
      sines[i] = s * p.attention_factor;
    }
  }
  block_barrier();

  if (p.q_norm != nullptr || p.k_norm != nullptr) {
    const float* weight = is_q ? p.q_norm : p.k_norm;
    normalize(x, first, weight, active && !is_v && weight != nullptr, p.norm_eps);
  }
  if (active && !is_v) {
#pragma unroll
    for (int e = 0; e < kElements; ++e) {
      if (!kVector && first + e >= kHalf) continue;
      const float c = cosines[first + e], s = sines[first + e], a = x.a[e], b = x.b[e];
      x.a[e] = fma(a, c, -(b * s));
      x.b[e] = fma(b, c, a * s);
    }
  }
  if (active && is_q) {
    if (p.query_scale_beta != 0.0f) {
      // log2 is within 2^-22 of the exponent's magnitude: the factor is within 2^-21.
      const float scale = fma(p.query_scale_beta, log(float(1 + position / p.query_scale_period)), 1.0f);
#pragma unroll
      for (int e = 0; e < kElements; ++e) {
        x.a[e] *= scale;
        x.b[e] *= scale;
      }
    }
    u8* to = static_cast<u8*>(p.q_out) + (row * p.q_stride + i64(head) * kDim) * (kF32 ? 4 : 2);
    store_elements<kF32>(to, first, kHalf, x.a);
    store_elements<kF32>(to, kHalf + first, kDim, x.b);
  }
  float scale = 1.0f;
  if constexpr (kFp8) scale = fp8_scale(x);
  if (!active || is_q || slot < 0) return;
  const i64 vector = slot * p.kv_heads + (head - p.heads) % p.kv_heads;
  u8* to = static_cast<u8*>(is_v ? p.v : p.k) + vector * kDim * (kFp8 ? 1 : 2);
  if constexpr (kFp8) {
    store_fp8(to, first, kHalf, x.a, scale);
    store_fp8(to, kHalf + first, kDim, x.b, scale);
    if (first == 0) (is_v ? p.v_scale : p.k_scale)[vector] = scale;
  } else {
    store_elements<false>(to, first, kHalf, x.a);
    store_elements<false>(to, kHalf + first, kDim, x.b);
  }
}

}  // namespace isotope::gpu
