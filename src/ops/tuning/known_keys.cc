// What tables may set. Whoever asks Tuning for a value adds it here.
#include "ops/tuning/tuning.h"

namespace isotope::ops {

std::vector<TuningKey> known_tuning_keys() {
  return {
      // Few rows: whether every block prepares the inputs for itself where it can, weight tiles in
      // flight a warp, blocks that share a multiprocessor.
      {"linear_decode", "fused", 0, 1},
      {"linear_decode", "depth", 1, 8},
      {"linear_decode", "blocks", 1, 8},
      // More rows: into how many groups the eight parts of k are put, each a block.
      {"linear_wide", "groups", 1, 8, true, true},
      {"linear_wide", "depth", 1, 4},
      {"linear_wide", "blocks", 1, 4},
      // Weight rows of a tile; sm_90a.
      {"linear_wide", "tile_rows", 64, 128, true},
      // Rows and features of a tile, and row tiles that are done together.
      {"linear_prefill", "tile_rows", 64, 128, true},
      {"linear_prefill", "tile_features", 64, 256, true},
      {"linear_prefill", "cluster", 1, 2},
      // Blocks of a launch, about.
      {"attention_decode", "blocks", 1, 1 << 20},
  };
}

}  // namespace isotope::ops
