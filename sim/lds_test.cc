// LDS beyond plain accesses (access_test.cc): two at once, moves between lanes, what is out of
// range, bank conflicts, races.
#include "sim/lds_check.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <random>

#include "sim/kernel_testing.h"

namespace isotope::sim {
namespace {

bool has(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

struct TwoCase {
  const char* type;
  u32 words, stride;
};
constexpr TwoCase kTwo[] = {{"2addr_b32", 1, 4},
                            {"2addr_b64", 2, 8},
                            {"2addr_stride64_b32", 1, 256},
                            {"2addr_stride64_b64", 2, 512}};

TEST(Lds, LoadsAndStoresTwoPlaces) {
  std::mt19937 random(3);
  for (const TwoCase& two : kTwo)
    for (const auto& [first, second] : {std::pair{0u, 1u}, {3u, 5u}, {100u, 150u}, {120u, 7u}})
      for (const u32 mask : {~0u, 0x80f00001u}) {
        TestWave test(64 << 10), before(64 << 10);
        for (u8& byte : test.group.lds) byte = u8(random());
        for (std::size_t v = 4; v < 20; ++v)
          for (u32& value : test.wave.vgpr[v]) value = random();
        // Negative parts of lanes too: the offsets are added in 32 bits.
        const u32 start = first == 100 ? 0u - 100 * two.stride : 0;
        for (u32 lane = 0; lane < kLanes; ++lane)
          test.wave.vgpr[0][lane] = start + lane * two.words * 4;
        test.wave.sgpr[kExecLo] = mask;
        before.wave.vgpr = test.wave.vgpr;
        before.group.lds = test.group.lds;
        const auto text = [&](int v, u32 words) {
          return words == 1 ? fmt::format("v{}", v)
                            : fmt::format("v[{}:{}]", v, v + int(words) - 1);
        };
        const std::string offsets = fmt::format("offset0:{} offset1:{}", first, second);
        test.run(fmt::format("ds_load_{} {}, v0 {}", two.type, text(4, two.words * 2), offsets));
        const auto place = [&](u32 lane, u32 offset) {
          return test.wave.vgpr[0][lane] + offset * two.stride;
        };
        for (u32 lane = 0; lane < kLanes; ++lane)
          for (u32 word = 0; word < two.words * 2; ++word) {
            u32 expected = before.wave.vgpr[4 + word][lane];
            const u32 from = place(lane, word < two.words ? first : second) + word % two.words * 4;
            if (mask >> lane & 1) std::memcpy(&expected, before.group.lds.data() + from, 4);
            ASSERT_EQ(test.wave.vgpr[4 + word][lane], expected) << two.type << " lane " << lane;
          }
        test.run(fmt::format("ds_store_{} v0, {}, {} {}", two.type, text(8, two.words),
                             text(10, two.words), offsets));
        for (const bool later : {false, true})
          for (u32 lane = 0; lane < kLanes; ++lane)
            for (u32 word = 0; word < two.words; ++word)
              if (mask >> lane & 1)
                std::memcpy(
                    before.group.lds.data() + place(lane, later ? second : first) + word * 4,
                    &test.wave.vgpr[(later ? 10 : 8) + word][lane], 4);
        ASSERT_EQ(test.group.lds, before.group.lds) << two.type;
      }
}

TEST(Lds, MovesBetweenLanes) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    TestWave test;
    const u32 exec = round % 2 ? random() : ~0u, offset = round % 5 * 4;
    for (std::size_t v = 0; v < 4; ++v)
      for (u32& value : test.wave.vgpr[v]) value = random();
    test.wave.sgpr[kExecLo] = exec;
    const Lanes where = test.wave.vgpr[1], data = test.wave.vgpr[2], before = test.wave.vgpr[0];
    Lanes pulled{}, pushed{};
    for (u32 i = 0; i < kLanes; ++i) {
      const u32 other = (where[i] + offset) / 4 % 32;
      if (exec >> other & 1) pulled[i] = data[other];
      if (exec >> i & 1) pushed[other] = data[i];
    }
    test.run(
        fmt::format("ds_bpermute_b32 v0, v1, v2 offset:{}\nds_permute_b32 v3, v1, v2 offset:{}",
                    offset, offset));
    for (u32 i = 0; i < kLanes; ++i) {
      ASSERT_EQ(test.wave.vgpr[0][i], exec >> i & 1 ? pulled[i] : before[i]);
      ASSERT_TRUE(!(exec >> i & 1) || test.wave.vgpr[3][i] == pushed[i]);
    }
  }
}

TEST(Lds, Swizzles) {
  struct Case {
    const char* pattern;
    u32 (*from)(u32 lane);
  };
  const Case cases[] = {
      {"swizzle(QUAD_PERM,3,0,2,2)",
       [](u32 i) {
         return (i & ~3u) + std::array<u32, 4>{3, 0, 2, 2}[i % 4];
       }},
      {"swizzle(SWAP,16)", [](u32 i) { return (i + 16) % 32; }},
      {"swizzle(SWAP,1)", [](u32 i) { return i % 2 ? i - 1 : i + 1; }},
      {"swizzle(REVERSE,8)", [](u32 i) { return i / 8 * 8 + 7 - i % 8; }},
      {"swizzle(BROADCAST,8,3)", [](u32 i) { return i / 8 * 8 + 3; }},
      {"swizzle(BITMASK_PERM,\"01pip\")",
       [](u32 i) { return 8 + (i & 4) + (i & 2 ? 0u : 2u) + (i & 1); }},
      {"0x041f", [](u32 i) { return i ^ 1; }},
  };
  for (const Case& each : cases)
    for (const u32 exec : {~0u, 0x00ff1234u}) {
      TestWave test;
      for (u32 lane = 0; lane < kLanes; ++lane)
        test.wave.vgpr[1][lane] = 100 + lane, test.wave.vgpr[0][lane] = 7;
      test.wave.sgpr[kExecLo] = exec;
      test.run(fmt::format("ds_swizzle_b32 v0, v1 offset:{}", each.pattern));
      for (u32 lane = 0; lane < kLanes; ++lane) {
        const u32 from = each.from(lane);
        ASSERT_EQ(test.wave.vgpr[0][lane],
                  exec >> lane & 1 ? (exec >> from & 1 ? 100 + from : 0) : 7)
            << each.pattern;
      }
    }
  TestWave test;
  EXPECT_TRUE(has(fault_of(test, "ds_swizzle_b32 v0, v1 offset:0xe00f"), "FFT"));
}

TEST(Lds, OutOfRangeIsAFault) {
  TestWave test(128);
  for (u32 lane = 0; lane < kLanes; ++lane) test.wave.vgpr[0][lane] = lane * 4;
  EXPECT_EQ(fault_of(test, "ds_store_b32 v0, v1"), "");
  EXPECT_TRUE(has(fault_of(test, "ds_load_b32 v1, v0 offset:4"),
                  "a load of 4 bytes at byte 128 of LDS by lane 31: the workgroup has 128 bytes"));
  EXPECT_TRUE(has(fault_of(test, "ds_store_b64 v0, v[2:3]"),
                  "a store of 8 bytes at byte 124 of LDS by lane 31"));
  EXPECT_TRUE(has(fault_of(test, "ds_add_u32 v0, v1 offset:2"), "not aligned"));
}

TEST(Lds, CountsBankConflicts) {
  const auto conflicts = [](u32 bytes, u32 mask, auto place) {
    Places places;
    for (u32 lane = 0; lane < kLanes; ++lane) places[lane] = place(lane);
    return bank_conflicts(places, mask, bytes);
  };
  EXPECT_EQ(conflicts(4, ~0u, [](u32 i) { return i * 4; }), 0u);
  EXPECT_EQ(conflicts(4, ~0u, [](u32) { return 64u; }), 0u);         // one word for all
  EXPECT_EQ(conflicts(4, ~0u, [](u32 i) { return i * 8; }), 0u);     // 64 banks
  EXPECT_EQ(conflicts(4, ~0u, [](u32 i) { return i * 16; }), 1u);    // two lanes a bank
  EXPECT_EQ(conflicts(4, ~0u, [](u32 i) { return i * 256; }), 31u);  // one bank
  EXPECT_EQ(conflicts(4, 0xffu, [](u32 i) { return i * 256; }), 7u);
  EXPECT_EQ(conflicts(1, ~0u, [](u32 i) { return i; }), 0u);  // four lanes a word
  EXPECT_EQ(conflicts(8, ~0u, [](u32 i) { return i * 8; }), 0u);
  EXPECT_EQ(conflicts(16, ~0u, [](u32 i) { return i * 16; }), 0u);
  EXPECT_EQ(conflicts(16, ~0u, [](u32 i) { return i * 64; }),
            4u);  // 8 lanes, two in the same banks, four times
  EXPECT_EQ(conflicts(16, ~0u, [](u32 i) { return i * 256; }), 28u);
  EXPECT_EQ(conflicts(16, ~0u, [](u32 i) { return i * 272; }), 0u);  // a row and 16 bytes
}

/// Waves that access word 2 in the order given: r, w or a (atomic) and the wave's number; | is a
/// barrier.
std::string race_in(std::string_view accesses) {
  TestWave test(64);
  LdsCheck check(test.memory.checks);
  test.group.lds_check = &check;
  check.begin_group(64);
  test.wave.sgpr[kExecLo] = 4;
  test.wave.vgpr[0][2] = 8;
  std::string fault = fault_of(test, "ds_store_b32 v0, v1");
  ++test.group.barriers_passed;
  for (std::size_t i = 0; i < accesses.size() && fault.empty(); ++i) {
    if (accesses[i] == '|') {
      ++test.group.barriers_passed;
      continue;
    }
    const char what = accesses[i++];
    test.wave.id = accesses[i] - '0';
    fault = fault_of(test, what == 'r'   ? "ds_load_b32 v1, v0"
                           : what == 'w' ? "ds_store_b32 v0, v1"
                                         : "ds_add_u32 v0, v1");
  }
  return fault;
}

TEST(Lds, FindsRaces) {
  for (const char* fine : {"r1r2r3", "w1r1w1", "w1|r2|w3", "a1a2a1|r1r2", "r1r2|w1", "w1r1|r2",
                           "a1a1r1w1", "r1w1r1w1|a2a3"})
    EXPECT_EQ(race_in(fine), "") << fine;
  for (const char* wrong : {"r1w2", "w1r2", "w1w2", "a1r2", "r1a2", "a1w2", "w1a2", "a1a2r2",
                            "a1a2w1", "r1r2w1", "r1r2w2", "w1a1a2"})
    EXPECT_TRUE(has(race_in(wrong), "a race in LDS")) << wrong;
  EXPECT_TRUE(has(race_in("w1r2"), "wave 2 reads byte 8, which wave 1 has written"));
}

TEST(Lds, WavesMayShareAWord) {
  TestWave test(64);
  LdsCheck check(test.memory.checks);
  test.group.lds_check = &check;
  check.begin_group(64);
  test.wave.sgpr[kExecLo] = 1;
  EXPECT_EQ(fault_of(test, "ds_store_b16 v0, v1"), "");
  test.wave.id = 1;
  EXPECT_EQ(fault_of(test, "ds_store_b16 v0, v1 offset:2"), "");
  EXPECT_TRUE(has(fault_of(test, "ds_load_u16 v1, v0 offset:4"),
                  "byte 4 of LDS, which nobody has written"));
  ++test.group.barriers_passed;
  EXPECT_EQ(fault_of(test, "ds_load_b32 v1, v0"), "");
  test.wave.id = 2;
  EXPECT_TRUE(has(fault_of(test, "ds_store_b8 v0, v1 offset:3"),
                  "a race in LDS: wave 2 writes byte 0, which wave 1 has read"));
}

TEST(Lds, ForgetsOldWorkgroups) {
  TestWave test(64);
  LdsCheck check(test.memory.checks);
  test.group.lds_check = &check;
  // More than epochs fit in a key.
  for (int i = 0; i < 40; ++i) {
    check.begin_group(64);
    test.group.barriers_passed = 0;
    test.wave.id = i % 2;
    EXPECT_TRUE(has(fault_of(test, "ds_load_b32 v1, v0"), "which nobody has written")) << i;
    EXPECT_EQ(fault_of(test, "ds_store_b32 v0, v1"), "") << i;
    test.group.barriers_passed = 100000;
    test.wave.id = 2;
    EXPECT_EQ(fault_of(test, "ds_load_b32 v1, v0"), "") << i;
    test.wave.id = 3;
    EXPECT_TRUE(has(fault_of(test, "ds_store_b32 v0, v1"), "a race")) << i;
  }
}

}  // namespace
}  // namespace isotope::sim
