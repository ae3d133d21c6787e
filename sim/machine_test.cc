// Whole kernels in HIP against the same C++ on the host.
#include "sim/machine.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "sim/testing.h"

// Functions that both compilers see: as they stand, and as a text. DEVICE is __device__ to clang.
#define DEVICE
#define SHARED_CODE(name, ...) \
  __VA_ARGS__                  \
  const char* const name = #__VA_ARGS__;

namespace isotope::sim {
namespace {

class Machine : public testing::Test {
 protected:
  void SetUp() override {
    if (!have_hip_compiler()) GTEST_SKIP() << "there is no clang for gfx1201";
  }
};

constexpr std::array<u32, 3> line(u32 n) { return {n, 1, 1}; }

/// The shared functions, then the kernels. Products and sums stay apart, as on the host.
TestProgram program_of(const std::string& shared, const std::string& kernels) {
  return TestProgram("#define DEVICE __device__\n" + shared + kernels, {"-ffp-contract=off"});
}

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

SHARED_CODE(
    kDivergent,
    DEVICE inline int steps_to_one(unsigned n) {
      int steps = 0;
      while (n != 1) {
        n = n % 2 ? 3 * n + 1 : n / 2;
        if (++steps > 500) break;
      }
      return steps;
    } DEVICE inline int nested(int a, int b) {
      int sum = 0;
      for (int i = 0; i < a % 7; ++i) {
        if (i == b % 5) continue;
        for (int k = i; k < b % 11; ++k) {
          sum += i * k;
          if (sum > 60) return -sum;
        }
        switch ((a + i) % 6) {
          case 0:
            sum += 5;
            break;
          case 1:
            sum ^= b;
            [[fallthrough]];
          case 2:
            sum -= 3;
            break;
          case 4:
            sum = sum * 2 + 1;
            break;
          default:
            sum += i;
        }
      }
      return sum;
    })

TEST_F(Machine, LoopsOfDivergentLengths) {
  TestProgram program = program_of(kDivergent, R"(
    extern "C" __global__ void divergent(int* steps, int* sums, int n) {
      const int i = blockIdx.x * blockDim.x + threadIdx.x;
      if (i >= n) return;
      steps[i] = steps_to_one(i + 1);
      sums[i] = nested(i, i * 7 + 3);
    })");
  constexpr int kCount = 777;
  std::vector<int> steps(kCount), sums(kCount);
  program.add(steps, "steps");
  program.add(sums, "sums");
  program.run("divergent", line(9), line(90), steps.data(), sums.data(), kCount);
  for (int i = 0; i < kCount; ++i) {
    ASSERT_EQ(steps[std::size_t(i)], steps_to_one(u32(i) + 1)) << i;
    ASSERT_EQ(sums[std::size_t(i)], nested(i, i * 7 + 3)) << i;
  }
}

SHARED_CODE(
    kIntegers, DEVICE inline unsigned long long integers(unsigned long long a, unsigned long long b,
                                                         int which) {
      const long long x = (long long)a;
      const long long y = (long long)b;
      switch (which) {
        case 0:
          return a / b;
        case 1:
          return a % b;
        case 2:
          return (unsigned long long)(y == -1 ? -(a / 1) : (unsigned long long)(x / y));
        case 3:
          return (unsigned long long)(y == -1 ? 0 : x % y);
        case 4:
          return (unsigned)a / (unsigned)(b | 1);
        case 5:
          return (unsigned)a % (unsigned)(b | 1);
        case 6:
          return (unsigned long long)((int)(a >> 33) / ((int)(b >> 40) | 1));
        case 7:
          return a * b + (a >> (b & 63)) + (a << (b & 31));
        case 8:
          return (unsigned long long)(((unsigned __int128)a * b) >> 64);
        case 9:
          return (unsigned long long)(x >> (b & 63)) + (x < y) + 2 * (a < b);
        case 10:
          return __builtin_popcountll(a) + 100 * __builtin_clzll(a | 1) +
                 10000 * __builtin_ctzll(b);
        default:
          return (a << (b & 63)) | (a >> (-b & 63));
      }
    })

TEST_F(Machine, IntegersOf64Bits) {
  TestProgram program = program_of(kIntegers, R"(
    extern "C" __global__ void integers(const u64* a, const u64* b, u64* out, int n) {
      const int i = blockIdx.x * blockDim.x + threadIdx.x;
      if (i < n) out[blockIdx.y * n + i] = integers(a[i], b[i], blockIdx.y);
    })");
  const std::vector<u64> corners = {1,
                                    2,
                                    3,
                                    7,
                                    10,
                                    0x7fffffff,
                                    0x80000000,
                                    0xffffffff,
                                    0x100000000,
                                    0x100000001,
                                    1000000007,
                                    0x7fffffffffffffff,
                                    0x8000000000000000,
                                    ~u64(0),
                                    ~u64(1)};
  std::vector<u64> a, b;
  for (const u64 x : corners)
    for (const u64 y : corners) a.push_back(x), b.push_back(y);
  std::mt19937_64 random(2);
  for (int i = 0; i < 500; ++i) {
    a.push_back(random() >> random() % 64);
    b.push_back((random() >> random() % 64) | 1);
  }
  constexpr u32 kWays = 12;
  std::vector<u64> out(a.size() * kWays);
  program.add(a, "a", false);
  program.add(b, "b", false);
  program.add(out, "out");
  program.run("integers", {u32(a.size() + 63) / 64, kWays, 1}, line(64), a.data(), b.data(),
              out.data(), int(a.size()));
  for (u32 way = 0; way < kWays; ++way)
    for (std::size_t i = 0; i < a.size(); ++i)
      ASSERT_EQ(out[way * a.size() + i], integers(a[i], b[i], int(way)))
          << way << fmt::format(" {:#x} {:#x}", a[i], b[i]);
}

SHARED_CODE(
    kFloats, template <typename T> DEVICE inline T floats(T a, T b, int which) {
      switch (which) {
        case 0:
          return a / b;
        case 1:
          return a * b + a;
        case 2:
          return a - b / 3;
        case 3:
          return (T)(long long)(a * 16) + (T)(int)b;
        case 4:
          return a < b ? a : b > 1 ? b : -a;
        case 5:
          return (T)(unsigned)(a < 0 ? -a : a) * (T)0.5;
        case 6:
          return (T)(float)(a + b) + (T)(double)b;
        default:
          return 1 / (a * a + 1) + (b != b);
      }
    })

/// Quotients of AMD's compiler are correctly rounded, square roots too.
template <typename T>
void check_floats(const std::string& type, const std::string& root) {
  TestProgram program = program_of(kFloats, R"(
    extern "C" __global__ void floats_kernel(const )" +
                                                type + "* a, const " + type + "* b, " + type +
                                                R"(* out, int n) {
      const int i = blockIdx.x * blockDim.x + threadIdx.x;
      if (i >= n) return;
      for (int which = 0; which < 8; ++which) out[which * n + i] = floats(a[i], b[i], which);
      out[8 * n + i] = )" + root + R"((a[i]);
    })");
  std::mt19937_64 random(3);
  std::vector<T> a, b;
  const T least = std::numeric_limits<T>::denorm_min(), normal = std::numeric_limits<T>::min();
  for (const T x : {T(0), T(-0.0), T(1), T(-3), T(0.1), T(1e9), normal, normal * T(1.5), least,
                    least * 77, T(12345.678)})
    for (const T y : {T(1), T(-2), T(7), T(0.3), T(1e9), normal, normal * 4, T(3e5)})
      a.push_back(x), b.push_back(y);
  std::uniform_real_distribution<T> fraction(1, 2);
  for (int i = 0; i < 1500; ++i) {
    a.push_back(std::ldexp(fraction(random), int(random() % 50) - 25) * (random() % 2 ? 1 : -1));
    b.push_back(std::ldexp(fraction(random), int(random() % 50) - 25));
  }
  std::vector<T> out(a.size() * 9);
  const int n = int(a.size());
  program.add(a, "a", false);
  program.add(b, "b", false);
  program.add(out, "out");
  program.run("floats_kernel", line(u32(n + 255) / 256), line(256), a.data(), b.data(), out.data(),
              n);
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t which = 0; which < 9; ++which) {
      if (which == 3 && (std::abs(a[i]) > 1e8 || std::abs(b[i]) > 1e8)) continue;  // no int
      if (which == 5 && std::abs(a[i]) > 1e8) continue;
      const T expected = which == 8 ? std::sqrt(a[i]) : floats<T>(a[i], b[i], int(which));
      const T got = out[which * a.size() + i];
      if (std::isnan(expected))
        ASSERT_TRUE(std::isnan(got)) << which << " " << a[i] << " " << b[i];
      else
        ASSERT_EQ(got, expected) << which << " " << a[i] << " " << b[i];
    }
}

