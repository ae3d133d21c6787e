// Kernels with mistakes that hardware does not tell of, each with the same kernel mended.
#include <gtest/gtest.h>

#include "sim/kernel_testing.h"
#include "sim/report.h"

namespace isotope::sim {
namespace {

constexpr const char* kText = R"(
#define KERNEL extern "C" __global__ __launch_bounds__(128) void

KERNEL store_one_more(u32* out, u32 n) {
  const u32 i = blockIdx.x * 128 + threadIdx.x;
  if (i <= n) out[i] = i;
}
KERNEL store_all(u32* out, u32 n) {
  const u32 i = blockIdx.x * 128 + threadIdx.x;
  if (i < n) out[i] = i;
}

KERNEL reverse_without_barrier(u32* out, const u32* in) {
  __shared__ u32 tile[128];
  tile[threadIdx.x] = in[threadIdx.x];
  __builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "wavefront");
  out[threadIdx.x] = tile[127 - threadIdx.x];
}
KERNEL reverse(u32* out, const u32* in) {
  __shared__ u32 tile[128];
  tile[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = tile[127 - threadIdx.x];
}

// The tile of step i + 1 is written while other waves may still read that of step i.
template <bool kSecondBarrier>
__device__ void sum_of_tiles(u32* out, const u32* in, u32 steps) {
  __shared__ u32 tile[128];
  u32 sum = 0;
  for (u32 i = 0; i < steps; ++i) {
    tile[threadIdx.x] = in[i * 128 + threadIdx.x];
    __syncthreads();
    sum += tile[127 - threadIdx.x];
    if (kSecondBarrier) __syncthreads();
  }
  out[threadIdx.x] = sum;
}
KERNEL stale_tile(u32* out, const u32* in, u32 steps) { sum_of_tiles<false>(out, in, steps); }
KERNEL fresh_tile(u32* out, const u32* in, u32 steps) { sum_of_tiles<true>(out, in, steps); }

// Only some write their part; all read.
template <u32 kWriters>
__device__ void share(u32* out, const u32* in) {
  __shared__ u32 tile[128];
  if (threadIdx.x < kWriters) tile[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = tile[127 - threadIdx.x];
}
KERNEL share_a_part(u32* out, const u32* in) { share<100>(out, in); }
KERNEL share_all(u32* out, const u32* in) { share<128>(out, in); }

KERNEL copy(u32* out, const u32* in) { out[threadIdx.x] = in[threadIdx.x]; }
KERNEL copy_words(u32* out, const u32* in, u32 i) { out[threadIdx.x] = in[i]; }

KERNEL barrier_for_some(u32* out, u32 limit) {
  if (threadIdx.x < limit) {
    __syncthreads();
    out[threadIdx.x] = 1;
    __syncthreads();
  }
  else out[threadIdx.x] = 2;
  __syncthreads();
}
KERNEL count(u32* out) {
  __shared__ u32 sum;
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  __hip_atomic_fetch_add(&sum, 1u, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_WORKGROUP);
  __syncthreads();
  out[threadIdx.x] = sum;
}
)";

class Faults : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (IsSkipped()) return;
    program_ = std::make_unique<TestProgram>(kText);
    program_->memory.add(out_.data(), out_.size() * 4, "out", true, false);
    program_->memory.add(in_.data(), in_.size() * 4, "in");
    for (std::size_t i = 0; i < in_.size(); ++i) in_[i] = u32(i * 3);
  }
  /// What ended the launch, or "".
  template <typename... Arguments>
  std::string run(std::string_view kernel, const Arguments&... arguments) {
    program_->counters = {};
    return fault_of([&] { program_->run(kernel, line(1), line(128), arguments...); });
  }
  static void expect_words(const std::string& text, std::initializer_list<std::string_view> words) {
    for (const std::string_view word : words)
      EXPECT_NE(text.find(word), text.npos) << word << " is not in: " << text;
  }
  void expect_silent() const {
    EXPECT_EQ(Report({"", {}, {}, "", program_->counters}).warnings(), std::vector<std::string>());
  }

  std::unique_ptr<TestProgram> program_;
  alignas(128) std::array<u32, 128> out_{};
  alignas(128) std::array<u32, 512> in_{};
};

TEST_F(Faults, StoreBehindTheEnd) {
  u32* const out = out_.data();
  program_->memory.remove(out);
  program_->memory.add(out, 400, "the output", true, false);
  expect_words(run("store_one_more", out, 100u),
               {"store_one_more", "workgroup (0, 0, 0), wave 3", "a store of 4 bytes",
                "0 bytes past the end of the output of 400 bytes", "global_store_b32"});
  EXPECT_EQ(run("store_all", out, 100u), "");
  expect_silent();
}

