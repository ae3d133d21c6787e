// GEMMs compiled from HIP with clang's builtins, of small integers: exact in every format.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "sim/float16.h"
#include "sim/float8.h"
#include "sim/kernel_testing.h"

namespace isotope::sim {
namespace {

using MatrixKernel = KernelTest;

constexpr int kM = 32, kN = 48, kK = 64;

/// C = A·Bᵀ, row-major; a wave makes one tile. MULTIPLY, FRAGMENT, ACCUMULATOR, BITS (of an
/// element) and STEP (of k) are given.
constexpr std::string_view kKernel = R"(
typedef short s8 __attribute__((ext_vector_type(8)));
typedef _Float16 h8 __attribute__((ext_vector_type(8)));
typedef float f8 __attribute__((ext_vector_type(8)));
typedef int i2 __attribute__((ext_vector_type(2)));
typedef int i8 __attribute__((ext_vector_type(8)));
extern "C" __global__ __launch_bounds__(32) void gemm(const u8* a, const u8* b, ELEMENT* c, int n, int k) {
  const int half = threadIdx.x / 16, r = threadIdx.x % 16, row = blockIdx.y * 16, column = blockIdx.x * 16;
  ACCUMULATOR sum = {};
  for (int i = half * (STEP / 2); i < k; i += STEP) {
    const FRAGMENT x = *(const FRAGMENT*)(a + ((row + r) * k + i) * BITS / 8);
    const FRAGMENT y = *(const FRAGMENT*)(b + ((column + r) * k + i) * BITS / 8);
    sum = MULTIPLY;
  }
  for (int i = 0; i < 8; ++i) c[(row + half * 8 + i) * n + column + r] = sum[i];
}
)";

u32 as_f16(int x) { return to_f16(float(x)); }
u32 as_bf16(int x) { return to_bf16(float(x)); }
u32 as_fp8(int x) { return to_fp8(float(x), false); }
u32 as_bf8(int x) { return to_bf8(float(x), false); }
u32 as_int(int x) { return u32(x); }

int of_f32(u32 bits) { return int(std::bit_cast<float>(bits)); }
int of_f16(u32 bits) { return int(from_f16(bits)); }
int of_bf16(u32 bits) { return int(from_bf16(bits)); }
int of_int(u32 bits) { return int(bits); }

struct Form {
  const char *builtin, *arguments, *fragment, *accumulator, *element;
  int bits, step;
  u32 (*a)(int);
  u32 (*b)(int);
  int result_bytes;
  int (*result)(u32);
};
const Form kForms[] = {
    {"f32_16x16x16_f16", "x, y, sum", "h8", "f8", "float", 16, 16, as_f16, as_f16, 4, of_f32},
    {"f32_16x16x16_bf16", "x, y, sum", "s8", "f8", "float", 16, 16, as_bf16, as_bf16, 4, of_f32},
    {"f16_16x16x16_f16", "x, y, sum", "h8", "h8", "_Float16", 16, 16, as_f16, as_f16, 2, of_f16},
    {"bf16_16x16x16_bf16", "x, y, sum", "s8", "s8", "short", 16, 16, as_bf16, as_bf16, 2, of_bf16},
    {"f32_16x16x16_fp8_fp8", "x, y, sum", "i2", "f8", "float", 8, 16, as_fp8, as_fp8, 4, of_f32},
    {"f32_16x16x16_fp8_bf8", "x, y, sum", "i2", "f8", "float", 8, 16, as_fp8, as_bf8, 4, of_f32},
    {"f32_16x16x16_bf8_fp8", "x, y, sum", "i2", "f8", "float", 8, 16, as_bf8, as_fp8, 4, of_f32},
    {"f32_16x16x16_bf8_bf8", "x, y, sum", "i2", "f8", "float", 8, 16, as_bf8, as_bf8, 4, of_f32},
    {"i32_16x16x16_iu8", "true, x, true, y, sum, false", "i2", "i8", "int", 8, 16, as_int, as_int,
     4, of_int},
    {"i32_16x16x16_iu4", "true, x, true, y, sum, false", "int", "i8", "int", 4, 16, as_int, as_int,
     4, of_int},
    {"i32_16x16x32_iu4", "true, x, true, y, sum, true", "i2", "i8", "int", 4, 32, as_int, as_int, 4,
     of_int},
};

std::vector<u8> encoded(const std::vector<int>& values, int bits, u32 (*encode)(int)) {
  std::vector<u8> bytes(values.size() * std::size_t(bits) / 8);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const u32 code = encode(values[i]);
    const std::size_t bit = i * std::size_t(bits);
    if (bits == 4)
      bytes[bit / 8] |= u8((code & 15) << bit % 8);
    else
      for (std::size_t byte = 0; byte < std::size_t(bits) / 8; ++byte)
        bytes[bit / 8 + byte] = u8(code >> (8 * byte));
  }
  return bytes;
}