TEST_F(Machine, SinglesDivideAndTakeRootsCorrectlyRounded) {
  check_floats<float>("float", "__builtin_sqrtf");
}
TEST_F(Machine, DoublesDivideAndTakeRootsCorrectlyRounded) {
  check_floats<double>("double", "__builtin_sqrt");
}

SHARED_CODE(
    kCalls,
    __attribute__((noinline)) DEVICE int mixed(const int* values, int count, int seed) {
      int kept[16];
      for (int i = 0; i < 16; ++i) kept[i] = seed * (i + 1);
      for (int i = 0; i < count; ++i)
        kept[values[i] & 15] += values[i] ^ kept[(values[i] >> 4) & 15];
      int sum = 0;
      for (int i = 0; i < 16; ++i) sum = sum * 31 + kept[i];
      return sum;
    } __attribute__((noinline)) DEVICE int twice(const int* values, int count, int seed) {
      return mixed(values, count, seed) + mixed(values + 1, count - 1, seed ^ 5);
    } __attribute__((noinline)) DEVICE int plus(int a, int b) { return a + b * 2; }
    __attribute__((noinline)) DEVICE int minus(int a, int b) { return a - b * 3; }
    __attribute__((noinline)) DEVICE int times(int a, int b) { return a * b + 1; })

