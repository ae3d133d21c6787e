// How linear_wide_wgmma.cu cuts a product, and the shared memory that it takes.
#pragma once

#include <cstdint>

#include "ops/linear/linear_weight.h"

namespace isotope::ops::gpu {

struct WgmmaCut {
  std::int64_t groups;        ///< of the eight parts of k
  std::int64_t rows;          ///< of a row tile, 64 or 128
  std::int64_t blocks;        ///< of a cluster
  std::int64_t stages;        ///< of the ring
  std::int64_t grid;          ///< blocks that run at once, at most
  std::int64_t shared_bytes;  ///< dynamic
};

/// The groups of parts in which k should be summed: decided by the shape of the weight and the card
/// alone.
std::int64_t wgmma_groups(const LinearWeight& weight, std::int64_t multiprocessors);
/// The rows of a tile that should be best for `columns` input rows at once.
std::int64_t wgmma_tile_rows(const LinearWeight& weight, std::int64_t columns, std::int64_t groups,
                             std::int64_t multiprocessors);

/// `tile_rows` of 64 take at least two groups; `shared_per_block` bytes of shared memory are there.
WgmmaCut wgmma_cut(const LinearWeight& weight, std::int64_t columns, std::int64_t groups,
                   std::int64_t tile_rows, std::int64_t multiprocessors,
                   std::int64_t shared_per_block);

}  // namespace isotope::ops::gpu
