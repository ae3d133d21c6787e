// Speed of the simulator's matrix products: a BF16 GEMM compiled from HIP, checked, and its
// seconds.
#include <fmt/core.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <random>

#include "sim/float16.h"
#include "sim/testing.h"

namespace isotope::sim {
namespace {

constexpr u32 kSize = 256;

/// A wave makes 32 × 32 of C = A·Bᵀ, all row-major and kSize wide: it loads 16 bytes a lane, and
/// one WMMA is 16 × 16 × 16.
constexpr std::string_view kKernel = R"(
typedef short bf16x8 __attribute__((ext_vector_type(8)));
typedef float f32x8 __attribute__((ext_vector_type(8)));
extern "C" __global__ __launch_bounds__(128) void gemm(const short* a, const short* b, float* c, int n, int k) {
  const int wave = threadIdx.x / 32, lane = threadIdx.x % 32, half = lane / 16, r = lane % 16;
  const int row = blockIdx.y * 64 + wave / 2 * 32, column = blockIdx.x * 64 + wave % 2 * 32;
  f32x8 sums[2][2] = {};
  for (int i = 0; i < k; i += 16) {
    bf16x8 x[2], y[2];
    for (int t = 0; t < 2; ++t) {
      x[t] = *(const bf16x8*)(a + (row + t * 16 + r) * k + i + half * 8);
      y[t] = *(const bf16x8*)(b + (column + t * 16 + r) * k + i + half * 8);
    }
    for (int s = 0; s < 2; ++s)
      for (int t = 0; t < 2; ++t) sums[s][t] = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(x[s], y[t], sums[s][t]);
  }
  for (int s = 0; s < 2; ++s)
    for (int t = 0; t < 2; ++t)
      for (int i = 0; i < 8; ++i) c[(row + s * 16 + half * 8 + i) * n + column + t * 16 + r] = sums[s][t][i];
}
)";

/// The largest difference from FP64, in units of the bound of FP32 accumulation.
double worst(const std::vector<u16>& a, const std::vector<u16>& b, const std::vector<float>& c) {
  double result = 0;
  for (u32 row = 0; row < kSize; ++row)
    for (u32 column = 0; column < kSize; ++column) {
      double sum = 0, magnitude = 0;
      for (u32 i = 0; i < kSize; ++i) {
        const double product =
            double(from_bf16(a[row * kSize + i])) * double(from_bf16(b[column * kSize + i]));
        sum += product;
        magnitude += std::abs(product);
      }
      result = std::max(
          result, std::abs(c[row * kSize + column] - sum) / (kSize * std::ldexp(magnitude, -24)));
    }
  return result;
}

int measure() {
  if (!have_hip_compiler()) {
    fmt::print("no clang for HIP\n");
    return 1;
  }
  TestProgram program(kKernel);
  std::vector<u16> a(kSize * kSize), b(kSize * kSize);
  std::vector<float> c(kSize * kSize, NAN);
  std::mt19937 random(1);
  for (auto* const matrix : {&a, &b})
    for (u16& x : *matrix) x = u16(to_bf16(float(random() % 2001) / 1000 - 1));
  program.add(a, "a", false);
  program.add(b, "b", false);
  program.add(c, "c");
  const auto begin = std::chrono::steady_clock::now();
  program.run("gemm", {kSize / 64, kSize / 64, 1}, {128, 1, 1}, a.data(), b.data(), c.data(),
              int(kSize), int(kSize));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  u64 instructions = 0;
  for (const u64 of_class : program.counters.instructions) instructions += of_class;
  const double difference = worst(a, b, c);
  fmt::print(
      "BF16 GEMM {0}x{0}x{0}: {1:.4f} s, {2} wave instructions of which {3} WMMA, difference "
      "{4:.3f} of the bound\n",
      kSize, seconds, instructions, program.counters.instructions[std::size_t(Class::wmma)],
      difference);
  return difference <= 1 ? 0 : 1;  // NaN fails too
}

}  // namespace
}  // namespace isotope::sim

int main() { return isotope::sim::measure(); }
