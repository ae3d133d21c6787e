#include "ops/embed/embed_cpu.h"

namespace isotope::ops::cpu {
namespace {

constexpr std::int64_t kTile = 16, kScaleBlock = 128;

/// W[i, j] without its scale, by the layouts of linear_weight.h.
float element(const LinearWeight& table, std::int64_t i, std::int64_t j) {
  if (table.layout == WeightLayout::row_major_f32)
    return table.data.as<const float>()[i * table.k + j];
  const std::int64_t tile = i / kTile * kTile * table.padded_k, feature = i % kTile;
  if (table.dtype == DType::f32) return table.data.as<const float>()[tile + j * kTile + feature];
  if (table.dtype == DType::bf16)
    return to_float(table.data.as<const bfloat16>()[tile + (j / 2 * kTile + feature) * 2 + j % 2]);
  const std::int64_t byte = j / 4 * 64 + feature / 4 * 16 + j % 4 / 2 * 8 + feature % 4 * 2 + j % 2;
  return to_float(table.data.as<const float8_e4m3>()[tile + byte]);
}

float scale(const LinearWeight& table, std::int64_t i, std::int64_t j) {
  const float* scales = table.scales.as<const float>();
  if (table.layout == WeightLayout::row_major_f32 || table.scale_layout == ScaleLayout::none)
    return 1.0f;
  if (table.scale_layout == ScaleLayout::per_row) return scales[i];
  const std::int64_t blocks = (table.padded_k + kScaleBlock - 1) / kScaleBlock;
  const std::int64_t block = i / kTile * blocks + j / kScaleBlock;
  return table.scales_per_feature ? scales[block * kTile + i % kTile] : scales[block];
}

}  // namespace

void embed_oracle(const TensorView& ids, const LinearWeight& table, const TensorView& out) {
  for (std::int64_t row = 0; row < ids.shape[0]; ++row) {
    const TokenId id = ids.as<const TokenId>()[row];
    const bool known = id >= 0 && id < table.n;
    for (std::int64_t j = 0; j < table.k; ++j)
      out.row<float>(row)[j] = known ? element(table, id, j) * scale(table, id, j) : 0.0f;
  }
}

}  // namespace isotope::ops::cpu