TEST_F(Machine, CallsFunctionsWithArraysOnTheStack) {
  TestProgram program = program_of(kCalls, R"(
    extern "C" __global__ void calls(const int* values, int* out) {
      const int i = blockIdx.x * blockDim.x + threadIdx.x;
      out[i] = i % 3 ? twice(values + i % 7, 5 + i % 9, i) : mixed(values, i % 16, -i);
    })");
  std::vector<int> values(40), out(150);
  std::mt19937 random(4);
  for (int& value : values) value = int(random() % 100000);
  program.add(values, "values", false);
  program.add(out, "out");
  program.run("calls", line(3), line(50), values.data(), out.data());
  for (int i = 0; i < 150; ++i) {
    const int expected =
        i % 3 ? twice(values.data() + i % 7, 5 + i % 9, i) : mixed(values.data(), i % 16, -i);
    ASSERT_EQ(out[std::size_t(i)], expected) << i;
  }
}

TEST_F(Machine, CallsThroughPointers) {
  TestProgram program = program_of(kCalls, R"(
    typedef int (*Function)(int, int);
    extern "C" __global__ void choose(const int* which, int* out) {
      const Function functions[3] = {plus, minus, times};
      const int i = threadIdx.x;
      out[i] = functions[which[i]](i, 10);
    })");
  std::vector<int> which(70), out(70);
  for (std::size_t i = 0; i < which.size(); ++i) which[i] = int(i * i % 3);
  program.add(which, "which", false);
  program.add(out, "out");
  program.run("choose", line(1), line(70), which.data(), out.data());
  for (int i = 0; i < 70; ++i) {
    constexpr auto kFunctions = std::array{plus, minus, times};
    ASSERT_EQ(out[std::size_t(i)], kFunctions[std::size_t(which[std::size_t(i)])](i, 10)) << i;
  }
}

SHARED_CODE(
    kTables,
    DEVICE const unsigned short table[16] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 65535};
    DEVICE inline double tabled(int i) {
      const double weights[5] = {0.5, -1.25, 3, 1e10, 7};
      return table[i & 15] * weights[(i / 16) % 5];
    })

TEST_F(Machine, FunctionsThatCallThemselves) {
  TestProgram program(R"(
    __attribute__((noinline)) __device__ int fibonacci(int n) {
      return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
    }
    extern "C" __global__ void recurse(int* out) { out[threadIdx.x] = fibonacci(threadIdx.x % 13); }
    )");
  std::vector<int> out(40), fibonacci = {0, 1};
  while (fibonacci.size() < 13)
    fibonacci.push_back(fibonacci.back() + fibonacci[fibonacci.size() - 2]);
  program.add(out, "out");
  program.run("recurse", line(1), line(40), out.data());
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], fibonacci[i % 13]) << i;
}