TEST_F(Faults, UseAfterFree) {
  const u32* const in = in_.data();
  program_->memory.remove(in);
  expect_words(run("copy", out_.data(), in),
               {"copy", "a load of 4 bytes", "byte 0 of in of 2048 bytes", "which has been freed"});
  program_->memory.add(in, 2048, "in");
  EXPECT_EQ(run("copy", out_.data(), in), "");
  EXPECT_EQ(out_[5], 15u);
}

TEST_F(Faults, MissingBarrier) {
  const u32* const in = in_.data();
  // The first wave to read finds nothing; that alone is a fault.
  program_->memory.checks.uninitialised_lds = OnFinding::ignore;
  expect_words(run("reverse_without_barrier", out_.data(), in),
               {"reverse_without_barrier", "a race in LDS", " writes byte ", "which wave ",
                "has read in", "ds_load", "ds_store", "without a barrier between"});
  EXPECT_EQ(run("reverse", out_.data(), in), "");
  EXPECT_EQ(out_[0], 127 * 3u);
  expect_silent();
}

TEST_F(Faults, StaleTile) {
  const u32* const in = in_.data();
  expect_words(run("stale_tile", out_.data(), in, 3u),
               {"stale_tile", "a race in LDS", "without a barrier between", "ds_store"});
  EXPECT_EQ(run("fresh_tile", out_.data(), in, 3u), "");
  EXPECT_EQ(out_[0], (127 + 255 + 383) * 3u);
  expect_silent();
}

TEST_F(Faults, RacesCanBeReported) {
  program_->memory.checks.lds_races = OnFinding::report;
  EXPECT_EQ(run("stale_tile", out_.data(), static_cast<const u32*>(in_.data()), 3u), "");
  EXPECT_GT(program_->counters.lds_races.count, 0u);
  expect_words(program_->counters.lds_races.first,
               {"workgroup (0, 0, 0), wave", "without a barrier"});
}

TEST_F(Faults, UninitialisedLds) {
  const u32* const in = in_.data();
  expect_words(run("share_a_part", out_.data(), in),
               {"share_a_part", "wave 0", "lane 0 reads byte 508 of LDS, which nobody has written",
                "ds_load"});
  EXPECT_EQ(run("share_all", out_.data(), in), "");
  expect_silent();
}

TEST_F(Faults, UninitialisedMemory) {
  const u32* const in = in_.data();
  program_->memory.remove(in);
  program_->memory.add(in, 2048, "in", true, false);
  program_->memory.mark_initialised(in, 100 * 4);
  EXPECT_EQ(run("copy", out_.data(), in), "");
  EXPECT_EQ(program_->counters.uninitialised_memory.count, 28u);
  expect_words(program_->counters.uninitialised_memory.first,
               {"wave 3: lane 4 reads 4 bytes", "not all initialised: byte 400 of in of 2048 bytes",
                "global_load_b32"});
  // Through the scalar cache.
  EXPECT_EQ(run("copy_words", out_.data(), in, 99u), "");
  EXPECT_EQ(program_->counters.uninitialised_memory.count, 0u);
  EXPECT_EQ(run("copy_words", out_.data(), in, 100u), "");
  EXPECT_EQ(program_->counters.uninitialised_memory.count, 4u);
  program_->memory.checks.uninitialised_memory = OnFinding::fault;
  expect_words(run("copy", out_.data(), in), {"copy", "lane 4 reads 4 bytes"});
  program_->memory.mark_initialised(in, 128 * 4);
  EXPECT_EQ(run("copy", out_.data(), in), "");
  expect_silent();
}

TEST_F(Faults, DivergentBarrier) {
  expect_words(run("barrier_for_some", out_.data(), 64u), {"barrier_for_some", "barrier"});
  EXPECT_EQ(run("barrier_for_some", out_.data(), 128u), "");
}

TEST_F(Faults, AtomicsDoNotRace) {
  EXPECT_EQ(run("count", out_.data()), "");
  EXPECT_EQ(out_[77], 128u);
  expect_silent();
}

TEST_F(Faults, ReportsAreReadable) {
  program_->memory.remove(in_.data());
  program_->memory.add(in_.data(), 2048, "in", true, false);
  struct {
    u32* out;
    const u32* in;
  } const arguments{out_.data(), in_.data()};
  const Launch launch{{1, 1, 1}, {128, 1, 1}, 0, std::as_bytes(std::span(&arguments, 1))};
  const Report report =
      run_reported(program_->code, *program_->code.find("copy"), launch, program_->memory);
  EXPECT_FALSE(report.clean());
  expect_words(report.text(),
               {"copy: grid 1 × 1 × 1, 128 × 1 × 1 threads\n",
                "warning: 128 times uninitialised memory was read, first: ",
                "loaded 512 bytes in 4 lines of 128 bytes (100 %); 4 × 4 bytes a lane, 4 coalesced",
                "0 cycles lost to bank conflicts"});
}

}  // namespace
}  // namespace isotope::sim
