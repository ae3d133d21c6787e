// Launches of compiled kernels: grids, workgroups, arguments, LDS, what outlives a launch.
#include "sim/machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "sim/kernel_testing.h"

namespace isotope::sim {
namespace {

using Machine = KernelTest;

TEST_F(Machine, Saxpy) {
  TestProgram program(R"(
    extern "C" __global__ void saxpy(float a, const float* x, float* y, int n) {
      const int i = blockIdx.x * blockDim.x + threadIdx.x;
      if (i < n) y[i] = __builtin_fmaf(a, x[i], y[i]);
    })");
  constexpr int kCount = 1000;
  std::vector<float> x(kCount), y(kCount), expected(kCount);
  for (std::size_t i = 0; i < kCount; ++i) {
    x[i] = float(i) * 0.25f;
    y[i] = -float(i);
    expected[i] = 1.5f * x[i] + y[i];
  }
  program.add(x, "x", false);
  program.add(y, "y");
  program.run("saxpy", line(11), line(96), 1.5f, x.data(), y.data(), kCount);
  EXPECT_EQ(y, expected);
  EXPECT_EQ(program.counters.waves, 33u);
  EXPECT_EQ(program.counters.workgroups, 11u);
}

TEST_F(Machine, AStoreBeyondTheEndNamesKernelAndBuffer) {
  TestProgram program(R"(
    extern "C" __global__ void too_far(float* y) { y[threadIdx.x] = 1; })");
  std::vector<float> y(95);
  program.add(y, "the result");
  try {
    program.run("too_far", line(1), line(96), y.data());
    FAIL() << "no fault";
  } catch (const Fault& fault) {
    const std::string words = fault.what();
    EXPECT_NE(words.find("too_far, workgroup (0, 0, 0), wave 2"), std::string::npos) << words;
    EXPECT_NE(words.find("the result"), std::string::npos) << words;
  }
}

TEST_F(Machine, ReducesBlocksInLds) {
  TestProgram program(R"(
    extern "C" __global__ void reduce(const int* x, int* sums, int* maxima, int n) {
      __shared__ int sum[1024];
      __shared__ int maximum[32];
      const int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
      const int value = i < n ? x[i] : 0;
      sum[t] = value;
      int m = value;
      for (int d = 16; d; d >>= 1) {
        const int other = __builtin_amdgcn_ds_bpermute(((t & 31) ^ d) << 2, m);
        m = other > m ? other : m;
      }
      if ((t & 31) == 0) maximum[t >> 5] = m;
      __syncthreads();
      int live = blockDim.x;
      while (live > 1) {
        const int half = (live + 1) / 2;
        if (t + half < live) sum[t] += sum[t + half];
        __syncthreads();
        live = half;
      }
      if (t == 0) {
        for (int w = 1; w < (int(blockDim.x) + 31) / 32; ++w) m = maximum[w] > m ? maximum[w] : m;
        sums[blockIdx.x] = sum[0];
        maxima[blockIdx.x] = m;
      }
    })");
  std::mt19937 random(1);
  std::vector<int> x(5000);
  for (int& value : x) value = int(random() % 2000) - 500;
  program.add(x, "x", false);
  for (const u32 threads : {32u, 64u, 96u, 160u, 512u, 1024u}) {
    const u32 blocks = u32(x.size() + threads - 1) / threads;
    std::vector<int> sums(blocks), maxima(blocks);
    program.add(sums, "sums");
    program.add(maxima, "maxima");
    program.run("reduce", line(blocks), line(threads), x.data(), sums.data(), maxima.data(),
                int(x.size()));
    for (u32 block = 0; block < blocks; ++block) {
      int sum = 0, maximum = std::numeric_limits<int>::min();
      for (std::size_t i = block * threads; i < (block + 1) * std::size_t(threads); ++i) {
        const int value = i < x.size() ? x[i] : 0;
        sum += value;
        maximum = std::max(maximum, value);
      }
      EXPECT_EQ(sums[block], sum) << threads << " " << block;
      EXPECT_EQ(maxima[block], maximum) << threads << " " << block;
    }
    program.memory.remove(sums.data());
    program.memory.remove(maxima.data());
  }
}

TEST_F(Machine, VariablesOfTheProgramOutliveALaunch) {
  TestProgram program(R"(
    static __device__ u32 total = 1000;
    __device__ u64 wide[3];
    extern "C" __global__ void count(u32* out) {
      __hip_atomic_fetch_add(&total, threadIdx.x, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
      if (threadIdx.x < 3) wide[threadIdx.x] += threadIdx.x + blockIdx.x;
    }
    extern "C" __global__ void read(u32* out) {
      out[threadIdx.x] = threadIdx.x == 3 ? total : u32(wide[threadIdx.x]);
    })");
  std::vector<u32> out(4);
  program.add(out, "out");
  for (u32 launch = 1; launch <= 3; ++launch) {
    program.run("count", line(2), line(64), out.data());
    program.run("read", line(1), line(4), out.data());
    EXPECT_EQ(
        out, (std::vector<u32>{launch, 3 * launch, 5 * launch, 1000 + launch * 2 * (63 * 64 / 2)}));
  }
}

TEST_F(Machine, GridsAndBlocksOfThreeDimensions) {
  TestProgram program(R"(
    extern "C" __global__ void where(u32* out) {
      const u32 thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
      const u32 block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
      u32* const row = out + (block * blockDim.x * blockDim.y * blockDim.z + thread) * 4;
      row[0] = threadIdx.x | threadIdx.y << 8 | threadIdx.z << 16;
      row[1] = blockIdx.x | blockIdx.y << 8 | blockIdx.z << 16;
      row[2] = blockDim.x | blockDim.y << 8 | blockDim.z << 16;
      row[3] = gridDim.x | gridDim.y << 8 | gridDim.z << 16;
    })");
  const auto packed = [](const std::array<u32, 3>& of) { return of[0] | of[1] << 8 | of[2] << 16; };
  struct Shape {
    std::array<u32, 3> grid, threads;
  };
  for (const auto& [grid, threads] : {Shape{{3, 2, 4}, {5, 3, 7}},
                                      {{1, 1, 1}, {1, 1, 1}},
                                      {{2, 5, 1}, {31, 2, 1}},
                                      {{1, 1, 3}, {33, 1, 3}},
                                      {{7, 1, 2}, {4, 4, 4}},
                                      {{1, 2, 1}, {1, 1, 65}}}) {
    const std::size_t per_block = threads[0] * threads[1] * threads[2],
                      blocks = grid[0] * grid[1] * grid[2];
    std::vector<u32> out(per_block * blocks * 4, ~0u);
    program.add(out, "out");
    program.run("where", grid, threads, out.data());
    program.memory.remove(out.data());
    std::size_t at = 0;
    for (u32 block = 0; block < blocks; ++block)
      for (u32 thread = 0; thread < per_block; ++thread, at += 4) {
        const std::array<u32, 3> t = {thread % threads[0], thread / threads[0] % threads[1],
                                      thread / threads[0] / threads[1]};
        const std::array<u32, 3> b = {block % grid[0], block / grid[0] % grid[1],
                                      block / grid[0] / grid[1]};
        ASSERT_EQ(out[at], packed(t)) << block << " " << thread;
        ASSERT_EQ(out[at + 1], packed(b)) << block << " " << thread;
        ASSERT_EQ(out[at + 2], packed(threads));
        ASSERT_EQ(out[at + 3], packed(grid));
      }
  }
}

TEST_F(Machine, LdsThatTheLaunchGives) {
  TestProgram program(R"(
    extern __shared__ u16 given[];
    extern "C" __global__ void turn(const u16* in, u16* out, int n) {
      for (int i = threadIdx.x; i < n; i += blockDim.x) given[i] = in[i];
      __syncthreads();
      for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = given[n - 1 - i];
    })");
  std::vector<u16> in(3001), out(3001);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = u16(i * 17);
  program.add(in, "in", false);
  program.add(out, "out");
  program.dynamic_lds = u32(in.size()) * 2;
  program.run("turn", line(1), line(100), in.data(), out.data(), int(in.size()));
  std::reverse(in.begin(), in.end());
  EXPECT_EQ(out, in);
}

TEST_F(Machine, ArgumentsOfEveryWidth) {
  TestProgram program(R"(
    struct Pair { char c; double d; };
    extern "C" __global__ void widths(u8 a, u16 b, char c, float f, Pair p, short s, u64 w, bool t, double* out) {
      out[threadIdx.x] = a + b * 2.0 + c * 3.0 + f * 4.0 + p.c * 5.0 + p.d * 6.0 + s * 7.0 + w * 8.0 + t * 9.0;
    })");
  struct Pair {
    char c;
    double d;
  };
  std::vector<double> out(2);
  program.add(out, "out");
  program.run("widths", line(1), line(2), u8(200), u16(60000), char(-5), 1.5f, Pair{'x', 0.25},
              short(-300), u64(1) << 40, true, out.data());
  const double expected = 200 + 120000 - 15 + 6 + 'x' * 5.0 + 1.5 - 2100 + double(u64(8) << 40) + 9;
  EXPECT_EQ(out, (std::vector<double>{expected, expected}));
}

TEST_F(Machine, LaunchesThatCannotBe) {
  TestProgram program(R"(
    extern "C" __global__ void __launch_bounds__(64) small(int* out) { out[0] = 1; })");
  std::vector<int> out(1);
  program.add(out, "out");
  EXPECT_THROW(program.run("small", line(1), line(65), out.data()), Fault);
  EXPECT_THROW(program.run("small", line(1), line(0), out.data()), Fault);
  EXPECT_THROW(program.run("small", line(1), line(1), out.data(), 1), Fault);
  EXPECT_THROW(program.run("none", line(1), line(1), out.data()), Fault);
  program.dynamic_lds = 65537;
  EXPECT_THROW(program.run("small", line(1), line(1), out.data()), Fault);
  EXPECT_EQ(out[0], 0);
}

}  // namespace
}  // namespace isotope::sim
