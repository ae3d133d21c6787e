// A row of a packed table is one lane of a tile: 2 (FP8) or 4 bytes from every 32 or 64. Reading it
// is a matter of cache misses, not of arithmetic, so the form is the same for every instruction
// set: simple independent loads, many in flight.
#include <algorithm>
#include <array>

#include "base/checked.h"
#include "device/cpu/cpu_device.h"
#include "ops/embed/embed_cpu.h"

namespace isotope::ops::cpu {
namespace {

constexpr std::int64_t kTile = 16, kScaleBlock = 128;

const std::array<float, 256>& fp8_values() {
  static const std::array<float, 256> values = [] {
    std::array<float, 256> table;
    for (int code = 0; code < 256; ++code)
      table[std::size_t(code)] = to_float(float8_e4m3{std::uint8_t(code)});
    return table;
  }();
  return values;
}

void gather_f32(const float* tile, std::int64_t feature, std::int64_t k, float* out) {
  for (std::int64_t j = 0; j < k; ++j) out[j] = tile[j * kTile + feature];
}

void gather_bf16(const bfloat16* tile, std::int64_t feature, std::int64_t k, float* out) {
  const bfloat16* pair = tile + feature * 2;
  std::int64_t j = 0;
  for (; j + 2 <= k; j += 2, pair += 2 * kTile) {
    out[j] = to_float(pair[0]);
    out[j + 1] = to_float(pair[1]);
  }
  if (j < k) out[j] = to_float(pair[0]);
}

void gather_fp8(const std::uint8_t* tile, std::int64_t feature, std::int64_t k, float* out) {
  const std::array<float, 256>& values = fp8_values();
  // 64 bytes hold 4 values of k of 16 features; two pairs of this feature lie 8 bytes apart.
  const std::uint8_t* four = tile + feature / 4 * 16 + feature % 4 * 2;
  for (std::int64_t j = 0; j < k; j += 4, four += 64) {
    const float group[4] = {values[four[0]], values[four[1]], values[four[8]], values[four[9]]};
    std::copy_n(group, std::min<std::int64_t>(4, k - j), out + j);
  }
}

void multiply_scales(const LinearWeight& table, std::int64_t id, float* out) {
  const float* scales = table.scales.as<const float>();
  if (table.scale_layout == ScaleLayout::none) return;
  if (table.scale_layout == ScaleLayout::per_row) {
    std::for_each(out, out + table.k, [scale = scales[id]](float& value) { value *= scale; });
    return;
  }
  const std::int64_t stride = table.scales_per_feature ? kTile : 1;
  const float* block = scales + id / kTile * ceil_div(table.padded_k, kScaleBlock) * stride;
  if (table.scales_per_feature) block += id % kTile;
  for (std::int64_t j = 0; j < table.k; ++j) out[j] *= block[j / kScaleBlock * stride];
}

void gather_row(const LinearWeight& table, std::int64_t id, float* out) {
  if (table.layout == WeightLayout::row_major_f32) {
    std::copy_n(table.data.as<const float>() + id * table.k, table.k, out);
    return;
  }
  const std::int64_t tile = id / kTile * kTile * table.padded_k, feature = id % kTile;
  switch (table.dtype) {
    case DType::f32:
      gather_f32(table.data.as<const float>() + tile, feature, table.k, out);
      break;
    case DType::bf16:
      gather_bf16(table.data.as<const bfloat16>() + tile, feature, table.k, out);
      break;
    case DType::f8_e4m3:
      gather_fp8(table.data.as<const std::uint8_t>() + tile, feature, table.k, out);
      break;
    default:
      assertion_failed("a packed dtype", __FILE__, __LINE__);
  }
  multiply_scales(table, id, out);
}

}  // namespace

void embed_fast(Context& context, const TensorView& ids, const LinearWeight& table,
                const TensorView& out) {
  ThreadPool& pool = static_cast<device::CpuDevice&>(context.device()).pool();
  pool.parallel_for(ids.shape[0], [&](std::int64_t row, int) {
    const TokenId id = ids.as<const TokenId>()[row];
    if (id >= 0 && id < table.n)
      gather_row(table, id, out.row<float>(row));
    else
      std::fill_n(out.row<float>(row), table.k, 0.0f);
  });
}

}  // namespace isotope::ops::cpu
