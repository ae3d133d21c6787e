// What the tests of the emulated GPU share: its test kernels, compiled once for each vendor.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/gpu/emulated_code.h"
#include "tests/gpu/emulation_params.h"
#include "tests/gpu/fibers.h"

namespace isotope::emulated::testing {

using Params = gpu::EmulationParams;
using Words = std::vector<std::uint32_t>;

inline const char* const kVendors[] = {"-DISOTOPE_SM=80", "-DISOTOPE_GFX12=1"};
constexpr const char* kKernels = "tests/gpu/emulation_kernels.cu";

inline const LoadedCode& kernels(const std::string& vendor) {
  const auto load = [](const char* define) {
    const Compiled made = compile_file(kKernels, {define});
    if (!made.ok) throw std::runtime_error(made.log);
    return new LoadedCode(made.code);
  };
  static const LoadedCode* made[] = {load(kVendors[0]), load(kVendors[1])};
  return *made[vendor == kVendors[1]];
}

/// For the life of a test: the order in which lanes run.
class InOrder {
 public:
  explicit InOrder(const char* order) { setenv("ISOTOPE_EMULATED_ORDER", order, 1); }
  ~InOrder() { unsetenv("ISOTOPE_EMULATED_ORDER"); }
};

inline std::string vendor_name(const ::testing::TestParamInfo<const char*>& vendor) {
  return vendor.param == std::string(kVendors[0]) ? "sm" : "gfx12";
}

class ForVendor : public ::testing::TestWithParam<const char*> {
 protected:
  std::string run(const std::string& kernel, const LaunchShape& shape, const Params& params) {
    return emulated::run(kernels(GetParam()).find(kernel), shape, &params);
  }
  bool nvidia() const { return GetParam() == std::string(kVendors[0]); }
};

}  // namespace isotope::emulated::testing
