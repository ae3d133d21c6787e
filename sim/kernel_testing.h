// For tests: what those of compiled kernels and of faults have in common.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

#include "sim/testing.h"

namespace isotope::sim {

/// Tests of compiled kernels; skipped where nothing compiles them.
class KernelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!have_hip_compiler()) GTEST_SKIP() << "there is no clang for gfx1201";
  }
};

/// A grid, or a workgroup, of one dimension.
constexpr std::array<u32, 3> line(u32 n) { return {n, 1, 1}; }

/// The words of the fault that ends a function; "" if it ends well.
template <typename Function>
std::string fault_of(const Function& run) {
  try {
    run();
  } catch (const Fault& fault) {
    return fault.what();
  }
  return "";
}
inline std::string fault_of(TestWave& test, std::string_view assembler) {
  return fault_of([&] { test.run(assembler); });
}

}  // namespace isotope::sim
