#include <gtest/gtest.h>

#include <cmath>

#include "sim/testing.h"
#include "sim/vector.h"

namespace isotope::sim {
namespace {

float at(const TestWave& test, int vgpr, int lane) {
  return std::bit_cast<float>(test.wave.vgpr[std::size_t(vgpr)][std::size_t(lane)]);
}

TEST(VectorSmoke, AddsAndSelects) {
  TestWave test;
  for (int lane = 0; lane < kLanes; ++lane) {
    test.wave.vgpr[1][lane] = std::bit_cast<u32>(float(lane));
    test.wave.vgpr[2][lane] = std::bit_cast<u32>(0.5f);
  }
  test.run(
      "v_add_f32 v3, v1, v2\nv_fma_f32 v4, -v1, v2, 1.0\nv_cmp_gt_f32 vcc_lo, 4.0, "
      "v1\nv_cndmask_b32 v5, v1, v2, vcc_lo\n"
      "v_dual_cndmask_b32 v6, v1, v2 :: v_dual_add_nc_u32 v7, v2, v1\nv_div_scale_f32 v8, vcc_lo, "
      "v1, v1, v2");
  for (int lane = 0; lane < kLanes; ++lane) {
    EXPECT_EQ(at(test, 3, lane), lane + 0.5f);
    EXPECT_EQ(at(test, 4, lane), 1 - lane * 0.5f);
    EXPECT_EQ(at(test, 5, lane), lane < 4 ? 0.5f : lane);
    EXPECT_EQ(at(test, 6, lane), lane < 4 ? 0.5f : lane);
  }
}

}  // namespace
}  // namespace isotope::sim
