#include "sim/memory.h"

#include <gtest/gtest.h>

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

TEST(Memory, NamesTheNearestAllocation) {
  TestWave test;
  std::vector<u32> data(64);
  test.memory.add(data.data(), 128, "a tensor");
  for (u32 lane = 0; lane < kLanes; ++lane) test.wave.vgpr[1][lane] = lane * 4;
  test.wave.sgpr[2] = u32(u64(data.data()));
  test.wave.sgpr[3] = u32(u64(data.data()) >> 32);
  EXPECT_EQ(fault_of(test, "global_store_b32 v1, v0, s[2:3]"), "");
  expect_in("0 bytes past the end of a tensor of 128 bytes",
            fault_of(test, "global_store_b32 v1, v0, s[2:3] offset:4"));
  expect_in("4 bytes before a tensor", fault_of(test, "global_load_b32 v0, v1, s[2:3] offset:-4"));
  expect_in("byte 126 of a tensor", fault_of(test, "global_load_b32 v0, v1, s[2:3] offset:2"));
  test.memory.remove(data.data());
  expect_in("byte 0 of a tensor of 128 bytes", fault_of(test, "global_load_b32 v0, v1, s[2:3]"));
  expect_in("which has been freed", fault_of(test, "global_load_b32 v0, v1, s[2:3]"));
}

}  // namespace
}  // namespace isotope::sim
