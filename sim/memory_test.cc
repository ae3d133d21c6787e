#include "sim/memory.h"

#include <gtest/gtest.h>

#include <random>

#include "sim/testing.h"

namespace isotope::sim {
namespace {

std::string fault_of(TestWave& test, std::string_view assembler) {
  try {
    test.run(assembler);
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.kind(), Fault::address);
    return fault.what();
  }
  return "";
}
void expect_in(std::string_view part, const std::string& text) {
  EXPECT_NE(text.find(part), text.npos) << text;
}

class MemoryTest : public ::testing::Test {
 protected:
  /// Lane i accesses base + i · stride.
  void aim(u32 stride) {
    for (u32 lane = 0; lane < kLanes; ++lane) test_.wave.vgpr[1][lane] = lane * stride;
    test_.wave.sgpr[2] = u32(u64(data_.data()));
    test_.wave.sgpr[3] = u32(u64(data_.data()) >> 32);
  }
  TestWave test_;
  alignas(128) std::array<u32, 2048> data_{};
};

TEST_F(MemoryTest, NamesTheNearestAllocation) {
  test_.memory.add(data_.data(), 128, "a tensor");
  aim(4);
  EXPECT_EQ(fault_of(test_, "global_store_b32 v1, v0, s[2:3]"), "");
  expect_in("0 bytes past the end of a tensor of 128 bytes",
            fault_of(test_, "global_store_b32 v1, v0, s[2:3] offset:4"));
  expect_in("4 bytes before a tensor", fault_of(test_, "global_load_b32 v0, v1, s[2:3] offset:-4"));
  expect_in("byte 126 of a tensor", fault_of(test_, "global_load_b32 v0, v1, s[2:3] offset:2"));
  test_.memory.add(data_.data() + 64, 128, "another", false);
  expect_in("28 bytes before another",
            fault_of(test_, "global_load_b32 v0, v1, s[2:3] offset:228"));
  EXPECT_EQ(fault_of(test_, "global_load_b32 v0, v1, s[2:3] offset:256"), "");
  expect_in("another of 128 bytes", fault_of(test_, "global_store_b32 v1, v0, s[2:3] offset:256"));
  expect_in("which is read-only", fault_of(test_, "global_store_b32 v1, v0, s[2:3] offset:256"));
  test_.memory.remove(data_.data());
  expect_in("byte 0 of a tensor of 128 bytes", fault_of(test_, "global_load_b32 v0, v1, s[2:3]"));
  expect_in("which has been freed", fault_of(test_, "global_load_b32 v0, v1, s[2:3]"));
}

TEST_F(MemoryTest, LanesMayAccessDifferentAllocations) {
  test_.memory.add(data_.data(), 64, "low", true, false);
  test_.memory.add(data_.data() + 1024, 64, "high", true, false);
  aim(4);
  for (u32 lane = 16; lane < kLanes; ++lane) test_.wave.vgpr[1][lane] = 4096 + (lane - 16) * 4;
  EXPECT_EQ(fault_of(test_, "global_store_b32 v1, v1, s[2:3]\nglobal_load_b32 v0, v1, s[2:3]"), "");
  EXPECT_EQ(test_.wave.vgpr[0], test_.wave.vgpr[1]);
  EXPECT_EQ(test_.counters.uninitialised_memory.count, 0u);
}

TEST_F(MemoryTest, KnowsWhatIsInitialised) {
  test_.memory.add(data_.data(), sizeof(data_), "data", true, false);
  aim(16);
  const auto unknown = [&](std::string_view line) {
    test_.counters.uninitialised_memory = {};
    test_.run(line);
    return test_.counters.uninitialised_memory.count;
  };
  EXPECT_EQ(unknown("global_load_b32 v0, v1, s[2:3]"), 32u);
  EXPECT_EQ(unknown("global_store_b96 v1, v[4:6], s[2:3]"), 0u);
  EXPECT_EQ(unknown("global_load_b96 v[4:6], v1, s[2:3]"), 0u);
  EXPECT_EQ(unknown("global_load_b128 v[4:7], v1, s[2:3]"), 32u);
  EXPECT_EQ(unknown("global_load_b32 v4, v1, s[2:3] offset:9"), 32u);
  EXPECT_EQ(unknown("global_load_u8 v4, v1, s[2:3] offset:11"), 0u);
  test_.memory.mark_initialised(data_.data(), 100);
  EXPECT_EQ(unknown("global_load_b128 v[4:7], v1, s[2:3]"), 26u);
  EXPECT_EQ(unknown("global_atomic_add_u32 v1, v4, s[2:3] offset:12"), 26u);
  EXPECT_EQ(unknown("global_load_b128 v[4:7], v1, s[2:3]"), 0u);
  // Copies take along what is known.
  test_.memory.copy_shadow(data_.data() + 512, data_.data(), 600);
  EXPECT_EQ(unknown("global_load_b32 v4, v1, s[2:3] offset:2048"), 0u);
  test_.memory.copy_shadow(data_.data(), data_.data() + 1024, 64);
  EXPECT_EQ(unknown("global_load_b128 v[4:7], v1, s[2:3]"), 4u);
  test_.memory.checks.uninitialised_memory = OnFinding::ignore;
  EXPECT_EQ(unknown("global_load_b128 v[4:7], v1, s[2:3]"), 0u);
}

TEST_F(MemoryTest, HasNoCachesThatCouldBeStale) {
  data_.fill(7);
  test_.memory.add(data_.data(), sizeof(data_), "a tensor");
  const auto registers = test_.wave.vgpr;
  test_.run("global_wb scope:SCOPE_SYS\nglobal_inv scope:SCOPE_DEV\nglobal_wbinv scope:SCOPE_SYS");
  EXPECT_EQ(test_.wave.vgpr, registers);
  for (const u32 word : data_) EXPECT_EQ(word, 7u);
}

TEST(Shadow, AgreesWithASimpleOne) {
  std::mt19937 random(11);
  constexpr std::size_t kBytes = 1000;
  Shadow shadow(kBytes), other(kBytes);
  std::vector<bool> simple(kBytes), simple_other(kBytes);
  for (int round = 0; round < 20000; ++round) {
    const std::size_t bytes = round % 2 ? 1 + random() % 16 : random() % 400;
    const std::size_t at = random() % (kBytes - bytes), from = random() % (kBytes - bytes);
    const bool all = std::find(simple.begin() + long(at), simple.begin() + long(at + bytes),
                               false) == simple.begin() + long(at + bytes);
    EXPECT_EQ(shadow.test_range(at, bytes), all);
    EXPECT_TRUE(bytes > 16 || shadow.test(at, u32(bytes)) == all);
    switch (random() % 4) {
      case 0:
        if (round % 2)
          shadow.set(at, u32(bytes));
        else
          shadow.set_range(at, bytes);
        std::fill_n(simple.begin() + long(at), bytes, true);
        break;
      case 1:
        other.set_range(from, bytes / 4);
        std::fill_n(simple_other.begin() + long(from), bytes / 4, true);
        break;
      case 2: {
        shadow.copy_range(at, other, from, bytes);
        std::copy_n(simple_other.begin() + long(from), bytes, simple.begin() + long(at));
        if (round % 97 == 0) other = Shadow(kBytes), simple_other.assign(kBytes, false);
        break;
      }
      default: {
        shadow.copy_range(at, shadow, from, bytes);
        const std::vector<bool> copy = simple;
        std::copy_n(copy.begin() + long(from), bytes, simple.begin() + long(at));
      }
    }
    ASSERT_EQ(shadow.missing(), std::size_t(std::count(simple.begin(), simple.end(), false)));
  }
}

TEST_F(MemoryTest, CountsLinesAndWidths) {
  test_.memory.add(data_.data(), sizeof(data_), "data");
  const auto lines = [&](u32 stride, std::string_view line) {
    aim(stride);
    test_.counters = {};
    test_.run(line);
    return test_.counters.loaded_lines + test_.counters.stored_lines;
  };
  const Counters& counters = test_.counters;
  EXPECT_EQ(lines(16, "global_load_b128 v[4:7], v1, s[2:3]"), 4u);
  EXPECT_EQ(counters.loaded_bytes, 512u);
  EXPECT_EQ(counters.load_widths[width_index(16)].coalesced, 1u);
  EXPECT_EQ(lines(16, "global_load_b128 v[4:7], v1, s[2:3] offset:16"), 5u);
  EXPECT_EQ(counters.load_widths[width_index(16)].all, 1u);
  EXPECT_EQ(counters.load_widths[width_index(16)].coalesced, 0u);
  EXPECT_EQ(lines(128, "global_load_b32 v4, v1, s[2:3]"), 32u);
  EXPECT_EQ(lines(64, "global_load_b32 v4, v1, s[2:3] offset:126"), 17u);
  EXPECT_EQ(lines(0, "global_load_b32 v4, v1, s[2:3]"), 1u);
  EXPECT_EQ(lines(8, "global_load_b64 v[4:5], v1, s[2:3]"), 2u);
  EXPECT_EQ(counters.load_widths[width_index(8)].coalesced, 1u);
  EXPECT_EQ(lines(2, "global_store_b16 v1, v4, s[2:3]"), 1u);
  EXPECT_EQ(counters.stored_bytes, 64u);
  EXPECT_EQ(counters.store_widths[width_index(2)].coalesced, 1u);
  EXPECT_EQ(lines(4, "global_atomic_add_u32 v1, v4, s[2:3]"), 2u);
  EXPECT_EQ(counters.loaded_bytes + counters.stored_bytes, 256u);
}

TEST_F(MemoryTest, KnowsWhatIsInFlightBetweenALoadAndItsWait) {
  test_.memory.add(data_.data(), sizeof(data_), "data");
  aim(16);
  const auto most = [&](std::string_view lines) {
    test_.counters = {};
    test_.wave.loads = {};
    test_.run(lines);
    return test_.counters.most_in_flight;
  };
  const std::string wide = "global_load_b128 v[4:7], v1, s[2:3]\n",
                    narrow = "global_load_b32 v4, v1, s[2:3]\n";
  EXPECT_EQ(most(wide), 512u);
  EXPECT_EQ(most(wide + narrow + wide), 512u + 128u + 512u);
  EXPECT_EQ(most(wide + "s_wait_loadcnt 0x0\n" + wide), 512u);
  EXPECT_EQ(most(wide + narrow + "s_wait_loadcnt 0x1\n" + wide), 128u + 512u);
  EXPECT_EQ(most(wide + narrow + "s_wait_loadcnt_dscnt 0x103\n" + narrow), 512u + 128u);
  EXPECT_EQ(most(wide + "s_wait_dscnt 0x0\n" + wide), 1024u);
  EXPECT_EQ(most("global_store_b128 v1, v[4:7], s[2:3]\n" + narrow), 128u);
  std::string many;
  for (int i = 0; i < 70; ++i) many += narrow;
  EXPECT_EQ(most(many), 63u * 128u);
}

// Lines are fetched once a launch, whoever loads from them.
TEST_F(MemoryTest, CountsLinesOfALaunchOnce) {
  test_.memory.add(data_.data(), sizeof(data_), "data");
  const auto fresh = [&](u32 stride, std::string_view line) {
    aim(stride);
    test_.counters = {};
    test_.run(line);
    return test_.counters.distinct_lines;
  };
  test_.memory.launch = 1;
  EXPECT_EQ(fresh(16, "global_load_b128 v[4:7], v1, s[2:3]"), 4u);
  EXPECT_EQ(fresh(4, "global_load_b32 v4, v1, s[2:3]"), 0u);
  EXPECT_EQ(fresh(16, "global_load_b128 v[4:7], v1, s[2:3] offset:128"), 1u);
  EXPECT_EQ(fresh(128, "global_load_b32 v4, v1, s[2:3]"), 27u);
  test_.memory.launch = 2;
  EXPECT_EQ(fresh(4, "global_load_b32 v4, v1, s[2:3]"), 1u);
  EXPECT_EQ(fresh(4, "global_store_b32 v1, v4, s[2:3] offset:256"), 0u);
  EXPECT_EQ(fresh(4, "global_load_b32 v4, v1, s[2:3] offset:256"), 0u);
}

}  // namespace
}  // namespace isotope::sim
