// Scalar floating point against exact arithmetic in 128 bits, rounded once by hand.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <bit>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "sim/testing.h"

namespace isotope::sim {
namespace {

using Real = __float128;

/// A binary format of IEEE 754: 1 bit of sign, `exponent` bits, `mantissa` bits.
struct Format {
  const char* name;
  int exponent, mantissa;

  u32 sign() const { return 1u << (exponent + mantissa); }
  u32 infinity() const { return ((1u << exponent) - 1) << mantissa; }
  u32 quiet() const { return 1u << (mantissa - 1); }
  u32 mask() const { return sign() * 2 - 1; }
  int lowest() const { return 2 - (1 << (exponent - 1)); }  ///< exponent of the least normal number
  bool is_nan(u32 bits) const { return (bits & ~sign()) > infinity(); }
  bool is_signaling(u32 bits) const { return is_nan(bits) && !(bits & quiet()); }
  bool is_subnormal(u32 bits) const { return (bits & ~sign()) < 1u << mantissa; }
};
constexpr Format kF32 = {"f32", 8, 23}, kF16 = {"f16", 5, 10};

/// The format of Real: 112 bits of mantissa, exponents from a bias on.
constexpr int kRealMantissa = 112, kRealBias = 16383;
Real power(int exponent) {
  return std::bit_cast<Real>(static_cast<unsigned __int128>(exponent + kRealBias) << kRealMantissa);
}
/// Of the highest bit; not for 0.
int exponent_of(Real magnitude) {
  return int(std::bit_cast<unsigned __int128>(magnitude) >> kRealMantissa) - kRealBias;
}

/// Not for NaN.
Real decode(const Format& format, u32 bits) {
  const u32 magnitude = bits & (format.sign() - 1),
            fraction = magnitude & ((1u << format.mantissa) - 1);
  const int field = int(magnitude >> format.mantissa);
  Real value;
  if (magnitude == format.infinity())
    value = Real(1) / Real(0);
  else if (field == 0)
    value = fraction * power(format.lowest() - format.mantissa);
  else
    value =
        (fraction + (1u << format.mantissa)) * power(format.lowest() + field - 1 - format.mantissa);
  return bits & format.sign() ? -value : value;
}

bool is_negative(Real value) { return value < 0 || (value == 0 && 1 / value < 0); }

/// To the nearest, ties to even; or towards zero. Not for NaN.
u32 encode(const Format& format, Real value, bool towards_zero = false) {
  const u32 sign = is_negative(value) ? format.sign() : 0;
  const Real magnitude = value < 0 ? -value : value;
  if (magnitude == 0) return sign;
  if (magnitude > power(200))
    return sign | (towards_zero && magnitude < Real(1) / Real(0) ? format.infinity() - 1
                                                                 : format.infinity());
  const int exponent = std::max(format.lowest(), exponent_of(magnitude));
  const Real places = magnitude / power(exponent - format.mantissa);
  const u64 whole = u64(places);
  const Real rest = places - Real(whole);
  const bool up = !towards_zero && (rest > Real(0.5) || (rest == Real(0.5) && whole % 2 == 1));
  const u64 bits = (u64(exponent - format.lowest()) << format.mantissa) + whole + up;
  if (bits >= format.infinity())
    return sign | (towards_zero ? format.infinity() - 1 : format.infinity());
  return sign | u32(bits);
}

/// a + b, where what 113 bits do not hold is kept as an odd last bit, which later rounding to fewer
/// bits cannot mistake.
Real add_to_odd(Real a, Real b) {
  const Real sum = a + b;
  if (sum - sum != 0) return sum;  // not finite
  const Real part = sum - a, error = (a - (sum - part)) + (b - part);
  if (error == 0) return sum;
  auto bits = std::bit_cast<unsigned __int128>(sum);
  const bool outward = (error > 0) == (sum > 0);
  if (bits & 1) return sum;
  bits = outward ? bits + 1 : bits - 1;
  return std::bit_cast<Real>(bits);
}

struct Modes {
  bool subnormals;
};

u32 flush(const Format& format, Modes modes, u32 bits) {
  return !modes.subnormals && format.is_subnormal(bits) ? bits & format.sign() : bits;
}

/// The NaN that goes on, if there is one.
std::optional<u32> nan_of(const Format& format, std::initializer_list<u32> sources) {
  for (const u32 bits : sources)
    if (format.is_nan(bits)) return bits | format.quiet();
  return std::nullopt;
}

u32 rounded(const Format& format, Modes modes, Real value) {
  return value != value ? format.infinity() | format.quiet()
                        : flush(format, modes, encode(format, value));
}

std::vector<u32> corners(const Format& format) {
  const u32 one = ((1u << (format.exponent - 1)) - 1) << format.mantissa,
            least = 1u << format.mantissa;
  std::vector<u32> all = {0,
                          1,
                          2,
                          least / 2,
                          least - 1,
                          least,
                          least + 1,
                          one,
                          one + 1,
                          one - 1,
                          one + least,
                          one - least,
                          one + least + least / 2,
                          one + 7 * least,
                          one - 3 * least,
                          one + 10 * least + 1,
                          one + (12 * least),
                          one + 13 * least,
                          one + 14 * least - 1,
                          format.infinity() - 1,
                          format.infinity() - least,
                          format.infinity(),
                          format.infinity() + 1,
                          format.infinity() + format.quiet(),
                          format.infinity() + format.quiet() + 5};
  const std::size_t half = all.size();
  for (std::size_t i = 0; i < half; ++i) all.push_back(all[i] | format.sign());
  std::mt19937 random(11);
  for (int i = 0; i < 25; ++i) all.push_back(random() & format.mask());
  // Near each other, so that sums cancel.
  for (int i = 0; i < 15; ++i) all.push_back(one + random() % (4 * least));
  return all;
}

class ScalarFloat : public testing::TestWithParam<std::tuple<const Format*, bool>> {
 protected:
  ScalarFloat() {
    test.wave.mode.denormals_32 = modes.subnormals;
    test.wave.mode.denormals_16_64 = modes.subnormals;
  }
  /// What lies above an f16 in its register does not matter, and is 0 after an operation.
  u32 above(u32 bits) const { return &format == &kF16 ? bits | 0xa5a50000u : bits; }
  std::string opcode(const char* name) const { return fmt::format("s_{}_{}", name, format.name); }
  u32 run(const char* name, u32 a, u32 b = 0, u32 d = 0) {
    test.wave.sgpr[1] = above(a);
    test.wave.sgpr[2] = above(b);
    test.wave.sgpr[0] = above(d);
    const bool binary =
        std::string_view("add sub mul fmac min_num max_num minimum maximum").find(name) !=
        std::string_view::npos;
    test.run(fmt::format("{} s0, s1{}", opcode(name), binary ? ", s2" : ""));
    return test.wave.sgpr[0];
  }

