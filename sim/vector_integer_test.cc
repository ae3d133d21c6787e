#include "sim/vector_testing.h"

namespace isotope::sim::vector_test {
namespace {

using i128 = __int128;

TEST(VectorInteger, AddsAndSubtracts) {
  check("v_add_nc_u32", [](u32 a, u32 b) { return u32((u64(a) + b) % (u64(1) << 32)); });
  check("v_sub_nc_u32", [](u32 a, u32 b) { return u32((u64(1) << 32) + a - b); });
  check("v_subrev_nc_u32", [](u32 a, u32 b) { return u32((u64(1) << 32) + b - a); });
  check("v_add_nc_i32", [](i32 a, i32 b) { return i32(i64(a) + b); });
  check("v_sub_nc_i32", [](i32 a, i32 b) { return i32(i64(a) - b); });
  check("v_add3_u32", [](u32 a, u32 b, u32 c) { return u32(u64(a) + b + c); });
  check("v_lshl_add_u32", [](u32 a, u32 b, u32 c) { return u32((u64(a) << b % 32) + c); });
  check("v_add_lshl_u32", [](u32 a, u32 b, u32 c) { return u32((u64(a) + b) << c % 32); });
  check("v_xad_u32", [](u32 a, u32 b, u32 c) { return (a ^ b) + c; });
}

TEST(VectorInteger, AddsWithinTheRange) {
  const Options clamp{.suffix = " clamp"};
  const auto add = [](u32 a, u32 b) { return u32(std::min(u64(a) + b, u64(~0u))); };
  check("v_add_nc_u32", add, clamp);
  check(
      "v_sub_nc_u32", [](u32 a, u32 b) { return a < b ? 0 : a - b; }, clamp);
  check(
      "v_subrev_nc_u32", [](u32 a, u32 b) { return b < a ? 0 : b - a; }, clamp);
  check(
      "v_add_nc_i32",
      [](i32 a, i32 b) {
        const i64 sum = i64(a) + b;
        return sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : i32(sum);
      },
      clamp);
  check(
      "v_sub_nc_i32",
      [](i32 a, i32 b) {
        const i64 sum = i64(a) - b;
        return sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : i32(sum);
      },
      clamp);
  check(
      "v_add_nc_u16", [](u16 a, u16 b) { return u16(std::min(a + b, 65535)); }, clamp);
  check(
      "v_sub_nc_u16", [](u16 a, u16 b) { return u16(std::max(a - b, 0)); }, clamp);
  check(
      "v_add_nc_i16", [](i16 a, i16 b) { return i16(std::clamp(a + b, -32768, 32767)); }, clamp);
  check(
      "v_sub_nc_i16", [](i16 a, i16 b) { return i16(std::clamp(a - b, -32768, 32767)); }, clamp);
  check(
      "v_mad_u16", [](u16 a, u16 b, u16 c) { return u16(std::min<i64>(i64(a) * b + c, 65535)); },
      clamp);
  check(
      "v_mad_i16", [](i16 a, i16 b, i16 c) { return i16(std::clamp(a * b + c, -32768, 32767)); },
      clamp);
  check(
      "v_mad_u32_u24",
      [](u32 a, u32 b, u32 c) {
        return u32(std::min<u64>(u64(a % (1 << 24)) * (b % (1 << 24)) + c, ~0u));
      },
      clamp);
  check(
      "v_mad_i32_i24",
      [](u32 a, u32 b, i32 c) {
        const auto low = [](u32 x) { return i64(x & 0x7fffff) - (x & 0x800000); };
        return i32(std::clamp<i64>(low(a) * low(b) + c, INT32_MIN, INT32_MAX));
      },
      clamp);
  check(
      "v_mad_u32_u16", [](u16 a, u16 b, u32 c) { return u32(std::min<u64>(u64(a) * b + c, ~0u)); },
      clamp);
  check(
      "v_mad_i32_i16",
      [](i16 a, i16 b, i32 c) {
        return i32(std::clamp<i64>(i64(a) * b + c, INT32_MIN, INT32_MAX));
      },
      clamp);
}

TEST(VectorInteger, CarriesThroughMasks) {
  const auto carry = [](u64 sum) { return WithBit<u32>{u32(sum), sum >> 32 != 0}; };
  static const auto made = carry;
  check("v_add_co_u32", [](u32 a, u32 b) { return made(u64(a) + b); });
  check("v_sub_co_u32", [](u32 a, u32 b) { return WithBit<u32>{a - b, b > a}; });
  check("v_subrev_co_u32", [](u32 a, u32 b) { return WithBit<u32>{b - a, a > b}; });
  check("v_add_co_ci_u32", [](u32 a, u32 b, Bit c) { return made(u64(a) + b + c); });
  check("v_sub_co_ci_u32", [](u32 a, u32 b, Bit c) {
    return WithBit<u32>{a - b - c, u64(b) + c > a};
  });
  check("v_subrev_co_ci_u32", [](u32 a, u32 b, Bit c) {
    return WithBit<u32>{b - a - c, u64(a) + c > b};
  });
  const Options clamp{.suffix = " clamp"};
  check(
      "v_add_co_u32",
      [](u32 a, u32 b) {
        const u64 sum = u64(a) + b;
        return WithBit<u32>{u32(std::min<u64>(sum, ~0u)), sum > ~0u};
      },
      clamp);
  check(
      "v_sub_co_u32",
      [](u32 a, u32 b) {
        return WithBit<u32>{b > a ? 0 : a - b, b > a};
      },
      clamp);
  check(
      "v_subrev_co_u32",
      [](u32 a, u32 b) {
        return WithBit<u32>{a > b ? 0 : b - a, a > b};
      },
      clamp);
  check(
      "v_add_co_ci_u32",
      [](u32 a, u32 b, Bit c) {
        const u64 sum = u64(a) + b + c;
        return WithBit<u32>{u32(std::min<u64>(sum, ~0u)), sum > ~0u};
      },
      clamp);
  check(
      "v_sub_co_ci_u32",
      [](u32 a, u32 b, Bit c) {
        const bool borrow = u64(b) + c > a;
        return WithBit<u32>{borrow ? 0 : a - b - c, borrow};
      },
      clamp);
  check(
      "v_subrev_co_ci_u32",
      [](u32 a, u32 b, Bit c) {
        const bool borrow = u64(a) + c > b;
        return WithBit<u32>{borrow ? 0 : b - a - c, borrow};
      },
      clamp);
}

TEST(VectorInteger, Multiplies) {
  check("v_mul_lo_u32", [](u32 a, u32 b) { return u32(u64(a) * b); });
  check("v_mul_hi_u32", [](u32 a, u32 b) { return u32(u64(a) * b >> 32); });
  check("v_mul_hi_i32", [](i32 a, i32 b) { return i32(i64(a) * b >> 32); });
  check("v_mul_u32_u24", [](u32 a, u32 b) { return u32(u64(a % (1 << 24)) * (b % (1 << 24))); });
  check("v_mul_hi_u32_u24",
        [](u32 a, u32 b) { return u32(u64(a % (1 << 24)) * (b % (1 << 24)) >> 32); });
  static const auto low = [](u32 x) { return i64(x & 0x7fffff) - (x & 0x800000); };
  check("v_mul_i32_i24", [](u32 a, u32 b) { return i32(low(a) * low(b)); });
  check("v_mul_hi_i32_i24", [](u32 a, u32 b) { return i32(low(a) * low(b) >> 32); });
  check("v_mad_u32_u24",
        [](u32 a, u32 b, u32 c) { return u32(u64(a % (1 << 24)) * (b % (1 << 24)) + c); });
  check("v_mad_i32_i24", [](u32 a, u32 b, i32 c) { return i32(low(a) * low(b) + c); });
  check("v_mad_u32_u16", [](u16 a, u16 b, u32 c) { return u32(u64(a) * b + c); });
  check("v_mad_i32_i16", [](i16 a, i16 b, i32 c) { return i32(i64(a) * b + c); });
  check("v_mad_co_u64_u32", [](u32 a, u32 b, u64 c) {
    const unsigned __int128 sum = static_cast<unsigned __int128>(a) * b + c;
    return WithBit<u64>{u64(sum), (sum >> 64) != 0};
  });
  check("v_mad_co_i64_i32", [](i32 a, i32 b, i64 c) {
    const i128 sum = i128(a) * b + c;
    return WithBit<i64>{i64(sum), (sum >> 64 & 1) != 0};
  });
}

TEST(VectorInteger, Orders) {
  check("v_min_u32", [](u32 a, u32 b) { return a < b ? a : b; });
  check("v_max_u32", [](u32 a, u32 b) { return a < b ? b : a; });
  check("v_min_i32", [](i32 a, i32 b) { return a < b ? a : b; });
  check("v_max_i32", [](i32 a, i32 b) { return a < b ? b : a; });
  check("v_min3_u32", [](u32 a, u32 b, u32 c) { return std::min({a, b, c}); });
  check("v_max3_u32", [](u32 a, u32 b, u32 c) { return std::max({a, b, c}); });
  check("v_min3_i32", [](i32 a, i32 b, i32 c) { return std::min({a, b, c}); });
  check("v_max3_i32", [](i32 a, i32 b, i32 c) { return std::max({a, b, c}); });
  check("v_med3_u32", [](u32 a, u32 b, u32 c) {
    return u32(u64(a) + b + c - std::min({a, b, c}) - std::max({a, b, c}));
  });
  check("v_med3_i32", [](i32 a, i32 b, i32 c) {
    return i32(i64(a) + b + c - std::min({a, b, c}) - std::max({a, b, c}));
  });
  check("v_minmax_u32", [](u32 a, u32 b, u32 c) { return std::max(std::min(a, b), c); });
  check("v_maxmin_u32", [](u32 a, u32 b, u32 c) { return std::min(std::max(a, b), c); });
  check("v_minmax_i32", [](i32 a, i32 b, i32 c) { return std::max(std::min(a, b), c); });
  check("v_maxmin_i32", [](i32 a, i32 b, i32 c) { return std::min(std::max(a, b), c); });
}

TEST(VectorInteger, Shifts) {
  check("v_lshlrev_b32", [](u32 a, u32 b) { return u32(u64(b) << a % 32); });
  check("v_lshrrev_b32", [](u32 a, u32 b) { return b / (1u << a % 32); });
  check("v_ashrrev_i32",
        [](u32 a, i32 b) { return i32(std::floor(double(b) / double(1u << a % 32))); });
  check("v_lshl_or_b32", [](u32 a, u32 b, u32 c) { return u32(u64(a) << b % 32) | c; });
  check("v_bfe_u32",
        [](u32 a, u32 b, u32 c) { return u32(u64(a) >> b % 32 & ((u64(1) << c % 32) - 1)); });
  check("v_bfe_i32", [](i32 a, u32 b, u32 c) {
    const i64 field = (i64(a) >> b % 32) & ((i64(1) << c % 32) - 1),
              sign = c % 32 ? i64(1) << (c % 32 - 1) : 0;
    return i32((field ^ sign) - sign);
  });
  check("v_bfm_b32", [](u32 a, u32 b) { return u32(((u64(1) << a % 32) - 1) << b % 32); });
  check("v_alignbit_b32",
        [](u32 a, u32 b, u32 c) { return c % 32 ? b >> c % 32 | a << (32 - c % 32) : b; });
  check("v_alignbyte_b32",
        [](u32 a, u32 b, u32 c) { return c % 4 ? b >> c % 4 * 8 | a << (32 - c % 4 * 8) : b; });
  check("v_lshlrev_b64",
        [](u32 a, u64 b) { return u64(static_cast<unsigned __int128>(b) << a % 64); });
  check("v_lshrrev_b64", [](u32 a, u64 b) { return b / (u64(1) << a % 64); });
  check("v_ashrrev_i64", [](u32 a, i64 b) { return i64(i128(b) >> a % 64); });
}

TEST(VectorInteger, CombinesBits) {
  check("v_and_b32", [](u32 a, u32 b) { return ~(~a | ~b); });
  check("v_or_b32", [](u32 a, u32 b) { return ~(~a & ~b); });
  check("v_xor_b32", [](u32 a, u32 b) { return (a | b) & ~(a & b); });
  check("v_xnor_b32", [](u32 a, u32 b) { return (a & b) | (~a & ~b); });
  check("v_not_b32", [](u32 a) { return 0xffffffff - a; });
  check("v_and_or_b32", [](u32 a, u32 b, u32 c) { return (a & b) | c; });
  check("v_or3_b32", [](u32 a, u32 b, u32 c) { return a | b | c; });
  check("v_xor3_b32", [](u32 a, u32 b, u32 c) { return a ^ b ^ c; });
  check("v_bfi_b32", [](u32 a, u32 b, u32 c) { return c ^ ((b ^ c) & a); });
  check("v_mov_b32", [](u32 a) { return a; });
  check("v_cndmask_b32", [](Moved<u32> a, Moved<u32> b, Bit c) { return c ? b.bits : a.bits; });
  check("v_cndmask_b16", [](Moved<u16> a, Moved<u16> b, Bit c) { return c ? b.bits : a.bits; });
}

TEST(VectorInteger, CountsBits) {
  check("v_bfrev_b32", [](u32 a) {
    u32 result = 0;
    for (int i = 0; i < 32; ++i) result |= (a >> i & 1) << (31 - i);
    return result;
  });
  check("v_clz_i32_u32", [](u32 a) {
    for (int i = 0; i < 32; ++i)
      if (a >> (31 - i) & 1) return i;
    return -1;
  });
  check("v_ctz_i32_b32", [](u32 a) {
    for (int i = 0; i < 32; ++i)
      if (a >> i & 1) return i;
    return -1;
  });
  check("v_cls_i32", [](i32 a) {
    for (int i = 1; i < 32; ++i)
      if ((a >> (31 - i) & 1) != (a >> 31 & 1)) return i;
    return -1;
  });
  check("v_bcnt_u32_b32", [](u32 a, u32 b) {
    for (int i = 0; i < 32; ++i) b += a >> i & 1;
    return b;
  });
}

u32 byte_of(u64 value, int i) { return u32(value >> 8 * i & 0xff); }
u32 distance(u32 a, u32 b) { return a > b ? a - b : b - a; }

TEST(VectorInteger, WorksOnBytes) {
  check("v_perm_b32", [](u32 a, u32 b, u32 c) {
    u32 result = 0;
    const u64 in = u64(a) << 32 | b;
    for (int i = 0; i < 4; ++i) {
      const u32 select = byte_of(c, i);
      const u32 byte = select >= 13   ? 0xff
                       : select == 12 ? 0
                       : select >= 8  ? byte_of(in, int(2 * (select - 8) + 1)) >> 7 ? 0xff : 0
                                      : byte_of(in, int(select));
      result |= byte << 8 * i;
    }
    return result;
  });
  check("v_lerp_u8", [](u32 a, u32 b, u32 c) {
    u32 result = 0;
    for (int i = 0; i < 4; ++i)
      result += (byte_of(a, i) + byte_of(b, i) + (byte_of(c, i) & 1)) / 2 << 8 * i;
    return result;
  });
  check("v_sad_u8", [](u32 a, u32 b, u32 c) {
    for (int i = 0; i < 4; ++i) c += distance(byte_of(a, i), byte_of(b, i));
    return c;
  });
  check("v_sad_hi_u8", [](u32 a, u32 b, u32 c) {
    for (int i = 0; i < 4; ++i) c += distance(byte_of(a, i), byte_of(b, i)) << 16;
    return c;
  });
  check("v_msad_u8", [](u32 a, u32 b, u32 c) {
    for (int i = 0; i < 4; ++i) c += byte_of(b, i) ? distance(byte_of(a, i), byte_of(b, i)) : 0;
    return c;
  });
  check("v_sad_u16", [](u32 a, u32 b, u32 c) {
    return c + distance(a % 65536, b % 65536) + distance(a / 65536, b / 65536);
  });
  check("v_sad_u32", [](u32 a, u32 b, u32 c) { return c + distance(a, b); });
}

template <bool kMasked>
u64 sums_of_differences(u64 a, u32 b, u64 c) {
  u64 result = 0;
  for (int i = 0; i < 4; ++i) {
    u32 sum = u32(c >> 16 * i & 0xffff);
    for (int j = 0; j < 4; ++j)
      if (!kMasked || byte_of(b, j)) sum += distance(byte_of(a, i + j), byte_of(b, j));
    result |= u64(sum % 65536) << 16 * i;
  }
  return result;
}
TEST(VectorInteger, SumsDifferencesOfBytes) {
  check("v_qsad_pk_u16_u8",
        [](u64 a, u32 b, u64 c) { return sums_of_differences<false>(a, b, c); });
  check("v_mqsad_pk_u16_u8",
        [](u64 a, u32 b, u64 c) { return sums_of_differences<true>(a, b, c); });
}

TEST(VectorInteger, MovesRegistersThatM0Names) {
  TestWave test;
  for (u32 i = 0; i < 16; ++i) test.wave.vgpr[i].fill(100 + i);
  test.wave.sgpr[kM0] = 3;
  test.wave.sgpr[kExecLo] = 0xf;
  test.run("v_movrels_b32 v1, v5\nv_movreld_b32 v6, v2\nv_movrelsd_b32 v8, v10");
  EXPECT_EQ(test.wave.vgpr[1][3], 108u);
  EXPECT_EQ(test.wave.vgpr[1][4], 101u);
  EXPECT_EQ(test.wave.vgpr[9][3], 102u);
  EXPECT_EQ(test.wave.vgpr[11][3], 113u);
  test.wave.sgpr[kM0] = 256;
  EXPECT_THROW(test.run("v_movrels_b32 v1, v5"), Fault);
}

TEST(VectorInteger, WorksOn16Bits) {
  check("v_add_nc_u16", [](u16 a, u16 b) { return u16((a + b) % 65536); });
  check("v_sub_nc_u16", [](u16 a, u16 b) { return u16((65536 + a - b) % 65536); });
  check("v_add_nc_i16", [](i16 a, i16 b) { return i16(a + b); });
  check("v_sub_nc_i16", [](i16 a, i16 b) { return i16(a - b); });
  check("v_mul_lo_u16", [](u16 a, u16 b) { return u16(u64(a) * b % 65536); });
  check("v_mad_u16", [](u16 a, u16 b, u16 c) { return u16((u64(a) * b + c) % 65536); });
  check("v_mad_i16", [](i16 a, i16 b, i16 c) { return i16(i64(a) * b + c); });
  check("v_min_u16", [](u16 a, u16 b) { return std::min(a, b); });
  check("v_max_u16", [](u16 a, u16 b) { return std::max(a, b); });
  check("v_min_i16", [](i16 a, i16 b) { return std::min(a, b); });
  check("v_max_i16", [](i16 a, i16 b) { return std::max(a, b); });
  check("v_min3_u16", [](u16 a, u16 b, u16 c) { return std::min({a, b, c}); });
  check("v_max3_u16", [](u16 a, u16 b, u16 c) { return std::max({a, b, c}); });
  check("v_min3_i16", [](i16 a, i16 b, i16 c) { return std::min({a, b, c}); });
  check("v_max3_i16", [](i16 a, i16 b, i16 c) { return std::max({a, b, c}); });
  check("v_med3_u16", [](u16 a, u16 b, u16 c) {
    return u16(a + b + c - std::min({a, b, c}) - std::max({a, b, c}));
  });
  check("v_med3_i16", [](i16 a, i16 b, i16 c) {
    return i16(a + b + c - std::min({a, b, c}) - std::max({a, b, c}));
  });
  check("v_lshlrev_b16", [](u16 a, u16 b) { return u16(u32(b) << a % 16); });
  check("v_lshrrev_b16", [](u16 a, u16 b) { return u16(b / (1 << a % 16)); });
  check("v_ashrrev_i16", [](u16 a, i16 b) { return i16(std::floor(double(b) / (1 << a % 16))); });
  check("v_and_b16", [](u16 a, u16 b) { return u16(a & b); });
  check("v_or_b16", [](u16 a, u16 b) { return u16(a | b); });
  check("v_xor_b16", [](u16 a, u16 b) { return u16(a ^ b); });
  check("v_not_b16", [](u16 a) { return u16(65535 - a); });
  check("v_pack_b32_f16",
        [](Moved<u16> a, Moved<u16> b) { return u32(a.bits) + u32(b.bits) * 65536; });
}

TEST(VectorInteger, TakesUpperHalves) {
  TestWave test;
  test.wave.vgpr[1].fill(0x00050007);
  test.wave.vgpr[2].fill(0x00020003);
  test.wave.vgpr[3].fill(100);
  test.run(
      "v_mad_u32_u16 v4, v1, v2, v3 op_sel:[1,0,0,0]\nv_mad_u32_u16 v5, v1, v2, v3 "
      "op_sel:[0,1,0,0]\n"
      "v_pack_b32_f16 v6, v1, v2 op_sel:[1,0,0]");
  EXPECT_EQ(test.wave.vgpr[4][9], 115u);
  EXPECT_EQ(test.wave.vgpr[5][9], 114u);
  EXPECT_EQ(test.wave.vgpr[6][9], 0x00030005u);
}

TEST(VectorInteger, SwapsActiveLanes) {
  TestWave test;
  test.wave.vgpr[1].fill(1);
  test.wave.vgpr[2].fill(2);
  test.wave.sgpr[kExecLo] = 0xffff0000;
  test.run("v_swap_b32 v1, v2");
  EXPECT_EQ(test.wave.vgpr[1][15], 1u);
  EXPECT_EQ(test.wave.vgpr[2][15], 2u);
  EXPECT_EQ(test.wave.vgpr[1][16], 2u);
  EXPECT_EQ(test.wave.vgpr[2][16], 1u);
}

TEST(VectorInteger, WritesAnOperandItReads) {
  TestWave test;
  test.wave.vgpr[1].fill(3);
  test.wave.vgpr[2].fill(4);
  test.wave.vgpr[3].fill(1);
  test.run("v_add_nc_u32 v1, v1, v1\nv_lshlrev_b64 v[2:3], v2, v[2:3]");
  EXPECT_EQ(test.wave.vgpr[1][0], 6u);
  EXPECT_EQ(test.wave.vgpr[2][0], 64u);
  EXPECT_EQ(test.wave.vgpr[3][0], 16u);
}

}  // namespace
}  // namespace isotope::sim::vector_test
