// A sweep on a GPU takes right candidates and throws out wrong ones, whatever they get wrong.
#include "ops/tuning/sweep.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "ops/attention/attention_tuning.h"
#include "ops/gpu/kernel_library.h"
#include "ops/linear/linear_testing.h"
#include "ops/linear/linear_tuning.h"
#include "ops/testing/gpu_machine.h"
#include "ops/testing/planted_fault.h"

namespace isotope::ops {
namespace {

using namespace testing;

constexpr std::size_t kWorkspace = std::size_t(32) << 20;

LinearWeight weight_of(Context& context, const Format& format, std::int64_t n, std::int64_t k,
                       RowOrder order) {
  const std::int64_t parts = order == RowOrder::interleaved_halves ? 2 : 1;
  std::vector<Matrix> matrices;
  for (std::int64_t i = 0; i < parts; ++i)
    matrices.emplace_back(format, n / parts, k, std::uint64_t(7 + i));
  std::vector<LinearPart> linear;
  for (const Matrix& matrix : matrices) linear.push_back(matrix.part());
  return pack_linear(context, linear, false, {.row_order = order});
}

struct Linears {
  LinearWeight weight;
  LinearUse use;
};

Linears linears(Context& context, const Format& format, gpu::Epilogue epilogue,
                std::int64_t n = 272, std::int64_t k = 1216) {
  const bool swiglu = epilogue == gpu::Epilogue::swiglu;
  Linears made{
      weight_of(context, format, n, k, swiglu ? RowOrder::interleaved_halves : RowOrder::stacked),
      {.name = "a layer"}};
  made.use.epilogue = epilogue;
  made.use.norm = epilogue != gpu::Epilogue::add;
  made.use.y_dtype = epilogue == gpu::Epilogue::add ? DType::f32 : DType::bf16;
  return made;
}

const Format kFp8{DType::f8_e4m3, ScaleLayout::block_128x128, DType::bf16}, kBf16{DType::bf16};

/// A case with fewer candidates: compiling all takes a minute on an emulated card.
class FewOf final : public TuningCase {
 public:
  explicit FewOf(TuningCase& all) : all_(all) {}
  std::string name() const override { return all_.name(); }
  TuningSpace space() const override {
    TuningSpace space = all_.space();
    std::erase_if(space.candidates, [](const TuningValues& values) {
      return std::any_of(values.begin(), values.end(), [](const auto& value) {
        const auto& [key, number] = value;
        return (key == "depth" && number != 2 && number != 3) || (key == "blocks" && number != 2) ||
               (key == "groups" && number > 2);
      });
    });
    return space;
  }
  double bytes() const override { return all_.bytes(); }
  double flops() const override { return all_.flops(); }
  void prepare() override { all_.prepare(); }
  void release() override { all_.release(); }
  void call() override { all_.call(); }
  std::int64_t call_often() override { return all_.call_often(); }
  std::vector<std::byte> output() override { return all_.output(); }
  double error(const std::vector<std::byte>& output) const override { return all_.error(output); }
  double difference(const std::vector<std::byte>& a,
                    const std::vector<std::byte>& b) const override {
    return all_.difference(a, b);
  }

