#include "engine/required_kernels.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace isotope::engine {
namespace {

std::vector<jit::Unit> units_of(const char* model, const char* arch,
                                const EngineOptions& options = {}) {
  return required_kernels(weights::read_model_config(std::string(ISOTOPE_TEST_DATA "/configs/") +
                                                     model + ".config.json"),
                          arch, options);
}

std::set<std::string> names(const std::vector<jit::Unit>& units) {
  std::set<std::string> names;
  for (const jit::Unit& unit : units) names.insert(unit.name);
  return names;
}

TEST(RequiredKernels, AreFewAndEachOnceForTheModelsServed) {
  for (const char* model : {"Qwen3-8B-FP8", "Qwen3-0.6B-FP8", "Ministral-3-8B-Instruct-2512",
                            "Ministral-3-3B-Reasoning-2512", "Llama-3.2-3B"})
    for (const char* arch : {"gfx1201", "sm_80", "sm_90a"}) {
      const std::vector<jit::Unit> units = units_of(model, arch);
      EXPECT_EQ(names(units).size(), units.size()) << model << " on " << arch;
      EXPECT_GE(units.size(), 8u) << model << " on " << arch;
      EXPECT_LE(units.size(), 60u) << model << " on " << arch;
      for (const jit::Unit& unit : units)
        EXPECT_TRUE(ops::gpu::kernel_sources().contains(unit.file)) << unit.file;
    }
}

TEST(RequiredKernels, FollowTheOptionsThatChooseKernels) {
  const auto plain = names(units_of("Qwen3-8B-FP8", "sm_90a"));
  EngineOptions options;
  options.kv_dtype = KvDtype::fp8;
  EXPECT_NE(names(units_of("Qwen3-8B-FP8", "sm_90a", options)), plain);
  options = {};
  options.head_dtype = HeadDtype::fp8;
  EXPECT_NE(names(units_of("Qwen3-8B-FP8", "sm_90a", options)), plain);
  options = {};
  options.max_num_seqs = 1;
  const auto few = names(units_of("Qwen3-8B-FP8", "sm_90a", options));
  for (const std::string& name : few) EXPECT_TRUE(plain.contains(name)) << name;
}

TEST(RequiredKernels, RefusesAnUnknownArch) {
  EXPECT_THROW(units_of("Qwen3-8B-FP8", "gfx906"), Error);
}

}  // namespace
}  // namespace isotope::engine