TEST_F(Machine, PointersThatMayPointAnywhere) {
  TestProgram program(R"(
    __attribute__((noinline)) __device__ int gather(const int* p, int i) {
      return p[i & 7] * 10 + p[(i * 3) & 7];
    }
    extern "C" __global__ void anywhere(const int* given, int* out) {
      __shared__ int shared[8];
      int own[8];
      const int t = threadIdx.x;
      if (t < 8) shared[t] = t * t;
      __syncthreads();
      for (int k = 0; k < 8; ++k) own[k] = k * t + given[k];
      out[t] = gather(t % 3 == 0 ? shared : t % 3 == 1 ? own : given, t);
    })");
  std::vector<int> given = {5, 3, 8, 1, 9, 2, 7, 4}, out(75);
  program.add(given, "given", false);
  program.add(out, "out");
  program.run("anywhere", line(1), line(75), given.data(), out.data());
  for (int t = 0; t < 75; ++t) {
    const auto at = [&](int k) {
      return t % 3 == 0 ? k * k : given[std::size_t(k)] + (t % 3 == 1 ? k * t : 0);
    };
    EXPECT_EQ(out[std::size_t(t)], at(t & 7) * 10 + at(t * 3 & 7)) << t;
  }
}

TEST_F(Machine, TablesOfConstants) {
  TestProgram program = program_of(kTables, R"(
    extern "C" __global__ void tables(double* out) {
      const int i = blockIdx.x * blockDim.x + threadIdx.x;
      out[i] = tabled(i) + table[blockIdx.x];
    })");
  std::vector<double> out(4 * 48);
  program.add(out, "out");
  program.run("tables", line(4), line(48), out.data());
  for (int i = 0; i < int(out.size()); ++i)
    ASSERT_EQ(out[std::size_t(i)], tabled(i) + table[i / 48]) << i;
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

TEST_F(Machine, LanesExchangeValues) {
  TestProgram program(R"(
    extern "C" __global__ void exchange(const int* in, int* out) {
      const int t = threadIdx.x, n = blockDim.x;
      int v = in[t];
      // A scan: row_shr within rows of 16, then the last of the first row to the second one.
      int scan = v;
      scan += __builtin_amdgcn_update_dpp(0, scan, 0x111, 0xf, 0xf, false);
      scan += __builtin_amdgcn_update_dpp(0, scan, 0x112, 0xf, 0xf, false);
      scan += __builtin_amdgcn_update_dpp(0, scan, 0x114, 0xf, 0xf, false);
      scan += __builtin_amdgcn_update_dpp(0, scan, 0x118, 0xf, 0xf, false);
      const int row = __builtin_amdgcn_readlane(scan, 15);
      if (t & 16) scan += row;
      out[t] = scan;
      out[n + t] = __builtin_amdgcn_mov_dpp8(v, 0x053977);  // lanes 7 6 5 4 3 2 1 0, three bits each, from the lowest
      out[2 * n + t] = __builtin_amdgcn_permlanex16(v, v, 0x76543210, 0xfedcba98, true, false);
      out[3 * n + t] = __builtin_amdgcn_ballot_w32(v & 1);
      out[4 * n + t] = __builtin_amdgcn_readfirstlane(v);
      out[5 * n + t] = __builtin_amdgcn_ds_swizzle(v, 0x041f);  // xor with 1
      out[6 * n + t] = __builtin_amdgcn_mbcnt_lo(~0u, 0);
    })");
  constexpr u32 kCount = 64;
  std::vector<int> in(kCount), out(kCount * 7);
  std::mt19937 random(6);
  for (int& value : in) value = int(random() % 1000);
  program.add(in, "in", false);
  program.add(out, "out");
  program.run("exchange", line(1), line(kCount), in.data(), out.data());
  for (u32 t = 0; t < kCount; ++t) {
    const u32 wave = t / 32 * 32, lane = t % 32;
    int scan = 0, ballot = 0;
    for (u32 i = 0; i <= lane; ++i) scan += in[wave + i];
    for (u32 i = 0; i < 32; ++i) ballot |= (in[wave + i] & 1) << i;
    EXPECT_EQ(out[t], scan) << t;
    const u32 select = 0x053977 >> 3 * (lane % 8) & 7;
    EXPECT_EQ(out[kCount + t], in[t / 8 * 8 + select]) << t;
    EXPECT_EQ(out[2 * kCount + t], in[t ^ 16]) << t;
    EXPECT_EQ(out[3 * kCount + t], ballot) << t;
    EXPECT_EQ(out[4 * kCount + t], in[wave]) << t;
    EXPECT_EQ(out[5 * kCount + t], in[t ^ 1]) << t;
    EXPECT_EQ(out[6 * kCount + t], int(lane)) << t;
  }
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