 private:
  TuningCase& all_;
};

TEST(SweepGpu, CandidatesOfALinearLayerAreRight) {
  ISOTOPE_REQUIRE_GPU();
  GpuMachine machine(kWorkspace);
  for (const auto& [format, epilogue, rows] :
       {std::tuple(kFp8, gpu::Epilogue::swiglu, TuningRows{{13, 32}, {130}}),
        std::tuple(kBf16, gpu::Epilogue::add, TuningRows{{13}, {}})}) {
    Linears made = linears(machine.context(), format, epilogue);
    made.use.weights = {&made.weight};
    const TuningCases cases = linear_tuning_cases(machine.context(), made.use, rows);
    ASSERT_EQ(cases.size(), rows.decode.size() + rows.prefill.size());
    for (const auto& tried : cases) {
      FewOf few(*tried);
      const SweepResult result = Sweep(machine.context(), 2).run(few);
      EXPECT_GE(result.trials.size(), 2u);
      for (const TrialResult& trial : result.trials) {
        EXPECT_EQ(trial.rejected, "") << format.name() << " " << result.name;
        EXPECT_GT(trial.seconds, 0) << result.name;
      }
    }
  }
}

/// The trials of 8 rows in decode phase whose depth is or is not 3.
std::vector<TrialResult> trials_by_depth(bool three) {
  GpuMachine machine(kWorkspace);
  Linears made = linears(machine.context(), kFp8, gpu::Epilogue::store);
  made.use.weights = {&made.weight};
  const TuningCases cases = linear_tuning_cases(machine.context(), made.use, {{8}, {}});
  FewOf few(*cases.at(0));
  std::vector<TrialResult> trials = Sweep(machine.context(), 2).run(few).trials;
  std::erase_if(trials, [three](const TrialResult& trial) {
    return (trial.values.at(0) == std::pair<std::string, std::int64_t>("depth", 3)) != three;
  });
  return trials;
}

TEST(SweepGpu, AWrongCandidateIsRejectedByItsResult) {
  ISOTOPE_REQUIRE_GPU();
  // One warp of the variant with three tiles in flight leaves out its part of k.
  const PlantedFault fault("ops/linear/linear_decode.cu",
                           "walk.count = max(0, min(walk.per_part, p.k_tiles - walk.first));",
                           "walk.count = kDepth == 3 && warp_index() == 1 ? 0 : max(0, "
                           "min(walk.per_part, p.k_tiles - walk.first));");
  for (const TrialResult& trial : trials_by_depth(true)) {
    EXPECT_EQ(trial.rejected.substr(0, 22), "wrong result: off by i") << trial.rejected;
    EXPECT_EQ(trial.seconds, 0);
  }
  for (const TrialResult& trial : trials_by_depth(false)) EXPECT_EQ(trial.rejected, "");
}

TEST(SweepGpu, NothingIsTimedWhenTheTablesChoiceIsWrong) {
  ISOTOPE_REQUIRE_GPU();
  const PlantedFault fault(
      "ops/linear/linear_decode.cu",
      "walk.count = max(0, min(walk.per_part, p.k_tiles - walk.first));",
      "walk.count = warp_index() == 1 ? 0 : max(0, min(walk.per_part, p.k_tiles - walk.first));");
  GpuMachine machine(kWorkspace);
  Linears made = linears(machine.context(), kFp8, gpu::Epilogue::store);
  made.use.weights = {&made.weight};
  const TuningCases cases = linear_tuning_cases(machine.context(), made.use, {{8}, {}});
  FewOf few(*cases.at(0));
  const SweepResult result = Sweep(machine.context(), 2).run(few);
  EXPECT_NE(result.trials.front().rejected, "");
  for (const TrialResult& trial : result.trials) EXPECT_EQ(trial.seconds, 0);
}

TEST(SweepGpu, AllCandidatesOfAttentionAreRight) {
  ISOTOPE_REQUIRE_GPU();
  GpuMachine machine(kWorkspace);
  for (const DType kv : {DType::bf16, DType::f8_e4m3}) {
    const TuningCases cases =
        attention_tuning_cases(machine.context(), {6, 2, 64, kv, 333}, {{1, 5}, {}});
    ASSERT_EQ(cases.size(), 2u);
    for (const auto& tried : cases)
      for (const TrialResult& trial : Sweep(machine.context(), 2).run(*tried).trials)
        EXPECT_EQ(trial.rejected, "") << name_of(kv) << " " << tried->name();
  }
}

TEST(SweepGpu, WrongAttentionWouldBeNoticed) {
  ISOTOPE_REQUIRE_GPU();
  GpuMachine machine(kWorkspace);
  const TuningCases cases =
      attention_tuning_cases(machine.context(), {6, 2, 64, DType::bf16, 333}, {{2}, {}});
  TuningCase& tried = *cases.at(0);
  tried.prepare();
  std::vector<std::byte> output = tried.output();
  EXPECT_LE(tried.error(output), 1);
  // The second head's first element, in the first row.
  auto* elements = reinterpret_cast<bfloat16*>(output.data());
  elements[0] = to_bfloat16(to_float(elements[0]) + 0.05f);
  EXPECT_GT(tried.error(output), 1);
  EXPECT_GT(tried.difference(tried.output(), output), 1);
  tried.release();
}

}  // namespace
}  // namespace isotope::ops
