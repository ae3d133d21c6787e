// What clang makes of C++ for gfx1201, executed, against the same C++ on the host.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "sim/kernel_testing.h"

// Functions that both compilers see: as they stand, and as a text. DEVICE is __device__ to clang.
#define DEVICE
#define SHARED_CODE(name, ...) \
  __VA_ARGS__                  \
  const char* const name = #__VA_ARGS__;

namespace isotope::sim {
namespace {

using CompiledCode = KernelTest;

/// The shared functions, then the kernels. Products and sums stay apart, as on the host.
TestProgram program_of(const std::string& shared, const std::string& kernels) {
  return TestProgram("#define DEVICE __device__\n" + shared + kernels, {"-ffp-contract=off"});
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

TEST_F(CompiledCode, LoopsOfDivergentLengths) {
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

TEST_F(CompiledCode, IntegersOf64Bits) {
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

TEST_F(CompiledCode, SinglesDivideAndTakeRootsCorrectlyRounded) {
  check_floats<float>("float", "__builtin_sqrtf");
}
TEST_F(CompiledCode, DoublesDivideAndTakeRootsCorrectlyRounded) {
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

TEST_F(CompiledCode, CallsFunctionsWithArraysOnTheStack) {
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

TEST_F(CompiledCode, CallsThroughPointers) {
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

TEST_F(CompiledCode, FunctionsThatCallThemselves) {
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

TEST_F(CompiledCode, PointersThatMayPointAnywhere) {
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

SHARED_CODE(
    kTables,
    DEVICE const unsigned short table[16] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 65535};
    DEVICE inline double tabled(int i) {
      const double weights[5] = {0.5, -1.25, 3, 1e10, 7};
      return table[i & 15] * weights[(i / 16) % 5];
    })

TEST_F(CompiledCode, TablesOfConstants) {
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

TEST_F(CompiledCode, LanesExchangeValues) {
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

}  // namespace
}  // namespace isotope::sim
