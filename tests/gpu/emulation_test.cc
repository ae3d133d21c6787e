// The emulated GPU's words against facts from elsewhere: base/dtype.h, the C library in double
// precision, plain loops.
#include "tests/gpu/emulation_testing.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "base/dtype.h"

namespace isotope::emulated::testing {
namespace {

std::uint32_t bits(float v) { return std::bit_cast<std::uint32_t>(v); }
float value(std::uint32_t v) { return std::bit_cast<float>(v); }

/// Rounds to the nearest of all F16 values by search; ties to the even code; beyond the largest by
/// half a step: infinity.
std::uint16_t nearest_f16(float v) {
  static const std::vector<double> values = [] {
    std::vector<double> all;
    for (int code = 0; code < 0x7c00; ++code) all.push_back(to_float(float16{std::uint16_t(code)}));
    all.push_back(65536.0);  // where infinity would continue the steps
    return all;
  }();
  const double magnitude = std::fabs(double(v));
  const auto above = std::lower_bound(values.begin(), values.end(), magnitude);
  int code = int(std::min<std::ptrdiff_t>(above - values.begin(), 0x7c00));
  if (code > 0) {
    const double up = values[std::size_t(code)] - magnitude;
    const double down = magnitude - values[std::size_t(code - 1)];
    if (down < up || (down == up && (code - 1) % 2 == 0)) --code;
  }
  return std::uint16_t(code | (std::signbit(v) ? 0x8000 : 0));
}

/// Every F16, BF16 and FP8 value, the points half way to the next, their neighbours, and random
/// bits.
Words interesting_floats() {
  Words all;
  const auto around = [&](double a, double b) {
    const float middle = float((a + b) / 2);
    for (float v : {float(a), middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e30f)})
      all.push_back(bits(v));
  };
  for (int code = 0; code < 0x7c00; ++code)
    around(to_float(float16{std::uint16_t(code)}),
           code == 0x7bff ? 65536.0 : to_float(float16{std::uint16_t(code + 1)}));
  for (int code = 0; code < 0x7e; ++code)
    around(to_float(float8_e4m3{std::uint8_t(code)}),
           to_float(float8_e4m3{std::uint8_t(code + 1)}));
  for (std::uint32_t code = 0; code < 0x7f80; ++code)
    for (std::uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
      all.push_back(code << 16 | low);
  for (float v : {448.0f, 464.0f, 480.0f, 1e9f, 65519.99f, 65520.0f, HUGE_VALF})
    all.push_back(bits(v));
  for (std::uint32_t nan : {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xffc12345u}) all.push_back(nan);
  std::mt19937 random(11);
  for (int i = 0; i < 100000; ++i) all.push_back(std::uint32_t(random()));
  return all;
}

INSTANTIATE_TEST_SUITE_P(Emulated, ForVendor, ::testing::ValuesIn(kVendors), vendor_name);

TEST_P(ForVendor, NarrowsAsTheHardware) {
  const Words in = interesting_floats();
  Words bf16(in.size()), f16(in.size()), fp8(in.size());
  Params params{in.data(), nullptr, bf16.data(), f16.data(), fp8.data(), int(in.size()), 0};
  ASSERT_EQ(run("narrow", {{unsigned(in.size() + 255) / 256, 1, 1}, 256, 0}, params), "");
  for (std::size_t i = 0; i < in.size(); ++i) {
    const float v = value(in[i]);
    for (int half = 0; half < 2; ++half) {
      const float x = half ? -v : v;
      const auto b = std::uint16_t(bf16[i] >> 16 * half), h = std::uint16_t(f16[i] >> 16 * half);
      const auto e = std::uint8_t(fp8[i] >> 8 * half);
      if (std::isnan(v)) {
        ASSERT_TRUE(std::isnan(to_float(bfloat16{b}))) << i;
        ASSERT_TRUE(std::isnan(to_float(float16{h}))) << i;
        ASSERT_TRUE(is_nan(float8_e4m3{e})) << i;
        continue;
      }
      ASSERT_EQ(b, to_bfloat16(x).bits) << x;
      ASSERT_EQ(h, nearest_f16(x)) << x;
      ASSERT_EQ(e, to_float8_e4m3(x).bits) << x;
    }
    ASSERT_EQ(fp8[i] >> 16, 0u);
  }
}

TEST_P(ForVendor, WidensEveryCode) {
  constexpr std::uint32_t kCodes = 65536;
  Words bf16(2 * kCodes), f16(2 * kCodes), fp8(2 * kCodes), halves(kCodes);
  ASSERT_EQ(run("widen", {{256, 1, 1}, 256, 0},
                {nullptr, nullptr, bf16.data(), f16.data(), nullptr, 0, 0}),
            "");
  ASSERT_EQ(run("widen_fp8", {{256, 1, 1}, 256, 0},
                {nullptr, nullptr, fp8.data(), halves.data(), nullptr, 0, 0}),
            "");
  const auto same = [](std::uint32_t got, float expected) {
    return std::isnan(expected) ? std::isnan(value(got)) : got == bits(expected);
  };
  for (std::uint32_t i = 0; i < kCodes; ++i)
    for (std::uint32_t half = 0; half < 2; ++half) {
      const auto code = std::uint16_t(half ? 65535 - i : i);
      ASSERT_TRUE(same(bf16[2 * i + half], to_float(bfloat16{code}))) << code;
      ASSERT_TRUE(same(f16[2 * i + half], to_float(float16{code}))) << code;
      const float8_e4m3 small{std::uint8_t(i >> 8 * half)};
      ASSERT_TRUE(same(fp8[2 * i + half], to_float(small))) << i;
      const float through_f16 = to_float(float16{std::uint16_t(halves[i] >> 16 * half)});
      ASSERT_TRUE(same(bits(through_f16), to_float(small))) << i;
    }
}

TEST_P(ForVendor, ComputesAsTheHardware) {
  const float inf = HUGE_VALF, nan = std::nanf("");
  const std::vector<float> special = {0.0f, -0.0f, 1.0f,   -1.0f, 2.5f,   -2.5f, inf,
                                      -inf, nan,   1e-40f, 3e38f, 0.125f, 1e-3f, 88.0f};
  Words a, b;
  for (float x : special)
    for (float y : special) a.push_back(bits(x)), b.push_back(bits(y));
  std::mt19937 random(3);
  for (int i = 0; i < 5000; ++i)
    a.push_back(std::uint32_t(random())), b.push_back(std::uint32_t(random()));
  const auto count = unsigned(a.size());
  const auto flushed = [&](float v) {
    return std::fabs(v) < 0x1p-126f ? std::copysign(0.0f, v) : v;
  };
  for (int mode = 0; mode < 12; ++mode) {
    Words out(count), kinds(count), integers(count);
    ASSERT_EQ(
        run("arithmetic", {{(count + 255) / 256, 1, 1}, 256, 0},
            {a.data(), b.data(), out.data(), kinds.data(), integers.data(), int(count), mode}),
        "");
    for (std::size_t i = 0; i < count; ++i) {
      const float x = value(a[i]), y = value(b[i]), got = value(out[i]);
      ASSERT_EQ(kinds[i], unsigned(std::isnan(x)) | unsigned(std::isinf(x)) << 1);
      ASSERT_EQ(integers[i], std::uint32_t(std::uint64_t(a[i]) * b[i] >> 32) ^
                                 unsigned(std::popcount(a[i])) ^
                                 unsigned(std::countl_zero(b[i])) << 8);
      double expected = 0;
      switch (mode) {
        case 0:
          expected = std::isnan(x) ? y : std::isnan(y) ? x : std::min(x, y);
          break;
        case 1:
          expected = std::isnan(x) ? y : std::isnan(y) ? x : std::max(x, y);
          break;
        case 2:
          expected = std::exp2(double(x));
          break;
        case 3:
          expected = std::log2(double(nvidia() ? x : flushed(x)));
          break;
        case 4:
          expected = 1 / std::sqrt(double(x));
          break;
        case 5:
          expected = 1 / double(nvidia() ? flushed(x) : x);
          break;
        case 6:
          expected = std::sqrt(double(x));
          break;
        case 7:
          expected = float(std::fma(x, y, 1.0f));
          break;
        case 8:
          expected = std::floor(x);
          break;
        case 9:
          expected = std::fabs(x);
          break;
        case 10:
          expected = std::exp(double(x));
          break;
        case 11:
          expected = std::log(double(nvidia() ? x : flushed(x)));
          break;
      }
      const float wanted = float(expected);
      if (std::isnan(wanted)) {
        ASSERT_TRUE(std::isnan(got)) << mode << " of " << x << ", " << y;
      } else if (std::isinf(wanted) || std::fabs(wanted) >= 0x1p-126f) {
        // exp goes through a rounded product with log2(e): x times half a place, in powers of two.
        const double places = mode == 10               ? 4 + std::fabs(double(x))
                              : mode == 11             ? 4
                              : mode >= 2 && mode <= 5 ? 2
                                                       : 0;
        if (std::isinf(wanted) || std::isinf(got))
          ASSERT_TRUE(got == wanted || places > 2) << mode << " of " << x;
        else
          ASSERT_LE(std::fabs(double(got) - expected),
                    places * 0x1p-24 * std::fabs(expected) +
                        (places > 0 ? 1e-9 : std::fabs(double(wanted) - expected)))
              << mode << " of " << x << ", " << y;
      } else {
        ASSERT_LE(std::fabs(got), 0x1p-126f) << mode << " of " << x << ", " << y;
      }
    }
  }
}

TEST_P(ForVendor, Shuffles) {
  for (unsigned threads : {32u, 96u, 1024u}) {
    Words from(threads), out(threads), swapped(threads), reduced(2 * threads);
    std::mt19937 random(threads);
    for (std::uint32_t& lane : from) lane = random() % 32;
    for (int mask : {1, 2, 7, 16, 31}) {
      ASSERT_EQ(run("shuffles", {{1, 1, 1}, threads, 0},
                    {from.data(), nullptr, out.data(), swapped.data(), reduced.data(), 0, mask}),
                "");
      for (unsigned t = 0; t < threads; ++t) {
        const unsigned warp = t / 32 * 32;
        EXPECT_EQ(out[t], (warp + from[t]) * 3 + 1);
        EXPECT_EQ(swapped[t], (warp + (t % 32 ^ unsigned(mask))) * 5);
        EXPECT_EQ(value(reduced[2 * t]), float(warp * 32 + 496));
        EXPECT_EQ(value(reduced[2 * t + 1]), 31.0f);
      }
    }
  }
}

TEST_P(ForVendor, PassesValuesThroughSharedMemory) {
  for (const char* order : {"forward", "reverse", "random", "random:7"}) {
    const InOrder in_order(order);
    for (unsigned threads : {1u, 33u, 256u})
      for (int mode : {0, 1}) {
        Words in(threads), out(3 * threads);
        std::iota(in.begin(), in.end(), 100u);
        ASSERT_EQ(run("rotate", {{3, 1, 1}, threads, threads * 4},
                      {in.data(), nullptr, out.data(), nullptr, nullptr, 5, mode}),
                  "");
        for (unsigned i = 0; i < 3 * threads; ++i)
          ASSERT_EQ(out[i], 100 + (i % threads + 5) % threads) << order;
      }
  }
}

TEST_P(ForVendor, ShowsAMissingBarrier) {
  int wrong = 0;
  for (const char* order : {"forward", "reverse", "random"}) {
    const InOrder in_order(order);
    Words in(256), out(256);
    std::iota(in.begin(), in.end(), 0u);
    ASSERT_EQ(run("rotate", {{1, 1, 1}, 256, 0},
                  {in.data(), nullptr, out.data(), nullptr, nullptr, 5, 2}),
              "");
    for (unsigned i = 0; i < 256; ++i)
      if (out[i] != (i + 5) % 256) {
        ++wrong;
        break;
      }
  }
  EXPECT_GE(wrong, 2);
}

TEST_P(ForVendor, CopiesAsynchronously) {
  constexpr unsigned kThreads = 64, kGroups = 7;
  alignas(16) static std::uint32_t in[kThreads * kGroups * 4];
  std::mt19937 random(2);
  for (std::uint32_t& word : in) word = std::uint32_t(random());
  int wrong[3] = {};
  for (const char* order : {"forward", "reverse", "random"})
    for (int mode : {0, 1, 2}) {
      const InOrder in_order(order);
      Words out(kThreads);
      ASSERT_EQ(run("copies", {{1, 1, 1}, kThreads, kThreads * 48},
                    {in, nullptr, out.data(), nullptr, nullptr, int(kGroups), mode}),
                "");
      bool right = true;
      for (unsigned t = 0; t < kThreads; ++t) {
        std::uint32_t sum = 0;
        for (unsigned group = 0; group < kGroups; ++group)
          for (unsigned i = 0; i < 4; ++i)
            sum += in[(group * kThreads + (t + 1) % kThreads) * 4 + i];
        right = right && out[t] == sum;
      }
      wrong[mode] += !right;
    }
  EXPECT_EQ(wrong[0], 0);
  EXPECT_GE(wrong[2], 2);                         // shown by copies that are done at once
  EXPECT_EQ(wrong[1] > 0, nvidia()) << wrong[1];  // and by late ones, which AMD does not have
}

TEST_P(ForVendor, FillsSharedMemoryBeforeEveryBlock) {
  Words fixed(20 * 256), dynamic(20 * 256);
  ASSERT_EQ(run("unwritten", {{20, 1, 1}, 256, 1024},
                {nullptr, nullptr, fixed.data(), dynamic.data(), nullptr, 0, 0}),
            "");
  for (std::size_t i = 0; i < fixed.size(); ++i) {
    ASSERT_EQ(fixed[i], ~0u) << i;
    ASSERT_EQ(dynamic[i], ~0u) << i;
  }
}

TEST_P(ForVendor, RunsEveryThreadOfEveryBlockOnce) {
  const unsigned total = 5 * 3 * 2 * 50;
  for (const char* order : {"forward", "reverse", "random"}) {
    const InOrder in_order(order);
    Words places(total), count(1), arrivals(total);
    ASSERT_EQ(run("places", {{5, 3, 2}, 50, 0},
                  {nullptr, nullptr, places.data(), count.data(), arrivals.data(), 0, 0}),
              "");
    EXPECT_EQ(count[0], total);
    EXPECT_EQ(std::set<std::uint32_t>(arrivals.begin(), arrivals.end()).size(), total);
    for (unsigned i = 0; i < total; ++i) {
      const unsigned t = i % 50, block = i / 50;
      EXPECT_EQ(places[i],
                t % 32 | t / 32 << 8 | block % 5 << 16 | block / 5 % 3 << 20 | block / 15 << 24);
    }
  }
}

TEST_P(ForVendor, TellsMistakes) {
  const std::map<int, std::string> expected = {
      {0, "deadlock: of 64 threads 63 wait at block_barrier, 1 have ended"},
      {1, "deadlock: of 64 threads 63 wait at block_barrier, 1 of warp 0 in shuffle, 0 have ended"},
      {2, "lanes of one warp meet at different operations"},
      {3, "something was written behind dynamic shared memory"},
      {4, "which is byte 2080 of 80 of dynamic shared memory"},
      {5, "thread 1 of 64: misaligned load"},
      {7, "thread 7 of 64: illegal address 0x10 at emulation_kernels.cu"}};
  alignas(16) static std::uint32_t in[1024];
  Words out(1024);
  for (const auto& [mode, words] : expected) {
    const std::string error =
        run("mistakes", {{2, 2, 1}, 64, 80}, {in, nullptr, out.data(), nullptr, nullptr, 80, mode});
    EXPECT_NE(error.find(words), std::string::npos) << mode << ": " << error;
    EXPECT_EQ(error.find("kernel mistakes, block ("), 0u) << error;
  }
  // And the next launch is fine.
  EXPECT_EQ(run("mistakes", {{2, 2, 1}, 64, 0}, {in, nullptr, out.data(), nullptr, nullptr, 0, 99}),
            "");
  EXPECT_NE(
      run("mistakes", {{1, 1, 1}, 512, 0}, {in, nullptr, out.data(), nullptr, nullptr, 0, 99}), "");
}

TEST_P(ForVendor, SwitchesLanesFast) {
  Words in(256), out(256);
  double best = 1e9;
  for (int round = 0; round < 5; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_EQ(run("rotate", {{1, 1, 1}, 256, 0},
                  {in.data(), nullptr, out.data(), nullptr, nullptr, 50, 0}),
              "");
    best = std::min(
        best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
                  .count());
  }
  EXPECT_LT(best, 10.0) << "ms for 100 barriers of 256 threads";
}

// Matrix instructions. The layouts are written down here once more, element by element, as the
// vendors' manuals do.
struct Fragments {
  int rows = 16, columns = 0;
  std::vector<double> a, b, d;  // [16][16], [16][columns], [16][columns]
  Words registers, accumulators;
};

enum class Type { bf16, f16, fp8 };
std::uint32_t encode(Type type, float v) {
  return type == Type::bf16  ? to_bfloat16(v).bits
         : type == Type::f16 ? nearest_f16(v)
                             : to_float8_e4m3(v).bits;
}
double decode(Type type, std::uint32_t code) {
  return type == Type::bf16  ? to_float(bfloat16{std::uint16_t(code)})
         : type == Type::f16 ? to_float(float16{std::uint16_t(code)})
                             : to_float(float8_e4m3{std::uint8_t(code)});
}
void put(Words& words, std::size_t first, int element, int size_bits, std::uint32_t code) {
  words[first + std::size_t(element * size_bits / 32)] |= code << element * size_bits % 32;
}

/// PTX ISA on mma.m16n8k16: a_i in row groupID or groupID + 8, column threadID_in_group * 2 + (i &
/// 1) or that + 8.
int a_row_sm(int lane, int i) { return lane / 4 + ((i >= 2 && i < 4) || i >= 6 ? 8 : 0); }
int a_column_sm(int lane, int i) { return lane % 4 * 2 + (i & 1) + (i >= 4 ? 8 : 0); }
int b_row_sm(int lane, int i) { return lane % 4 * 2 + (i & 1) + (i >= 2 ? 8 : 0); }
int b_column_sm(int lane, int) { return lane / 4; }
int d_row_sm(int lane, int i) { return lane / 4 + (i >= 2 ? 8 : 0); }
int d_column_sm(int lane, int i) { return lane % 4 * 2 + (i & 1); }

class Matrix : public ForVendor {
 protected:
  /// Draws matrices; integers: small ones, so that every sum is exact.
  Fragments draw(Type type, bool integers, std::mt19937& random) {
    const int columns = nvidia() ? 8 : 16, size_bits = type == Type::fp8 ? 8 : 16;
    Fragments f;
    f.columns = columns;
    std::normal_distribution<float> normal;
    const auto any = [&] { return integers ? float(int(random() % 17) - 8) : normal(random); };
    std::vector<std::uint32_t> a(256), b(std::size_t(16 * columns));
    for (auto& code : a) code = encode(type, any()), f.a.push_back(decode(type, code));
    for (auto& code : b) code = encode(type, any()), f.b.push_back(decode(type, code));
    for (int i = 0; i < 16 * columns; ++i) f.d.push_back(any());
    f.registers.assign(32 * 8, 0);
    f.accumulators.assign(32 * 8, 0);
    for (int lane = 0; lane < 32; ++lane) {
      const auto first = std::size_t(lane * 8);
      if (nvidia()) {
        for (int i = 0; i < 8; ++i)
          put(f.registers, first, i, 16,
              a[std::size_t(a_row_sm(lane, i) * 16 + a_column_sm(lane, i))]);
        for (int i = 0; i < 4; ++i)
          put(f.registers, first + 4, i, 16,
              b[std::size_t(b_row_sm(lane, i) * 8 + b_column_sm(lane, i))]);
      } else {
        for (int i = 0; i < 8; ++i) {
          const int line = lane % 16, k = 8 * (lane / 16) + i;
          put(f.registers, first, i, size_bits, a[std::size_t(line * 16 + k)]);
          put(f.registers, first + 4, i, size_bits, b[std::size_t(k * 16 + line)]);
        }
      }
      for (int i = 0; i < columns / 2; ++i)
        f.accumulators[first + std::size_t(i)] = bits(float(f.d[place(lane, i)]));
    }
    return f;
  }
  /// Where accumulator i of a lane lies in D.
  std::size_t place(int lane, int i) const {
    return nvidia() ? std::size_t(d_row_sm(lane, i) * 8 + d_column_sm(lane, i))
                    : std::size_t((8 * (lane / 16) + i) * 16 + lane % 16);
  }
  void check(Type type, bool integers, std::mt19937& random) {
    const Fragments f = draw(type, integers, random);
    Words out(32 * 8);
    ASSERT_EQ(run("matrix", {{1, 1, 1}, 32, 0},
                  {f.registers.data(), f.accumulators.data(), out.data(), nullptr, nullptr, 0,
                   int(type)}),
              "");
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < f.columns / 2; ++i) {
        const std::size_t at = place(lane, i);
        const int row = int(at) / f.columns, column = int(at) % f.columns;
        double sum = f.d[at], magnitude = std::fabs(sum);
        for (int k = 0; k < 16; ++k) {
          const double product =
              f.a[std::size_t(row * 16 + k)] * f.b[std::size_t(k * f.columns + column)];
          sum += product;
          magnitude += std::fabs(product);
        }
        // Sixteen additions, each rounded to half a place of a sum below the magnitude.
        ASSERT_NEAR(value(out[std::size_t(lane * 8 + i)]), sum,
                    integers ? 0 : 16 * 0x1p-24 * magnitude)
            << "row " << row << " column " << column;
      }
  }
};
INSTANTIATE_TEST_SUITE_P(Emulated, Matrix, ::testing::ValuesIn(kVendors), vendor_name);

TEST_P(Matrix, MultipliesInTheHardwaresLayout) {
  std::mt19937 random(5);
  for (Type type : {Type::bf16, Type::f16, Type::fp8}) {
    if (type == Type::fp8 && nvidia()) continue;
    for (int round = 0; round < 10; ++round) {
      check(type, true, random);
      check(type, false, random);
    }
  }
}

TEST_P(Matrix, KeepsNanInItsRow) {
  std::mt19937 random(6);
  Fragments f = draw(Type::bf16, false, random);
  f.registers[0] = 0x7fc07fc0u;  // lane 0, A: row 0 for both vendors
  Words out(32 * 8);
  ASSERT_EQ(run("matrix", {{1, 1, 1}, 32, 0},
                {f.registers.data(), f.accumulators.data(), out.data(), nullptr, nullptr, 0, 0}),
            "");
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < f.columns / 2; ++i)
      EXPECT_EQ(std::isnan(value(out[std::size_t(lane * 8 + i)])),
                int(place(lane, i)) / f.columns == 0);
}

