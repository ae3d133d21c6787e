// Values that the tests of vector instructions draw, and f16 by its definition.
#include <algorithm>

#include "sim/vector_testing.h"

namespace isotope::sim::vector_test {
namespace {

double decoded(u16 bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31) return fraction ? NAN : sign * INFINITY;
  return sign * (exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24));
}

template <class T>
T one_of(std::mt19937_64& random, std::initializer_list<T> values) {
  return *(values.begin() + random() % values.size());
}

}  // namespace

double F16::value() const { return decoded(bits); }

F16 F16::nearest(double value) {
  if (value != value) return F16{0x7e00};
  const u16 sign = std::signbit(value) ? 0x8000 : 0;
  const double size = std::abs(value);
  // What would be the next after the largest begins infinity, half way to it already.
  u16 low = 0, high = 0x7c00;
  const auto of = [](u16 bits) { return bits == 0x7c00 ? 65536.0 : decoded(bits); };
  if (size >= 65520) return F16{u16(sign | 0x7c00)};
  while (high - low > 1) {
    const u16 middle = u16((low + high) / 2);
    (of(middle) <= size ? low : high) = middle;
  }
  const double below = size - of(low), above = of(high) - size;
  const bool up = above < below || (above == below && (low & 1));
  return F16{u16(sign | (up ? high : low))};
}

template <>
u16 random_value(std::mt19937_64& random) {
  if (random() % 2) return u16(random());
  return one_of<u16>(
      random, {0, 1, 2, 15, 16, 17, 255, 256, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff});
}
template <>
u32 random_value(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0:
      return u32(random());
    case 1:
      return u32(random()) >> random() % 32;
    default:
      return one_of<u32>(random,
                         {0,          1,          2,          31,         32,         33,
                          63,         64,         0x7fff,     0x8000,     0xffff,     0x10000,
                          0x7fffff,   0x800000,   0xffffff,   0x1000000,  0x7ffffffe, 0x7fffffff,
                          0x80000000, 0x80000001, 0xfffffffe, 0xffffffff, 0xff800000, 0x0c0d0a0b});
  }
}
template <>
u64 random_value(std::mt19937_64& random) {
  switch (random() % 3) {
    case 0:
      return random();
    case 1:
      return u64(random_value<u32>(random)) << 32 | random_value<u32>(random);
    default:
      return one_of<u64>(random,
                         {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff,
                          0x8000000000000000, 0xffffffff80000000, ~u64(0), ~u64(1)});
  }
}
template <>
F16 random_value(std::mt19937_64& random) {
  if (random() % 2) return F16{u16(random())};
  return F16{one_of<u16>(random, {0,      0x8000, 1,      0x8001, 0x3ff,  0x400,  0x8400, 0x3800,
                                  0x3c00, 0xbc00, 0x3c01, 0x4000, 0x7bff, 0xfbff, 0x7c00, 0xfc00,
                                  0x7c01, 0x7e00, 0xfe01, 0x6400, 0x6401, 0x4100})};
}
template <>
float random_value(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0:
      return std::bit_cast<float>(u32(random()));
    case 1:
      return std::bit_cast<float>(u32(random()) % 0x0a000000 + 0x3b000000);
    case 2:
      return float(i32(random() % 2048) - 1024) / float(1 << random() % 4);
    default:
      return std::bit_cast<float>(one_of<u32>(
          random, {0,          0x80000000, 1,          0x80000001, 0x7fffff,   0x800000,
                   0x80800000, 0x3effffff, 0x3f000000, 0x3f7fffff, 0x3f800000, 0xbf800000,
                   0x3f800001, 0x4effffff, 0x4f000000, 0xcf000000, 0xcf000001, 0x4f800000,
                   0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7f800001, 0x7fc00000,
                   0xffc00001, 0x4b000001, 0x33800000, 0x477fefff, 0x477ff000, 0x387fffff}));
  }
}
template <>
double random_value(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0:
      return std::bit_cast<double>(random());
    case 1:
      return double(random_value<float>(random));
    case 2:
      return std::ldexp(double(i64(random())), -int(random() % 80));
    default:
      return std::bit_cast<double>(one_of<u64>(random, {0,
                                                        0x8000000000000000,
                                                        1,
                                                        0xfffffffffffff,
                                                        0x10000000000000,
                                                        0x3fe0000000000000,
                                                        0x3ff0000000000000,
                                                        0xbff0000000000000,
                                                        0x3fefffffffffffff,
                                                        0x41dfffffffc00000,
                                                        0x41e0000000000000,
                                                        0xc1e0000000000000,
                                                        0xc1e0000000200000,
                                                        0x41efffffffe00000,
                                                        0x7fefffffffffffff,
                                                        0x7ff0000000000000,
                                                        0xfff0000000000000,
                                                        0x7ff0000000000001,
                                                        0x7ff8000000000000,
                                                        0x4330000000000001,
                                                        0x36a0000000000000,
                                                        0x47efffffe0000000}));
  }
}

TEST(VectorTesting, RoundsToF16) {
  for (u32 bits = 0; bits < 0x7c00; ++bits) {
    EXPECT_EQ(F16::nearest(decoded(u16(bits))).bits, bits);
    EXPECT_EQ(F16::nearest(-decoded(u16(bits))).bits, bits | 0x8000);
  }
  EXPECT_EQ(F16::nearest(65519.9).bits, 0x7bff);
  EXPECT_EQ(F16::nearest(65520).bits, 0x7c00);
  EXPECT_EQ(F16::nearest(1 + 0x1p-11).bits, 0x3c00);
  EXPECT_EQ(F16::nearest(1 + 0x1.8p-10).bits, 0x3c02);
  EXPECT_EQ(F16::nearest(0x1p-25).bits, 0);
}

}  // namespace isotope::sim::vector_test
