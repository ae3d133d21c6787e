// One tile of layout cpu_tile16, from rows of a checkpoint's matrices.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace isotope::ops {

/// The sources of a tile's 16 output features; nullptr gives zeros.
using TileRows = std::array<const std::byte*, 16>;

/// Packs rows of k elements (dtype `source`) into `out`, as `target`: the same dtype, or f16 or f32
/// rounded to bf16. Returns false if a row holds an FP8 NaN code (the tile is then unusable).
[[nodiscard]] bool pack_tile(const TileRows& rows, std::int64_t k, DType source, DType target,
                             std::byte* out);

}  // namespace isotope::ops