TEST_P(Matrix, NeedsWholeWarps) {
  Words in(8 * 64), out(8 * 64);
  const std::string error =
      run("matrix", {{1, 1, 1}, 40, 0}, {in.data(), in.data(), out.data(), nullptr, nullptr, 0, 0});
  EXPECT_NE(error.find("fewer than 32 lanes"), std::string::npos) << error;
}

TEST(EmulatedCode, TellsWhatTheCompilerSays) {
  const Compiled made = compile("a/b.cu", "#include \"h.cuh\"\nint f() { return kValue + oops; }\n",
                                {{"h.cuh", "constexpr int kValue = LEVEL;\n"}},
                                {"-DLEVEL=3", "--gpu-architecture=sm_80"});
  EXPECT_FALSE(made.ok);
  EXPECT_NE(made.log.find("oops"), std::string::npos) << made.log;
  EXPECT_EQ(made.log.find("LEVEL"), std::string::npos) << made.log;
  EXPECT_THROW(compile("../evil.cu", "", {}, {}), std::runtime_error);
}

TEST(EmulatedCode, KeepsModulesApart) {
  // Two modules with a kernel of one name and static shared memory of one name.
  const auto text = [](const char* factor) {
    return std::string(
               "#include \"ops/gpu/portable.cuh\"\n#include \"tests/gpu/emulation_params.h\"\n"
               "namespace isotope::gpu {\n"
               "template <int kFactor> ISOTOPE_DEVICE int scaled(int v) { SHARED(int, memory, "
               "32);\n"
               "  memory[thread_index()] = v * kFactor; return memory[thread_index()]; }\n"
               "KERNEL(scale, EmulationParams, 32) { p.out[thread_index()] = u32(scaled<") +
           factor + ">(thread_index())); }\n}\n";
  };
  std::map<std::string, std::string> headers;
  const auto load = [&](const char* factor) {
    const Compiled made = compile("scale.cu", text(factor), headers,
                                  {"-DISOTOPE_SM=80", std::string("-I") + "ignored"});
    return made;
  };
  // Headers come from the program; here from the source tree.
  for (const char* name :
       {"ops/gpu/portable.cuh", "ops/gpu/arch_sm.cuh", "ops/gpu/arch_gfx12.cuh"}) {
    std::ifstream file(std::string(ISOTOPE_SOURCE_ROOT "/src/") + name);
    headers[name] = std::string(std::istreambuf_iterator<char>(file), {});
  }
  const Compiled two = load("2"), three = load("3");
  ASSERT_TRUE(two.ok) << two.log;
  ASSERT_TRUE(three.ok) << three.log;
  const LoadedCode code2(two.code), code3(three.code);
  Words out(32);
  const Params params{nullptr, nullptr, out.data(), nullptr, nullptr, 0, 0};
  ASSERT_EQ(emulated::run(code3.find("scale"), {{1, 1, 1}, 32, 0}, &params), "");
  EXPECT_EQ(out[5], 15u);
  ASSERT_EQ(emulated::run(code2.find("scale"), {{1, 1, 1}, 32, 0}, &params), "");
  EXPECT_EQ(out[5], 10u);
  EXPECT_EQ(code2.find_or_null("scaled"), nullptr);
}

}  // namespace
}  // namespace isotope::emulated::testing
