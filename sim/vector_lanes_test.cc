// Moves between lanes, against the tables and pseudocode of the instruction set.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "sim/decode.h"
#include "sim/lanes.h"
#include "sim/testing.h"

namespace isotope::sim {
namespace {

constexpr std::array<u32, 7> kMasks = {~0u,         0u,       0xffff0000u, 0x0000ffffu,
                                       0x5555aaaau, 1u << 31, 0x0f7c31e9u};

Lanes numbered(u32 base) {
  Lanes lanes;
  for (u32 lane = 0; lane < kLanes; ++lane) lanes[lane] = base + lane;
  return lanes;
}

TEST(VectorLanes, ReadsTheFirstActiveLane) {
  TestWave test;
  test.wave.vgpr[3] = numbered(100);
  for (const u32 exec : kMasks) {
    test.wave.sgpr[kExecLo] = exec;
    test.run("v_readfirstlane_b32 s5, v3");
    u32 first = 0;  // all off: lane 0
    for (u32 lane = kLanes; lane-- > 0;)
      if (exec >> lane & 1) first = lane;
    EXPECT_EQ(test.wave.sgpr[5], 100 + first) << exec;
  }
}

TEST(VectorLanes, ReadsAndWritesALaneWhateverIsActive) {
  TestWave test;
  for (const u32 exec : kMasks)
    for (u32 lane = 0; lane < kLanes; ++lane) {
      test.wave.sgpr[kExecLo] = exec;
      test.wave.vgpr[3] = numbered(100);
      test.run(fmt::format("v_readlane_b32 s5, v3, {}\n v_writelane_b32 v3, 77, {}", lane, lane));
      EXPECT_EQ(test.wave.sgpr[5], 100 + lane);
      Lanes expected = numbered(100);
      expected[lane] = 77;
      EXPECT_EQ(test.wave.vgpr[3], expected);
    }
  // Five bits of the selector count.
  test.wave.vgpr[3] = numbered(100);
  test.wave.sgpr[1] = 0xffffffe4;
  test.wave.sgpr[kM0] = 33;
  test.wave.sgpr[2] = 0x12345678;
  test.run(
      "v_readlane_b32 vcc_lo, v3, s1\n v_readlane_b32 s6, v3, m0\n v_writelane_b32 v3, s2, m0\n "
      "v_writelane_b32 v3, vcc_lo, s1");
  EXPECT_EQ(test.wave.vcc(), 104u);
  EXPECT_EQ(test.wave.sgpr[6], 101u);
  EXPECT_EQ(test.wave.vgpr[3][1], 0x12345678u);
  EXPECT_EQ(test.wave.vgpr[3][4], 104u);
}

struct Permutation {
  const char* name;
  bool other_row, by_lanes;
};
constexpr Permutation kPermutations[] = {
    {"v_permlane16_b32", false, false},
    {"v_permlanex16_b32", true, false},
    {"v_permlane16_var_b32", false, true},
    {"v_permlanex16_var_b32", true, true},
};

TEST(VectorLanes, PermutesRows) {
  std::mt19937 random(1);
  for (const Permutation& permutation : kPermutations)
    for (const u32 exec : kMasks)
      for (const bool fetch_inactive : {false, true})
        for (const bool zero : {false, true}) {
          TestWave test;
          auto& wave = test.wave;
          wave.sgpr[kExecLo] = exec;
          wave.vgpr[0] = numbered(1000);
          wave.vgpr[1] = numbered(100);
          for (u32& lane : wave.vgpr[2]) lane = u32(random());
          wave.sgpr[2] = u32(random());
          wave.sgpr[3] = u32(random());
          Lanes expected = wave.vgpr[0];
          for (u32 row = 0; row < 2; ++row)
            for (u32 i = 0; i < 16; ++i) {
              const u32 lane = row * 16 + i, select = permutation.by_lanes ? wave.vgpr[2][lane] & 15
                                                      : i < 8 ? wave.sgpr[2] >> 4 * i & 15
                                                              : wave.sgpr[3] >> 4 * (i - 8) & 15;
              const u32 from = (permutation.other_row ? 1 - row : row) * 16 + select;
              if (!(exec >> lane & 1)) continue;
              if (fetch_inactive || (exec >> from & 1))
                expected[lane] = 100 + from;
              else if (zero)
                expected[lane] = 0;
            }
          test.run(fmt::format("{} v0, v1, {} op_sel:[{},{}]", permutation.name,
                               permutation.by_lanes ? "v2" : "s2, s3", int(fetch_inactive),
                               int(zero)));
          EXPECT_EQ(wave.vgpr[0], expected)
              << permutation.name << " " << exec << fetch_inactive << zero;
        }
}

TEST(VectorLanes, PermutesOntoItself) {
  TestWave test;
  test.wave.vgpr[1] = numbered(100);
  test.wave.sgpr[2] = 0x76543210u;
  test.run("v_permlanex16_b32 v1, v1, s2, -1");
  for (u32 lane = 0; lane < kLanes; ++lane)
    EXPECT_EQ(test.wave.vgpr[1][lane],
              100 + (lane ^ 16) / 16 * 16 + (lane % 16 < 8 ? lane % 16 : 15));
}

TEST(VectorLanes, AWaveOf32HasNoHalvesToExchange) {
  TestWave test;
  test.wave.vgpr[0] = numbered(5);
  test.wave.vgpr[1] = numbered(100);
  test.run("v_permlane64_b32 v0, v1");
  EXPECT_EQ(test.wave.vgpr[0], numbered(5));
}

u32 ones_below(u32 bits, u32 lane) {
  u32 count = 0;
  for (u32 i = 0; i < lane; ++i) count += bits >> i & 1;
  return count;
}

TEST(VectorLanes, CountsTheOnesBelow) {
  std::mt19937 random(2);
  for (const u32 exec : kMasks) {
    TestWave test;
    auto& wave = test.wave;
    wave.sgpr[kExecLo] = exec;
    wave.sgpr[4] = u32(random());
    for (u32& lane : wave.vgpr[1]) lane = u32(random());
    for (u32& lane : wave.vgpr[2]) lane = u32(random());
    test.run(
        "v_mbcnt_lo_u32_b32 v3, -1, 0\n v_mbcnt_lo_u32_b32 v4, s4, v2\n v_mbcnt_lo_u32_b32 v5, v1, "
        "v2\n"
        "v_mbcnt_hi_u32_b32 v6, -1, v2\n v_mbcnt_lo_u32_b32_e64_dpp v7, v1, v2 row_shl:1 "
        "row_mask:0xf bank_mask:0xf fi:1");
    for (u32 lane = 0; lane < kLanes; ++lane) {
      const bool on = exec >> lane & 1;
      EXPECT_EQ(wave.vgpr[3][lane], on ? lane : 0);
      EXPECT_EQ(wave.vgpr[4][lane], on ? wave.vgpr[2][lane] + ones_below(wave.sgpr[4], lane) : 0);
      EXPECT_EQ(wave.vgpr[5][lane],
                on ? wave.vgpr[2][lane] + ones_below(wave.vgpr[1][lane], lane) : 0);
      EXPECT_EQ(wave.vgpr[6][lane], on ? wave.vgpr[2][lane] : 0);
      const bool moved = on && lane % 16 != 15;
      EXPECT_EQ(wave.vgpr[7][lane],
                moved ? wave.vgpr[2][lane] + ones_below(wave.vgpr[1][lane + 1], lane) : 0);
    }
  }
}

/// Where lane `lane` reads from; outside of its row: nowhere.
struct Move {
  std::string text;
  std::function<int(int lane)> from;
};

int row_of(int lane) { return lane / 16 * 16; }

/// As the first table of the chapter on DPP gives them.
std::vector<Move> moves() {
  std::vector<Move> all;
  std::mt19937 random(3);
  for (int i = 0; i < 12; ++i) {
    std::array<int, 4> lanes;
    for (int& lane : lanes) lane = int(random() % 4);
    all.push_back({fmt::format("quad_perm:[{},{},{},{}]", lanes[0], lanes[1], lanes[2], lanes[3]),
                   [lanes](int lane) { return lane - lane % 4 + lanes[std::size_t(lane % 4)]; }});
  }
  const auto inside = [](int lane, int from) {
    return from >= row_of(lane) && from < row_of(lane) + 16 ? from : -1;
  };
  for (int n = 1; n < 16; ++n) {
    all.push_back({fmt::format("row_shl:{}", n), [=](int lane) { return inside(lane, lane + n); }});
    all.push_back({fmt::format("row_shr:{}", n), [=](int lane) { return inside(lane, lane - n); }});
    all.push_back({fmt::format("row_ror:{}", n), [=](int lane) {
                     return inside(lane, lane - n) < 0 ? lane - n + 16 : lane - n;
                   }});
  }
  for (int n = 0; n < 16; ++n) {
    all.push_back({fmt::format("row_share:{}", n), [=](int lane) { return row_of(lane) + n; }});
    all.push_back({fmt::format("row_xmask:{}", n), [=](int lane) { return lane ^ n; }});
  }
  all.push_back({"row_mirror", [](int lane) { return row_of(lane) + 15 - lane % 16; }});
  all.push_back({"row_half_mirror", [](int lane) { return lane / 8 * 8 + 7 - lane % 8; }});
  return all;
}

/// moved_lanes as a move of v1 to v0 would use it.
Lanes moved(TestWave& test, const Instruction& instruction) {
  Lanes buffer, out = test.wave.vgpr[0];
  u32 mask = test.wave.exec();
  const u32* const values =
      moved_lanes(test.wave, instruction, test.wave.vgpr[1].data(), buffer, mask);
  for (u32 lane = 0; lane < kLanes; ++lane)
    if (mask >> lane & 1) out[lane] = values[lane];
  return out;
}

// A known instruction: the rest of its text is parsed only for those.
Instruction with_move(const std::string& modifiers) {
  std::vector<Instruction> halves;
  return parse_instruction("v_mbcnt_lo_u32_b32_e64_dpp v0, v1, v2 " + modifiers, halves);
}

TEST(VectorLanes, DataParallelPrimitives) {
  std::mt19937 random(4);
  for (const Move& move : moves())
    for (const u32 exec : kMasks)
      for (const bool zero : {false, true})
        for (const bool fetch_inactive : {false, true}) {
          const u32 row_mask = random() % 3 ? 15 : u32(random() % 16),
                    bank_mask = random() % 3 ? 15 : u32(random() % 16);
          TestWave test;
          test.wave.sgpr[kExecLo] = exec;
          test.wave.vgpr[0] = numbered(1000);
          test.wave.vgpr[1] = numbered(100);
          Lanes expected = numbered(1000);
          for (int lane = 0; lane < kLanes; ++lane) {
            const bool written = (exec >> lane & 1) && (row_mask >> lane / 16 & 1) &&
                                 (bank_mask >> lane % 16 / 4 & 1);
            const int from = move.from(lane);
            const bool readable = from >= 0 && (fetch_inactive || (exec >> from & 1));
            if (written && readable) expected[std::size_t(lane)] = 100 + u32(from);
            if (written && !readable && zero) expected[std::size_t(lane)] = 0;
          }
          const std::string modifiers =
              fmt::format("{} row_mask:{:#x} bank_mask:{:#x}{}{}", move.text, row_mask, bank_mask,
                          zero ? " bound_ctrl:1" : "", fetch_inactive ? " fi:1" : "");
          ASSERT_EQ(moved(test, with_move(modifiers)), expected) << modifiers << " " << exec;
        }
}

TEST(VectorLanes, DataParallelPrimitivesOfEight) {
  std::mt19937 random(5);
  for (int repeat = 0; repeat < 20; ++repeat)
    for (const u32 exec : kMasks)
      for (const bool fetch_inactive : {false, true}) {
        std::array<u32, 8> select;
        std::string text = "dpp8:[";
        for (u32 i = 0; i < 8; ++i)
          text += fmt::format("{}{}", select[i] = u32(random() % 8), i < 7 ? "," : "]");
        if (fetch_inactive) text += " fi:1";
        TestWave test;
        test.wave.sgpr[kExecLo] = exec;
        test.wave.vgpr[0] = numbered(1000);
        test.wave.vgpr[1] = numbered(100);
        Lanes expected = numbered(1000);
        for (u32 lane = 0; lane < kLanes; ++lane) {
          const u32 from = lane / 8 * 8 + select[lane % 8];
          if (exec >> lane & 1)
            expected[lane] = fetch_inactive || (exec >> from & 1) ? 100 + from : 0;
        }
        ASSERT_EQ(moved(test, with_move(text)), expected) << text << " " << exec;
      }
}

TEST(VectorLanes, MovesFromWhereTheyWrite) {
  TestWave test;
  Lanes lanes = numbered(100);
  u32 mask = test.wave.exec();
  moved_lanes(test.wave, with_move("row_ror:5 row_mask:0xf bank_mask:0xf"), lanes.data(), lanes,
              mask);
  for (u32 lane = 0; lane < kLanes; ++lane)
    EXPECT_EQ(lanes[lane], 100 + lane / 16 * 16 + (lane + 11) % 16);
}

}  // namespace
}  // namespace isotope::sim
