// BF16 and FP8 weights with the BF16 dot product: 16 features × 2 values of k an instruction.
#include <cstring>

#include "ops/linear/fp8_to_bf16.h"
#include "ops/linear/lanes_avx512.h"
#include "ops/linear/tile_loops.h"

namespace isotope::ops {
namespace {

__m512i broadcast_pair(const std::uint16_t* x) {
  int pair;
  std::memcpy(&pair, x, sizeof pair);
  return _mm512_set1_epi32(pair);
}

__m512 dot(__m512 sum, __m512i weights, __m512i x) {
  return _mm512_dpbf16_ps(sum, __m512bh(weights), __m512bh(x));
}

struct Family : FloatLanes {
  using X = std::uint16_t;
  static constexpr int kFusedRows = 24;
  static constexpr bool kWidensX = false;
  static constexpr DType kScratch = DType::bf16;
  // 24 sums, 4 weights and x fill 32 registers; widening FP8 takes 8 of them.
  static constexpr int tiles(int rows, bool fused) { return fused && rows > 3 ? 2 : 4; }

  template <DType kWeights>
  struct Weights;
  template <DType kWeights>
  static void widen_tile(const std::byte* from, std::int64_t values, std::int64_t prefetch,
                         std::byte* to) {
    static_assert(kWeights == DType::f8_e4m3);
    widen_fp8_tile(from, values, prefetch, to);
  }
};

template <>
struct Family::Weights<DType::bf16> {
  static constexpr int kValues = 2;
  using Wide = __m512i;
  using Broadcast = __m512i;
  static Wide widen(const std::byte* from) { return _mm512_loadu_si512(from); }
  static Broadcast broadcast(const X* x) { return broadcast_pair(x); }
  static Sum add_product(Sum sum, Wide weights, Broadcast x) { return dot(sum, weights, x); }
};

template <>
struct Family::Weights<DType::f8_e4m3> {
  static constexpr int kValues = 4;
  const Fp8ToBf16 tables;
  using Wide = Fp8Pairs;
  struct Broadcast {
    __m512i first, second;
  };
  Wide widen(const std::byte* from) const { return tables.widen(from); }
  static Broadcast broadcast(const X* x) { return {broadcast_pair(x), broadcast_pair(x + 2)}; }
  static Sum add_product(Sum sum, const Wide& weights, const Broadcast& x) {
    return dot(dot(sum, weights.first, x.first), weights.second, x.second);
  }
};

}  // namespace

void multiply_tiles_avx512_bf16(const TileMatmul& matmul, const TileRange& range) {
  if (matmul.weight_dtype == DType::f8_e4m3)
    multiply_range<Family, DType::f8_e4m3>(matmul, range);
  else
    multiply_range<Family, DType::bf16>(matmul, range);
}

}  // namespace isotope::ops
