#include "sim/decode.h"

#include <gtest/gtest.h>

#include "sim/testing.h"

namespace isotope::sim {
namespace {

TEST(Decode, EndsAWave) {
  TestWave test;
  test.run("s_nop 0");
  EXPECT_EQ(test.wave.state, Wave::done);
}

TEST(Decode, NamesWhatItDoesNotKnow) {
  TestWave test;
  try {
    test.run("s_sethalt 1");
    FAIL() << "no fault";
  } catch (const Fault& fault) {
    EXPECT_NE(std::string(fault.what()).find("s_sethalt"), std::string::npos) << fault.what();
  }
}

}  // namespace
}  // namespace isotope::sim
