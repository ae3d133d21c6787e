#include "ops/linear/linear_wide_wgmma.h"

#include <gtest/gtest.h>

#include "base/checked.h"

namespace isotope::ops::gpu {
namespace {

constexpr std::int64_t kH100 = 132, kSharedPerBlock = 227 << 10;

LinearWeight weight_of(std::int64_t n, std::int64_t k, DType dtype, bool blocks) {
  LinearWeight weight;
  weight.n = n;
  weight.k = k;
  weight.padded_n = round_up<std::int64_t>(n, 128);
  weight.padded_k = round_up<std::int64_t>(k, 128);
  weight.dtype = dtype;
  weight.scale_layout = blocks ? ScaleLayout::block_128x128 : ScaleLayout::none;
  return weight;
}

WgmmaCut usual_cut(const LinearWeight& weight, std::int64_t columns, std::int64_t multiprocessors) {
  const std::int64_t groups = wgmma_groups(weight, multiprocessors);
  return wgmma_cut(weight, columns, groups,
                   wgmma_tile_rows(weight, columns, groups, multiprocessors), multiprocessors,
                   kSharedPerBlock);
}

// What the kernel needs to be right, for any shape and card.
TEST(WgmmaCut, FitsCardAndKernel) {
  for (const std::int64_t multiprocessors : {1, 16, 114, 132})
    for (const std::int64_t n : {1, 128, 1000, 4096, 151936})
      for (const std::int64_t k : {1, 200, 1024, 4096, 14336})
        for (const DType dtype : {DType::f8_e4m3, DType::bf16})
          for (const std::int64_t columns : {32, 64, 128}) {
            SCOPED_TRACE(::testing::Message()
                         << multiprocessors << " multiprocessors, " << n << " x " << k << " "
                         << name_of(dtype) << ", " << columns << " columns");
            LinearWeight weight = weight_of(n, k, dtype, dtype == DType::f8_e4m3);
            weight.scales_per_feature = dtype == DType::f8_e4m3;
            const WgmmaCut cut = usual_cut(weight, columns, multiprocessors);
            EXPECT_TRUE(cut.rows == 128 || (cut.rows == 64 && cut.groups >= 2));
            EXPECT_EQ(cut.blocks * (cut.rows == 64 ? 2 : 1), cut.groups);
            EXPECT_EQ(8 % cut.groups, 0);
            EXPECT_EQ(cut.groups, wgmma_groups(weight, multiprocessors));
            EXPECT_GE(cut.grid, cut.blocks);
            EXPECT_EQ(cut.grid % cut.blocks, 0);
            EXPECT_LE(cut.grid, std::max(multiprocessors, cut.blocks));
            EXPECT_LE(cut.grid, weight.padded_n / cut.rows * cut.blocks);
            EXPECT_GE(cut.stages, 2);
            EXPECT_LE(cut.shared_bytes, kSharedPerBlock);
            for (const std::int64_t groups : {1, 2, 4, 8}) {  // as a tuning table may say
              const WgmmaCut tuned =
                  wgmma_cut(weight, columns, groups, 64, multiprocessors, kSharedPerBlock);
              EXPECT_EQ(tuned.rows, groups == 1 ? 128 : 64);
              EXPECT_EQ(tuned.blocks * (tuned.rows == 64 ? 2 : 1), groups);
              EXPECT_GE(tuned.stages, 2);
              EXPECT_LE(tuned.shared_bytes, kSharedPerBlock);
            }
          }
}

// Small weights are cut until most multiprocessors have something to do; large ones are not cut at
// all.
TEST(WgmmaCut, KeepsAnH100Busy) {
  const auto grid = [](std::int64_t n, std::int64_t k) {
    return usual_cut(weight_of(n, k, DType::f8_e4m3, true), 32, kH100).grid;
  };
  EXPECT_GE(grid(6144, 4096), 96);
  EXPECT_GE(grid(4096, 4096), 120);
  EXPECT_GE(grid(4096, 12288), 120);
  EXPECT_GE(grid(24576, 4096), 128);
  EXPECT_EQ(wgmma_groups(weight_of(151936, 4096, DType::bf16, false), kH100), 1);
}

}  // namespace
}  // namespace isotope::ops::gpu