  const Format& format = *std::get<0>(GetParam());
  const Modes modes{std::get<1>(GetParam())};
  TestWave test;
};

INSTANTIATE_TEST_SUITE_P(Formats, ScalarFloat,
                         testing::Combine(testing::Values(&kF32, &kF16), testing::Bool()),
                         [](const auto& of) {
                           return std::string(std::get<0>(of.param)->name) +
                                  (std::get<1>(of.param) ? "" : "_flushed");
                         });

TEST_P(ScalarFloat, SumsDifferencesProducts) {
  for (const u32 x : corners(format))
    for (const u32 y : corners(format)) {
      const u32 a = flush(format, modes, x), b = flush(format, modes, y);
      const auto nan = nan_of(format, {a, b});
      const Real p = nan ? 0 : decode(format, a), q = nan ? 0 : decode(format, b);
      ASSERT_EQ(run("add", x, y), nan.value_or(rounded(format, modes, add_to_odd(p, q))))
          << fmt::format("{:#x} {:#x}", x, y);
      ASSERT_EQ(run("sub", x, y), nan.value_or(rounded(format, modes, add_to_odd(p, -q))))
          << fmt::format("{:#x} {:#x}", x, y);
      ASSERT_EQ(run("mul", x, y), nan.value_or(rounded(format, modes, p * q)))
          << fmt::format("{:#x} {:#x}", x, y);
    }
}

TEST_P(ScalarFloat, FusedMultiplyAdd) {
  const std::vector<u32> all = corners(format);
  std::mt19937 random(3);
  const auto check = [&](u32 x, u32 y, u32 z) {
    const u32 a = flush(format, modes, x), b = flush(format, modes, y), c = flush(format, modes, z);
    const auto nan = nan_of(format, {a, b, c});
    const Real exact =
        nan ? 0 : add_to_odd(decode(format, a) * decode(format, b), decode(format, c));
    ASSERT_EQ(run("fmac", x, y, z), nan.value_or(rounded(format, modes, exact)))
        << fmt::format("{:#x} {:#x} {:#x}", x, y, z);
  };
  for (const u32 x : all)
    for (const u32 y : all)
      for (int i = 0; i < 12; ++i) check(x, y, all[random() % all.size()]);
  // Addends that just decide how a product is rounded.
  for (int i = 0; i < 20000; ++i) {
    const u32 one = ((1u << (format.exponent - 1)) - 1) << format.mantissa,
              step = 1u << format.mantissa;
    const u32 x = one + random() % step, y = one + random() % step;
    check(
        x, y,
        (one - random() % (u32(format.mantissa) + 2) * step) | (random() % 2 ? format.sign() : 0));
    check(x, y, random() % step | (random() % 2 ? format.sign() : 0));
  }
}

/// By the definition: of numbers, -0 being less than +0.
bool is_less(const Format& format, u32 a, u32 b) {
  const Real x = decode(format, a), y = decode(format, b);
  return x < y || (x == 0 && y == 0 && (a & format.sign()) && !(b & format.sign()));
}

TEST_P(ScalarFloat, Extremes) {
  for (const u32 x : corners(format))
    for (const u32 y : corners(format)) {
      const u32 a = flush(format, modes, x), b = flush(format, modes, y), quiet = format.quiet();
      const bool nan_a = format.is_nan(a), nan_b = format.is_nan(b);
      const auto pick = [&](bool least) {
        return is_less(format, least ? a : b, least ? b : a) ? a : b;
      };
      for (const bool least : {true, false}) {
        const u32 number = nan_a && nan_b ? a | quiet : nan_a ? b : nan_b ? a : pick(least);
        ASSERT_EQ(run(least ? "min_num" : "max_num", x, y), number)
            << fmt::format("{:#x} {:#x}", x, y);
        const u32 strict = format.is_signaling(a)   ? a | quiet
                           : format.is_signaling(b) ? b | quiet
                           : nan_a                  ? a
                           : nan_b                  ? b
                                                    : pick(least);
        ASSERT_EQ(run(least ? "minimum" : "maximum", x, y), strict)
            << fmt::format("{:#x} {:#x}", x, y);
      }
    }
}

/// The integer part of a magnitude, and whether and how anything is left of it.
struct Parts {
  Real whole;
  Real rest;
};
Parts parts_of(Real magnitude) {
  if (magnitude >= power(64)) return {magnitude, 0};
  return {Real(u64(magnitude)), magnitude - Real(u64(magnitude))};
}

TEST_P(ScalarFloat, Roundings) {
  std::vector<u32> all = corners(format);
  std::mt19937 random(5);
  for (int i = 0; i < 3000; ++i) all.push_back(random() & format.mask());
  for (int i = -40; i <= 40; ++i) all.push_back(encode(format, Real(i) / 4));
  for (const u32 x : all) {
    const u32 a = flush(format, modes, x), sign = a & format.sign();
    const auto nan = nan_of(format, {a});
    const Parts parts = parts_of(nan ? 0 : decode(format, a & ~format.sign()));
    const auto check = [&](const char* name, bool away) {
      const u32 expected = nan.value_or(encode(format, parts.whole + away) | sign);
      ASSERT_EQ(run(name, x), expected) << name << fmt::format(" {:#x}", x);
    };
    check("trunc", false);
    check("ceil", parts.rest > 0 && !sign);
    check("floor", parts.rest > 0 && sign);
    const bool odd = parts.whole < power(63) && u64(parts.whole) % 2 == 1;
    check("rndne", parts.rest > Real(0.5) || (parts.rest == Real(0.5) && odd));
  }
}

struct Relation {
  const char* name;
  bool less, equal, greater, unordered;
};
constexpr Relation kRelations[] = {
    {"lt", 1, 0, 0, 0},  {"eq", 0, 1, 0, 0},  {"le", 1, 1, 0, 0},  {"gt", 0, 0, 1, 0},
    {"lg", 1, 0, 1, 0},  {"ge", 0, 1, 1, 0},  {"o", 1, 1, 1, 0},   {"u", 0, 0, 0, 1},
    {"nge", 1, 0, 0, 1}, {"nlg", 0, 1, 0, 1}, {"ngt", 1, 1, 0, 1}, {"nle", 0, 0, 1, 1},
    {"neq", 1, 0, 1, 1}, {"nlt", 0, 1, 1, 1},
};

TEST_P(ScalarFloat, Compares) {
  for (const Relation& relation : kRelations) {
    const std::string text = fmt::format("s_cmp_{}_{} s1, s2", relation.name, format.name);
    for (const u32 x : corners(format))
      for (const u32 y : corners(format)) {
        const u32 a = flush(format, modes, x), b = flush(format, modes, y);
        bool expected = relation.unordered;
        if (!nan_of(format, {a, b})) {
          const Real p = decode(format, a), q = decode(format, b);
          expected = p < q ? relation.less : p > q ? relation.greater : relation.equal;
        }
        test.wave.sgpr[1] = above(x);
        test.wave.sgpr[2] = above(y);
        test.run(text);
        ASSERT_EQ(test.wave.scc, expected) << text << fmt::format(" {:#x} {:#x}", x, y);
      }
  }
}

TEST(ScalarConvert, IntegersToFloats) {
  TestWave test;
  std::mt19937 random(9);
  std::vector<u32> all = {0,          1,          0x7fffffff, 0x80000000, 0x80000001, 0xffffffff,
                          0x01000001, 0x01000003, 0xffffff7f, 0xffffff80, 0xffffff81};
  for (int i = 0; i < 2000; ++i) all.push_back(random() >> random() % 32);
  for (const u32 value : all) {
    test.wave.sgpr[1] = value;
    test.run("s_cvt_f32_i32 s0, s1\n s_cvt_f32_u32 s2, s1");
    ASSERT_EQ(test.wave.sgpr[0], encode(kF32, Real(i32(value)))) << value;
    ASSERT_EQ(test.wave.sgpr[2], encode(kF32, Real(value))) << value;
  }
}

TEST(ScalarConvert, FloatsToIntegers) {
  TestWave test;
  std::vector<u32> all = corners(kF32);
  for (const double value : {0.5, 0.99999994, 1.5, -0.5, -1.0, -1.5, 2147483520.0, 2147483648.0,
                             -2147483648.0, -2147483904.0, 4294967040.0, 4294967296.0, 1e20, -1e20})
    all.push_back(encode(kF32, value));
  std::mt19937 random(13);
  for (int i = 0; i < 2000; ++i) all.push_back((random() & 0x81ffffffu) + 0x3f000000u);
  const auto expected = [](u32 bits, Real least, Real greatest) -> u32 {
    if (kF32.is_nan(bits)) return 0;
    const Real value = decode(kF32, bits);
    return u32(i64(value < least ? least : value > greatest ? greatest : value));
  };
  for (const u32 bits : all) {
    test.wave.sgpr[1] = bits;
    test.run("s_cvt_i32_f32 s0, s1\n s_cvt_u32_f32 s2, s1");
    ASSERT_EQ(test.wave.sgpr[0], expected(bits, -2147483648.0, 2147483647.0))
        << fmt::format("{:#x}", bits);
    ASSERT_EQ(test.wave.sgpr[2], expected(bits, 0, 4294967295.0)) << fmt::format("{:#x}", bits);
  }
}

/// A NaN keeps its sign and what of its payload there is room for, quiet.
u32 converted_nan(const Format& from, const Format& to, u32 bits) {
  const u32 payload = bits & ((1u << from.mantissa) - 1);
  const int shift = from.mantissa - to.mantissa;
  return (bits & from.sign() ? to.sign() : 0) | to.infinity() | to.quiet() |
         (shift > 0 ? payload >> shift : payload << -shift);
}

class ScalarHalves : public testing::TestWithParam<bool> {
 protected:
  ScalarHalves() {
    test.wave.mode.denormals_32 = test.wave.mode.denormals_16_64 = modes.subnormals;
  }
  const Modes modes{GetParam()};
  TestWave test;
};
INSTANTIATE_TEST_SUITE_P(Subnormals, ScalarHalves, testing::Bool());

TEST_P(ScalarHalves, SinglesToHalves) {
  std::vector<u32> all = corners(kF32);
  std::mt19937 random(17);
  for (int i = 0; i < 5000; ++i) all.push_back((random() & 0x8fffffffu) + 0x30000000u);
  // Every half, what lies in the middle to the next, and beside that.
  for (u32 half = 0; half < kF16.infinity(); half += 7) {
    const Real middle = (decode(kF16, half) +
                         (half + 1 == kF16.infinity() ? Real(65536) : decode(kF16, half + 1))) /
                        2;
    for (const u32 bits : {encode(kF32, middle), encode(kF32, middle) + 1, encode(kF32, middle) - 1,
                           encode(kF32, decode(kF16, half))})
      all.push_back(bits);
  }
  for (const u32 x : all) {
    const u32 a = flush(kF32, modes, x);
    const bool nan = kF32.is_nan(a);
    const auto half = [&](bool towards_zero) {
      return nan ? converted_nan(kF32, kF16, a)
                 : flush(kF16, modes, encode(kF16, decode(kF32, a), towards_zero));
    };
    test.wave.sgpr[1] = x;
    test.run(
        "s_cvt_f16_f32 s0, s1\n s_cvt_pk_rtz_f16_f32 s2, s1, 1.0\n s_cvt_pk_rtz_f16_f32 s3, 1.0, "
        "s1");
    ASSERT_EQ(test.wave.sgpr[0], half(false)) << fmt::format("{:#x}", x);
    ASSERT_EQ(test.wave.sgpr[2], half(true) | 0x3c000000u) << fmt::format("{:#x}", x);
    ASSERT_EQ(test.wave.sgpr[3], half(true) << 16 | 0x3c00u) << fmt::format("{:#x}", x);
  }
}

TEST_P(ScalarHalves, HalvesToSingles) {
  for (u32 bits = 0; bits < 65536; ++bits) {
    const u32 a = flush(kF16, modes, bits);
    const u32 expected =
        kF16.is_nan(a) ? converted_nan(kF16, kF32, a) : encode(kF32, decode(kF16, a));
    test.wave.sgpr[1] = bits | 0x12340000u;
    test.wave.sgpr[3] = bits << 16 | 0x1234u;
    test.run("s_cvt_f32_f16 s0, s1\n s_cvt_hi_f32_f16 s2, s3");
    ASSERT_EQ(test.wave.sgpr[0], expected) << fmt::format("{:#x}", bits);
    ASSERT_EQ(test.wave.sgpr[2], expected) << fmt::format("{:#x}", bits);
  }
}

TEST(ScalarFloatForms, ConstantsOfMultiplyAdd) {
  TestWave test;
  test.wave.sgpr[1] = 0x40400000;  // 3
  test.wave.sgpr[2] = 0x40a00000;  // 5
  test.run(
      "s_fmaak_f32 s0, s1, s2, 0x3e800000\n s_fmamk_f32 s3, s1, 0x3e800000, s2\n s_fmac_f32 s2, "
      "2.0, s1");
  EXPECT_EQ(test.wave.sgpr[0], 0x41740000u);  // 15.25
  EXPECT_EQ(test.wave.sgpr[3], 0x40b80000u);  // 5.75
  EXPECT_EQ(test.wave.sgpr[2], 0x41300000u);  // 11
}

TEST(ScalarFloatForms, ConstantsOfHalves) {
  TestWave test;
  test.wave.sgpr[1] = 0x4200;  // 3
  test.run("s_mul_f16 s0, s1, 0.5\n s_add_f16 s2, s1, 0x4500\n s_mul_f16 s3, 0.15915494, 1.0");
  EXPECT_EQ(test.wave.sgpr[0], 0x3e00u);
  EXPECT_EQ(test.wave.sgpr[2], 0x4800u);
  EXPECT_EQ(test.wave.sgpr[3], 0x3118u);
}

TEST(ScalarFloatForms, OtherRoundingsAreFaults) {
  TestWave test;
  test.wave.mode.round_32 = 3;
  EXPECT_THROW(test.run("s_add_f32 s0, s1, s2"), Fault);
  EXPECT_THROW(test.run("s_cvt_f32_u32 s0, s1"), Fault);
  test.run("s_add_f16 s0, s1, s2");
  test.wave.mode.round_16_64 = 1;
  EXPECT_THROW(test.run("s_add_f16 s0, s1, s2"), Fault);
  EXPECT_THROW(test.run("s_cvt_f16_f32 s0, s1"), Fault);
}

}  // namespace
}  // namespace isotope::sim