TEST_F(MatrixKernel, CompiledGemmsAreExact) {
  std::mt19937 random(12);
  std::vector<int> a(kM * kK), b(kN * kK);
  // Sums of at most 64 · 4 are exact in BF16 too.
  for (auto* const matrix : {&a, &b})
    for (int& x : *matrix) x = int(random() % 5) - 2;
  for (const Form& form : kForms) {
    const auto define = [](const char* name, const std::string& value) {
      return std::string("#define ") + name + " " + value + "\n";
    };
    std::string text = define("BITS", std::to_string(form.bits)) +
                       define("STEP", std::to_string(form.step)) +
                       define("FRAGMENT", form.fragment) + define("ACCUMULATOR", form.accumulator) +
                       define("ELEMENT", form.element) +
                       define("MULTIPLY", std::string("__builtin_amdgcn_wmma_") + form.builtin +
                                              "_w32_gfx12(" + form.arguments + ")");
    TestProgram program(text += kKernel);
    std::vector<u8> left = encoded(a, form.bits, form.a), right = encoded(b, form.bits, form.b);
    std::vector<u8> out(std::size_t(kM * kN * form.result_bytes), 0xff);
    program.add(left, "a", false);
    program.add(right, "b", false);
    program.add(out, "c");
    program.run("gemm", {kN / 16, kM / 16, 1}, {32, 1, 1}, left.data(), right.data(), out.data(),
                kN, kK);
    for (int row = 0; row < kM; ++row)
      for (int column = 0; column < kN; ++column) {
        int sum = 0;
        for (int k = 0; k < kK; ++k)
          sum += a[std::size_t(row * kK + k)] * b[std::size_t(column * kK + k)];
        u32 bits = 0;
        std::memcpy(&bits, out.data() + (row * kN + column) * form.result_bytes,
                    std::size_t(form.result_bytes));
        ASSERT_EQ(form.result(bits), sum) << form.builtin << " " << row << " " << column;
      }
  }
}

// Halves and bytes as compilers use them.

constexpr std::string_view kPackedKernel = R"(
typedef _Float16 h2 __attribute__((ext_vector_type(2)));
typedef short s2 __attribute__((ext_vector_type(2)));
extern "C" __global__ void packed(const h2* a, const h2* b, const s2* s, const s2* t, const float* f, h2* d, s2* e, float* g, u32* w) {
  const int i = threadIdx.x;
  d[i * 4] = a[i] * b[i].yx + (_Float16)2;
  d[i * 4 + 1] = a[i].xx - b[i];
  d[i * 4 + 2] = __builtin_elementwise_max(-a[i], b[i]);
  d[i * 4 + 3] = h2{(_Float16)f[i], (_Float16)(f[i] * (float)a[i].y + 1.f)};
  e[i * 4] = s[i] * t[i].yx + (short)7;
  e[i * 4 + 1] = __builtin_elementwise_add_sat(s[i], t[i]);
  e[i * 4 + 2] = s[i] << (short)3;
  e[i * 4 + 3] = __builtin_elementwise_min(s[i], -t[i]);
  g[i * 2] = (float)a[i].x * (float)b[i].y + f[i];
  const u32 codes = __builtin_amdgcn_cvt_pk_fp8_f32(f[i], (float)a[i].x, 0x5a5a5a5a, true);
  w[i] = codes;
  g[i * 2 + 1] = __builtin_amdgcn_cvt_f32_fp8(codes, 3);
}
)";

TEST_F(MatrixKernel, CompiledPackedArithmeticIsExact) {
  TestProgram program(kPackedKernel);
  std::mt19937 random(13);
  std::vector<u16> a(64), b(64), s(64), t(64), d(256), e(256);
  std::vector<float> f(32), g(64);
  std::vector<u32> w(32);
  const auto small = [&] { return int(random() % 17) - 8; };
  std::vector<int> x(64), y(64);
  for (std::size_t i = 0; i < 64; ++i) {
    x[i] = small(), y[i] = small();
    a[i] = u16(as_f16(x[i])), b[i] = u16(as_f16(y[i])), s[i] = u16(random()), t[i] = u16(random());
  }
  for (float& value : f) value = float(small());
  program.add(a, "a", false), program.add(b, "b", false), program.add(s, "s", false),
      program.add(t, "t", false);
  program.add(f, "f", false), program.add(d, "d"), program.add(e, "e"), program.add(g, "g"),
      program.add(w, "w");
  program.run("packed", {1, 1, 1}, {32, 1, 1}, a.data(), b.data(), s.data(), t.data(), f.data(),
              d.data(), e.data(), g.data(), w.data());
  for (std::size_t i = 0; i < 32; ++i)
    for (std::size_t h = 0; h < 2; ++h) {
      const std::size_t at = 2 * i + h, other = 2 * i + 1 - h, to = 8 * i + h;
      EXPECT_EQ(of_f16(d[to]), x[at] * y[other] + 2);
      EXPECT_EQ(of_f16(d[to + 2]), x[2 * i] - y[at]);
      EXPECT_EQ(of_f16(d[to + 4]), std::max(-x[at], y[at]));
      EXPECT_EQ(of_f16(d[to + 6]), h ? int(f[i]) * x[at] + 1 : int(f[i]));
      EXPECT_EQ(e[to], u16(u32(s[at]) * t[other] + 7));
      EXPECT_EQ(i16(e[to + 2]), std::clamp(i16(s[at]) + i16(t[at]), -32768, 32767));
      EXPECT_EQ(e[to + 4], u16(s[at] << 3));
      EXPECT_EQ(i16(e[to + 6]), std::min(i16(s[at]), i16(-i16(t[at]))));
      if (h) continue;
      EXPECT_EQ(g[2 * i], float(x[at] * y[other]) + f[i]);
      EXPECT_EQ(w[i], 0x5a5au | as_fp8(int(f[i])) << 16 | as_fp8(x[at]) << 24);
      EXPECT_EQ(g[2 * i + 1], float(x[at]));
    }
}

}  // namespace
}  // namespace isotope::sim
