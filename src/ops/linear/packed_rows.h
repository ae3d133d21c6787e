// Rows of a packed weight (gpu_tile128) read back: what a sample of its products is checked with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ops/linear/linear_weight.h"

namespace isotope::ops {

class PackedRows {
 public:
  /// Copies the scales and three tiles of 128 rows: the first, the middle and the last.
  PackedRows(device::Device& device, const LinearWeight& weight);

  /// Output features whose rows lie in the copied tiles, some of each.
  const std::vector<std::int64_t>& sampled_features() const { return features_; }
  /// The packed row of an output feature; with interleaved halves, of feature `feature` of part
  /// `half`.
  std::int64_t row_of(std::int64_t feature, int half) const;
  /// The k weights of a row of a copied tile, scaled.
  std::vector<double> values(std::int64_t row) const;

 private:
  double scale(std::int64_t row, std::int64_t i) const;

  const LinearWeight& weight_;
  std::int64_t tile_bytes_;
  std::vector<std::int64_t> tiles_, features_;
  std::vector<std::vector<std::byte>> data_;  // of tiles_
  std::vector<float> scales_;
};

}  // namespace isotope::ops
