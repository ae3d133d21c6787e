#include "ops/embed/embed_cpu.h"

#include <algorithm>

#include "base/checked.h"

namespace isotope::ops {
namespace {

constexpr std::int64_t kTile = 16, kScaleBlock = 128;

/// Elements 2p and 2p + 1 lie side by side, 16 features to a pair.
void unpack_bf16(const bfloat16* tile, std::int64_t feature, std::int64_t k, float* out) {
  for (std::int64_t i = 0; i < k; ++i)
    out[i] = to_float(tile[(i / 2) * 2 * kTile + feature * 2 + i % 2]);
}

/// 64 bytes hold 4 elements of 16 features; each quarter of 4 features has pair 0, then pair 1.
void unpack_fp8(const float8_e4m3* tile, std::int64_t feature, std::int64_t k, float* out) {
  for (std::int64_t i = 0; i < k; ++i) {
    const std::int64_t quarter = feature / 4, pair = (i % 4) / 2;
    out[i] = to_float(tile[(i / 4) * 64 + quarter * 16 + pair * 8 + (feature % 4) * 2 + i % 2]);
  }
}

void unpack_f32(const float* tile, std::int64_t feature, std::int64_t k, float* out) {
  for (std::int64_t i = 0; i < k; ++i) out[i] = tile[i * kTile + feature];
}

void apply_scales(const LinearWeight& weight, std::int64_t row, float* out) {
  const float* scales = weight.scales.as<const float>();
  if (weight.scale_layout == ScaleLayout::per_row) {
    for (std::int64_t i = 0; i < weight.k; ++i) out[i] *= scales[row];
    return;
  }
  const std::int64_t blocks = ceil_div(weight.padded_k, kScaleBlock);
  const std::int64_t tile = row / kTile, feature = row % kTile;
  for (std::int64_t i = 0; i < weight.k; ++i) {
    const std::int64_t block = tile * blocks + i / kScaleBlock;
    out[i] *= weight.scales_per_feature ? scales[block * kTile + feature] : scales[block];
  }
}

}  // namespace

void unpack_weight_row(const LinearWeight& weight, std::int64_t row, float* out) {
  ISOTOPE_ASSERT(row >= 0 && row < weight.n);
  if (weight.layout == WeightLayout::row_major_f32) {
    const float* source = weight.data.as<const float>() + row * weight.k;
    std::copy(source, source + weight.k, out);
    return;
  }
  const std::int64_t feature = row % kTile;
  const std::int64_t offset = (row / kTile) * kTile * weight.padded_k;  // elements
  switch (weight.dtype) {
    case DType::bf16:
      unpack_bf16(weight.data.as<bfloat16>() + offset, feature, weight.k, out);
      break;
    case DType::f8_e4m3:
      unpack_fp8(weight.data.as<float8_e4m3>() + offset, feature, weight.k, out);
      break;
    case DType::f32:
      unpack_f32(weight.data.as<float>() + offset, feature, weight.k, out);
      break;
    default:
      assertion_failed("a weight of f32, bf16 or f8_e4m3", __FILE__, __LINE__);
  }
  if (weight.scale_layout != ScaleLayout::none) apply_scales(weight, row, out);
}

}  // namespace isotope::ops
