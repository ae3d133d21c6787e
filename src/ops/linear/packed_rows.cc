#include "ops/linear/packed_rows.h"

#include <algorithm>

#include "base/checked.h"
#include "base/error.h"

namespace isotope::ops {
namespace {

constexpr std::int64_t kTileRows = 128, kPerTile = 24;

}  // namespace

PackedRows::PackedRows(device::Device& device, const LinearWeight& weight)
    : weight_(weight),
      tile_bytes_(kTileRows * weight.padded_k * std::int64_t(size_of(weight.dtype))) {
  ISOTOPE_ASSERT(weight.layout == WeightLayout::gpu_tile128);
  const std::int64_t last = weight.padded_n / kTileRows - 1;
  for (const std::int64_t tile : {std::int64_t(0), last / 2, last})
    if (tiles_.empty() || tiles_.back() != tile) tiles_.push_back(tile);
  const bool halves = weight.row_order == RowOrder::interleaved_halves;
  const std::int64_t per_tile = halves ? kTileRows / 2 : kTileRows;
  const std::int64_t outputs = halves ? weight.n / 2 : weight.n;
  for (const std::int64_t tile : tiles_) {
    std::vector<std::byte>& bytes = data_.emplace_back(std::size_t(tile_bytes_));
    device.stream().copy_to_host(bytes.data(), weight.data.as<std::byte>() + tile * tile_bytes_,
                                 bytes.size());
    for (std::int64_t i = 0; i < kPerTile; ++i)
      if (const std::int64_t feature = tile * per_tile + i * per_tile / kPerTile; feature < outputs)
        features_.push_back(feature);
  }
  scales_.resize(weight.scales.size() / sizeof(float));
  if (!scales_.empty())
    device.stream().copy_to_host(scales_.data(), weight.scales.data(),
                                 scales_.size() * sizeof(float));
  device.stream().synchronize();
}

std::int64_t PackedRows::row_of(std::int64_t feature, int half) const {
  if (weight_.row_order != RowOrder::interleaved_halves) return feature;
  return feature / 8 * 16 + 8 * half + feature % 8;
}

double PackedRows::scale(std::int64_t row, std::int64_t i) const {
  const std::int64_t blocks = ceil_div<std::int64_t>(weight_.k, 128);
  switch (weight_.scale_layout) {
    case ScaleLayout::per_row:
      return double(scales_[std::size_t(row)]);
    case ScaleLayout::block_128x128:
      return double(
          scales_[std::size_t((weight_.scales_per_feature ? row : row / 8) * blocks + i / 128)]);
    default:
      return 1.0;
  }
}

std::vector<double> PackedRows::values(std::int64_t row) const {
  const auto tile = std::find(tiles_.begin(), tiles_.end(), row / kTileRows);
  ISOTOPE_ASSERT(tile != tiles_.end());
  const std::byte* data = data_[std::size_t(tile - tiles_.begin())].data();
  const auto size = std::int64_t(size_of(weight_.dtype));
  std::vector<double> values;
  for (std::int64_t i = 0; i < weight_.k; ++i) {
    // The layout's address of (row, vector), within the tile's part of the buffer.
    const std::int64_t vector = i * size / 16, r = row % kTileRows;
    const std::int64_t at =
        (vector / 8 * 16 + r / 8) * 1024 + vector % 8 * 128 + r % 8 * 16 + i * size % 16;
    const TensorView element(weight_.dtype, {1}, const_cast<std::byte*>(data) + at);
    values.push_back(double(load_float(element, 0)) * scale(row, i));
  }
  return values;
}

}  // namespace isotope::ops
