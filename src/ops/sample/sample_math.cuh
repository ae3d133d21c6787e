// Numbers of sampling: ordered images of logits, random bits, Gumbel noise.
#pragma once

#include "ops/sample/double_math.cuh"

namespace isotope::gpu {

/// Keys order as logits do; NaN counts as -infinity, whose key kNone and those below stand for nothing to choose.
constexpr u32 kNone = 0x007fffffu;
constexpr u32 kInfinityKey = 0xff800000u;
ISOTOPE_DEVICE float infinity() { return float_of(0x7f800000u); }

ISOTOPE_DEVICE u32 key_of(u32 bits) {
  if ((bits & 0x7fffffffu) > 0x7f800000u) return kNone;
  if (bits == 0x80000000u) bits = 0;  // -0 is 0's equal
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
ISOTOPE_DEVICE float value_of(u32 key) { return float_of(key >> 31 ? key ^ 0x80000000u : ~key); }

/// A token with its key; larger is likelier, lower ids first among equals.
ISOTOPE_DEVICE u64 item_of(u32 key, int id) { return u64(key) << 32 | u32(~id); }
ISOTOPE_DEVICE u32 item_key(u64 item) { return u32(item >> 32); }
ISOTOPE_DEVICE int item_id(u64 item) { return int(~u32(item)); }

/// The same for scores of a draw, which are never NaN.
ISOTOPE_DEVICE u64 score_key(double score) {
  const u64 bits = bits_of_double(score);
  return bits >> 63 ? ~bits : bits | 0x8000000000000000ull;
}

/// philox.h's token_bits(): Philox4x32-10 of tokens 4·group … 4·group + 3.
ISOTOPE_DEVICE void token_bits(u64 seed, u64 counter, u32 group, u32 (&out)[4]) {
  u32 key0 = u32(seed), key1 = u32(seed >> 32);
  u32 c0 = group, c1 = 0, c2 = u32(counter), c3 = u32(counter >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const u64 product0 = u64(0xD2511F53u) * c0, product1 = u64(0xCD9E8D57u) * c2;
    c0 = u32(product1 >> 32) ^ c1 ^ key0;
    c1 = u32(product1);
    c2 = u32(product0 >> 32) ^ c3 ^ key1;
    c3 = u32(product0);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}
ISOTOPE_DEVICE u32 bits_of_token(u64 seed, u64 counter, int id) {
  u32 w[4];
  token_bits(seed, counter, u32(id) / 4, w);
  const u32 low = id & 1 ? w[1] : w[0], high = id & 1 ? w[3] : w[2];
  return id & 2 ? high : low;
}

/// philox.h's gumbel().
ISOTOPE_DEVICE double gumbel64(u32 bits) { return -log64(-log64((double(bits) + 0.5) * 0x1p-32)); }

/// The same within 1e-4. -ln u of u near 1 comes from 1 - u, which has the inverted bits.
ISOTOPE_DEVICE float gumbel32(u32 bits) {
  const float u = (float(bits) + 0.5f) * 0x1p-32f, v = (float(~bits) + 0.5f) * 0x1p-32f;
  const float series = v * (1.0f + v * (0.5f + v * (0.33333333f + v * 0.25f)));
  return -log(v < 0.03f ? series : -log(u));
}

/// The score of a token in a draw, as the host computes it.
ISOTOPE_DEVICE double draw_score(float logit, float best, float temperature, u32 bits) {
  return (double(logit) - double(best)) / double(temperature) + gumbel64(bits);
}

}  // namespace isotope::gpu
