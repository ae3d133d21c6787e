// Whole models on a GPU against transformers in FP32 on dequantized weights, within the bounds that
// hold for the CPU, and bit for bit the same whoever else is in a step.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "models/test_driver.h"
#include "models/test_reference.h"
#include "ops/testing/gpu_machine.h"

namespace isotope::models {
namespace {

using ops::testing::GpuMachine;

TestSetup gpu_setup(DType kv) {
  TestSetup setup;
  setup.kv = kv;
  setup.gpu = &GpuMachine::device();
  setup.kernels = GpuMachine::library();
  return setup;
}

class ParityGpu : public ::testing::TestWithParam<std::string> {};

TEST_P(ParityGpu, WithEitherCache) {
  ISOTOPE_REQUIRE_GPU();
  print_parity_heading();
  const Fixture fixture(GetParam());
  for (const DType kv : {DType::bf16, DType::f8_e4m3}) expect_parity(fixture, gpu_setup(kv));
}

std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, ParityGpu, ::testing::ValuesIn(fixture_names()), test_name);

/// Two sequences: one decodes, padded with idle rows, while the other's prompt is read in chunks.
TEST(ScheduleGpu, CompanyChunksAndPlacesOfBlocksChangeNoBit) {
  ISOTOPE_REQUIRE_GPU();
  const Fixture fixture("qwen3-fp8-block");
  TestSetup setup = gpu_setup(DType::f8_e4m3);
  const ReferencePrompt &first = fixture.prompts[1], &second = fixture.prompts[2];
  TestDriver plain(fixture.config, *fixture.source, setup);
  const auto alone_first = run_alone(plain, first), alone_second = run_alone(plain, second);
  setup.shuffled_blocks = true;
  TestDriver driver(fixture.config, *fixture.source, setup);
  TestSequence a = driver.begin(first.tokens(), std::int64_t(first.ids.size()));
  TestSequence b = driver.begin(second.tokens(), std::int64_t(second.ids.size()));
  driver.step({{&a, a.num_prompt}});
  while (b.done < b.num_prompt)
    driver.step({{&a, 1}, {&b, std::min<std::int64_t>(11, b.num_prompt - b.done)}}, 3);
  while (a.done < std::int64_t(a.tokens.size())) driver.step({{&a, 1}, {&b, 1}}, 1);
  const auto same = [](const std::vector<float>& x, const std::vector<float>& y) {
    return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
  };
  for (std::size_t i = 0; i < std::size_t(a.done); ++i)
    EXPECT_TRUE(same(alone_first[i], a.logits[i])) << "position " << i << " of the first";
  for (std::size_t i = 0; i < std::size_t(b.done); ++i)
    EXPECT_TRUE(same(alone_second[i], b.logits[i])) << "position " << i << " of the second";
}

}  // namespace
}  // namespace isotope::models
