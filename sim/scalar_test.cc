#include <gtest/gtest.h>

#include "sim/testing.h"

namespace isotope::sim {
namespace {

TEST(Scalar, CountsInALoop) {
  TestWave test;
  test.run(
      "s_mov_b32 s0, 0\n"
      "s_mov_b32 s1, 10\n"
      "s_add_co_i32 s0, s0, s1\n"
      "s_sub_co_u32 s1, s1, 1\n"
      "s_cmp_lg_u32 s1, 0\n"
      "s_cbranch_scc1 -4");
  EXPECT_EQ(test.wave.sgpr[0], 55u);
}

}  // namespace
}  // namespace isotope::sim
