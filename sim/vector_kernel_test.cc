// What the compiler makes of C's operators and functions, against the host's.
#include "sim/kernel_testing.h"
#include "sim/vector_testing.h"

namespace isotope::sim::vector_test {
namespace {

using VectorKernel = KernelTest;

/// What a kernel makes of two numbers, and the host; `ulps` beyond which they must not differ.
template <class T, class R>
struct Expression {
  const char* text;
  R (*host)(T, T);
  u64 ulps = 0;
};

template <class R>
u64 distance(R a, R b) {
  if (same(a, b)) return 0;
  if constexpr (kFloat<R>) {
    // The compiler may leave out what would make a NaN quiet.
    if (is_nan(a) && is_nan(b)) return 0;
    if (is_nan(a) || is_nan(b) || std::signbit(a) != std::signbit(b)) return ~u64(0);
  }
  const u64 x = bits_of(a), y = bits_of(b);
  return x > y ? x - y : y - x;
}

template <class T, class R, std::size_t N>
void check_expressions(const char* in, const char* out, const Expression<T, R> (&expressions)[N]) {
  constexpr u32 kCount = 4096;
  std::string text;
  for (std::size_t i = 0; i < N; ++i)
    text += "extern \"C\" __global__ void k" + std::to_string(i) + "(const " + in + "* x, const " +
            in + "* y, " + out +
            "* z) {\n  const int i = blockIdx.x * blockDim.x + threadIdx.x;\n  const " + in +
            " a = x[i], b = y[i];\n  z[i] = " + expressions[i].text + ";\n}\n";
  TestProgram program(text);
  std::mt19937_64 random(23);
  std::vector<T> x(kCount), y(kCount);
  std::vector<R> z(kCount);
  for (T& value : x) value = random_value<T>(random);
  for (T& value : y) value = random_value<T>(random);
  // Integers are not divided by zero, nor the smallest by -1.
  if constexpr (std::is_integral_v<T>)
    for (T& value : y)
      if (value == 0 || value == T(-1)) value = 3;
  program.add(x, "x", false);
  program.add(y, "y", false);
  program.add(z, "z");
  for (std::size_t i = 0; i < N; ++i) {
    program.run("k" + std::to_string(i), {kCount / 128, 1, 1}, {128, 1, 1}, x.data(), y.data(),
                z.data());
    for (std::size_t j = 0; j < kCount; ++j)
      ASSERT_LE(distance(expressions[i].host(x[j], y[j]), z[j]), expressions[i].ulps)
          << expressions[i].text << std::hexfloat << " of " << x[j] << ", " << y[j] << " is "
          << z[j] << ", not " << expressions[i].host(x[j], y[j]);
  }
}

TEST_F(VectorKernel, ComputesWithFloats) {
  const Expression<float, float> expressions[] = {
      {"a + b", [](float a, float b) { return a + b; }},
      {"a * b - a", [](float a, float b) { return std::fma(a, b, -a); }},
      {"a / b", [](float a, float b) { return a / b; }},
      {"__builtin_sqrtf(a)", [](float a, float) { return std::sqrt(a); }},
      {"__builtin_fminf(a, b)",
       [](float a, float b) {
         return a != a ? b : b != b ? a : a < b || (a == b && std::signbit(a)) ? a : b;
       }},
      {"__builtin_floorf(a)", [](float a, float) { return std::floor(a); }},
      {"__builtin_rintf(a)", [](float a, float) { return std::nearbyint(a); }},
      {"__builtin_roundf(a)", [](float a, float) { return std::round(a); }},
      {"__builtin_exp2f(a)", [](float a, float) { return float(std::exp2(double(a))); }, 1},
      {"__builtin_expf(a)", [](float a, float) { return float(std::exp(double(a))); }, 2},
      {"__builtin_log2f(a)", [](float a, float) { return float(std::log2(double(a))); }, 1},
      {"__builtin_logf(a)", [](float a, float) { return float(std::log(double(a))); }, 2},
      {"(float)(double)a", [](float a, float) { return a; }},
      {"(float)(_Float16)a", [](float a, float) { return float(F16::nearest(a).value()); }},
  };
  check_expressions("float", "float", expressions);
}

TEST_F(VectorKernel, ComputesWithDoubles) {
  const Expression<double, double> expressions[] = {
      {"a + b", [](double a, double b) { return a + b; }},
      {"a / b", [](double a, double b) { return a / b; }},
      {"__builtin_sqrt(a)", [](double a, double) { return std::sqrt(a); }},
      {"__builtin_fma(a, b, a)", [](double a, double b) { return std::fma(a, b, a); }},
      {"__builtin_rint(a)", [](double a, double) { return std::nearbyint(a); }},
      {"__builtin_round(a)", [](double a, double) { return std::round(a); }},
      {"(double)(float)a", [](double a, double) { return double(float(a)); }},
  };
  check_expressions("double", "double", expressions);
}

TEST_F(VectorKernel, ComputesWithIntegers) {
  const Expression<i32, i32> expressions[] = {
      {"a / b", [](i32 a, i32 b) { return a / b; }},
      {"a % b", [](i32 a, i32 b) { return a % b; }},
      {"(int)((unsigned)a / (unsigned)b)", [](i32 a, i32 b) { return i32(u32(a) / u32(b)); }},
      {"(int)((unsigned)a % 10u)", [](i32 a, i32) { return i32(u32(a) % 10); }},
      {"(int)((long)a * b >> 32)", [](i32 a, i32 b) { return i32(i64(a) * b >> 32); }},
      {"__builtin_clz(b) + __builtin_ctz(b) + __builtin_popcount(a)",
       [](i32 a, i32 b) {
         return __builtin_clz(u32(b)) + __builtin_ctz(u32(b)) + __builtin_popcount(u32(a));
       }},
      {"(short)a * (signed char)b", [](i32 a, i32 b) { return i16(a) * std::int8_t(b); }},
      {"(int)((unsigned short)a % (unsigned short)(b | 1))",
       [](i32 a, i32 b) { return u16(a) % u16(b | 1); }},
  };
  check_expressions("int", "int", expressions);
}

TEST_F(VectorKernel, ComputesWithLongIntegers) {
  const Expression<i64, i64> expressions[] = {
      {"a * b", [](i64 a, i64 b) { return i64(u64(a) * u64(b)); }},
      {"a / b", [](i64 a, i64 b) { return a / b; }},
      {"(i64)((u64)a % (u64)b)", [](i64 a, i64 b) { return i64(u64(a) % u64(b)); }},
      {"a >> (b & 63)", [](i64 a, i64 b) { return a >> (b & 63); }},
      {"(i64)((u64)a << (b & 63)) - b",
       [](i64 a, i64 b) { return i64((u64(a) << (b & 63)) - u64(b)); }},
      {"a < b ? a : b", [](i64 a, i64 b) { return a < b ? a : b; }},
  };
  check_expressions("i64", "i64", expressions);
  const Expression<i64, float> floats[] = {
      {"(float)a", [](i64 a, i64) { return float(a); }},
      {"(float)(u64)a", [](i64 a, i64) { return float(u64(a)); }},
  };
  check_expressions("i64", "float", floats);
  const Expression<i64, double> doubles[] = {
      {"(double)a", [](i64 a, i64) { return double(a); }},
      {"(double)(u64)a", [](i64 a, i64) { return double(u64(a)); }},
  };
  check_expressions("i64", "double", doubles);
}

}  // namespace
}  // namespace isotope::sim::vector_test
