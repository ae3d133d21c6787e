#include "ops/linear/linear_wide_wgmma.h"

#include <algorithm>
#include <initializer_list>

#include "base/checked.h"

namespace isotope::ops::gpu {
namespace {

constexpr std::int64_t kTileRows = 128, kTileBytes = 128, kParts = 8;

std::int64_t k_tiles(const LinearWeight& weight) {
  return weight.padded_k * std::int64_t(size_of(weight.dtype)) / kTileBytes;
}

/// Inputs for a tile of k, in bytes.
std::int64_t input_bytes(const LinearWeight& weight, std::int64_t columns) {
  return columns * (kTileBytes / std::int64_t(size_of(weight.dtype))) * 2;
}

/// Clusters that run at once. They have to fit into parts of the card (GPCs), which leaves some
/// multiprocessors out: an H100 with 132 has room for 66 of 2, 30 of 4 and 15 of 8 blocks.
std::int64_t resident_clusters(std::int64_t blocks, std::int64_t multiprocessors) {
  const std::int64_t usable = blocks > 2 ? multiprocessors * 10 / 11 : multiprocessors;
  return std::max<std::int64_t>(1, usable / blocks);
}

struct Choice {
  std::int64_t groups, rows;
  std::int64_t blocks() const { return rows == kTileRows ? groups : groups / 2; }
};

/// Cycles that a product should take. The constants are an H100's: memory brings a tile of 16 KiB
/// in 9.3 cycles, a stage takes a block 800 cycles to multiply or 22 for each KiB that comes from
/// the L2 cache, and adding up groups takes 1500.
double cycles(const LinearWeight& weight, std::int64_t columns, std::int64_t multiprocessors,
              const Choice& choice) {
  const std::int64_t tiles = k_tiles(weight);
  const std::int64_t stages = std::min(tiles, ceil_div(tiles, kParts) * (kParts / choice.groups));
  const std::int64_t rounds =
      ceil_div(weight.padded_n / choice.rows, resident_clusters(choice.blocks(), multiprocessors));
  const double kib = 16 + double(input_bytes(weight, columns)) / 1024 * (choice.rows == 64 ? 2 : 1);
  const double memory = 9.3 * double(weight.padded_n / kTileRows * tiles);
  const double multiply =
      double(stages) * std::max(800.0, 22 * kib) + (choice.groups > 1 ? 1500 : 0);
  return std::max(memory, double(rounds) * multiply);
}

}  // namespace

std::int64_t wgmma_groups(const LinearWeight& weight, std::int64_t multiprocessors) {
  constexpr std::int64_t kColumns = 32;
  Choice best{1, kTileRows};
  for (const std::int64_t groups : {2, 4, 8})
    for (const std::int64_t rows : {128, 64}) {
      const Choice choice{groups, rows};
      if (cycles(weight, kColumns, multiprocessors, choice) <
          0.95 * cycles(weight, kColumns, multiprocessors, best))
        best = choice;
    }
  return best.groups;
}

std::int64_t wgmma_tile_rows(const LinearWeight& weight, std::int64_t columns, std::int64_t groups,
                             std::int64_t multiprocessors) {
  const bool half =
      groups > 1 && cycles(weight, columns, multiprocessors, {groups, 64}) <
                        0.95 * cycles(weight, columns, multiprocessors, {groups, kTileRows});
  return half ? 64 : kTileRows;
}

WgmmaCut wgmma_cut(const LinearWeight& weight, std::int64_t columns, std::int64_t groups,
                   std::int64_t tile_rows, std::int64_t multiprocessors,
                   std::int64_t shared_per_block) {
  constexpr std::int64_t kBarriers = 16, kMostStages = 12;
  const Choice choice{groups, groups == 1 ? kTileRows : tile_rows};
  const std::int64_t scales = weight.scale_layout != ScaleLayout::block_128x128 ? 0
                              : weight.scales_per_feature                       ? 128
                                                                                : 16;
  const std::int64_t slices = choice.rows == 64 ? 2 : 1;
  const std::int64_t stage = kTileRows * kTileBytes + slices * input_bytes(weight, columns) +
                             scales * std::int64_t(sizeof(float)) + kBarriers;
  const std::int64_t sums = columns == 128 || groups > 1 ? kTileRows * columns * 4 : 0;
  const std::int64_t rest = sums + kBarriers;
  WgmmaCut cut{};
  cut.groups = groups;
  cut.rows = choice.rows;
  cut.blocks = choice.blocks();
  cut.stages = std::clamp<std::int64_t>((shared_per_block - rest) / stage, 2, kMostStages);
  cut.shared_bytes = cut.stages * stage + rest;
  cut.grid =
      std::min(weight.padded_n / choice.rows, resident_clusters(cut.blocks, multiprocessors)) *
      cut.blocks;
  return cut;
}

}  // namespace isotope::ops::gpu
