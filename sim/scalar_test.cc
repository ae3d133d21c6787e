// Scalar integers against definitions bit by bit or in wider arithmetic.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "sim/testing.h"

namespace isotope::sim {
namespace {

using Wide = __int128;

struct Inputs {
  u64 a, b;  ///< the sources
  u64 d;     ///< what the result's registers hold before
  bool scc;
};
struct Outputs {
  u64 d;
  bool scc;
};

/// An instruction of one or two sources, each of one or two registers.
struct Row {
  const char* name;
  int d_words, a_words, b_words;  ///< b_words 0: one source
  Outputs (*expected)(const Inputs&);
};

bool bit(u64 value, u64 i) { return value >> i & 1; }
i64 s32(u64 value) {
  return value & 0x80000000u ? i64(value & 0xffffffffu) - 0x100000000 : i64(value & 0xffffffffu);
}
u64 low32(u64 value) { return value & 0xffffffffu; }

template <int kBits>
u64 count(u64 value, bool wanted) {
  u64 n = 0;
  for (u64 i = 0; i < kBits; ++i) n += bit(value, i) == wanted;
  return n;
}
/// Of the first bit, from the lowest, that is on; or from the highest.
template <int kBits>
u64 find(u64 value, bool from_highest) {
  for (u64 i = 0; i < kBits; ++i)
    if (bit(value, from_highest ? kBits - 1 - i : i)) return i;
  return 0xffffffffu;
}
template <int kBits>
u64 signs(u64 value) {
  for (u64 i = 1; i < kBits; ++i)
    if (bit(value, kBits - 1 - i) != bit(value, kBits - 1)) return i;
  return 0xffffffffu;
}
template <int kBits>
u64 mirror(u64 value) {
  u64 out = 0;
  for (u64 i = 0; i < kBits; ++i)
    if (bit(value, i)) out += u64(1) << (kBits - 1 - i);
  return out;
}
/// Bit by bit: bits above the value are copies of `above`.
template <int kBits>
u64 field(u64 value, u64 where, bool with_sign) {
  const u64 first = where % kBits, width = where >> 16 & 0x7f;
  u64 out = 0;
  bool last = false;
  for (u64 i = 0; i < kBits; ++i) {
    if (i < width)
      last = first + i < kBits ? bit(value, first + i) : with_sign && bit(value, kBits - 1);
    if (i < width || (with_sign && width > 0)) out |= u64(last) << i;
  }
  return out;
}
template <int kBits>
u64 shift_right(u64 value, u64 by, bool with_sign) {
  u64 out = 0;
  for (u64 i = 0; i < kBits; ++i) {
    const u64 from = i + by % kBits;
    if (from < kBits ? bit(value, from) : with_sign && bit(value, kBits - 1)) out |= u64(1) << i;
  }
  return out;
}
template <int kBits>
u64 shift_left(u64 value, u64 by) {
  u64 out = 0;
  for (u64 i = by % kBits; i < kBits; ++i)
    if (bit(value, i - by % kBits)) out |= u64(1) << i;
  return out;
}
template <int kBits>
u64 ones(u64 width, u64 first) {
  u64 out = 0;
  for (u64 i = 0; i < width % kBits; ++i)
    if (first % kBits + i < kBits) out |= u64(1) << (first % kBits + i);
  return out;
}
template <int kBits>
u64 quads(u64 value, bool whole) {
  u64 out = 0;
  for (u64 i = 0; i < kBits; ++i) {
    const bool any = bit(value, i / 4 * 4) || bit(value, i / 4 * 4 + 1) ||
                     bit(value, i / 4 * 4 + 2) || bit(value, i / 4 * 4 + 3);
    if (any && whole) out |= u64(1) << i;
    if (any && !whole) out |= u64(1) << i / 4;
  }
  return out;
}

Outputs flag32(u64 d) { return {low32(d), low32(d) != 0}; }
Outputs flag64(u64 d) { return {d, d != 0}; }
Outputs keep(u64 d, const Inputs& in) { return {d, in.scc}; }

// One row an instruction: the expression may name a, b (with as many bits as the row says), d, scc.
#define ROW(name, dw, aw, bw, ...)                             \
  Row {                                                        \
    name, dw, aw, bw, [](const Inputs& in) -> Outputs {        \
      [[maybe_unused]] const u64 a = in.a, b = in.b, d = in.d; \
      [[maybe_unused]] const bool scc = in.scc;                \
      return __VA_ARGS__;                                      \
    }                                                          \
  }

const std::vector<Row>& rows_of_bits() {
  static const std::vector<Row> rows = {
      ROW("s_mov_b32", 1, 1, 0, keep(a, in)),
      ROW("s_mov_b64", 2, 2, 0, keep(a, in)),
      ROW("s_cmov_b32", 1, 1, 0, keep(scc ? a : low32(d), in)),
      ROW("s_cmov_b64", 2, 2, 0, keep(scc ? a : d, in)),
      ROW("s_cselect_b32", 1, 1, 1, keep(scc ? a : b, in)),
      ROW("s_cselect_b64", 2, 2, 2, keep(scc ? a : b, in)),
      ROW("s_sext_i32_i8", 1, 1, 0, keep(low32((a & 0xff) - (a & 0x80) * 2), in)),
      ROW("s_sext_i32_i16", 1, 1, 0, keep(low32((a & 0xffff) - (a & 0x8000) * 2), in)),
      ROW("s_pack_ll_b32_b16", 1, 1, 1, keep(a % 65536 + b % 65536 * 65536, in)),
      ROW("s_pack_lh_b32_b16", 1, 1, 1, keep(a % 65536 + b / 65536 * 65536, in)),
      ROW("s_pack_hh_b32_b16", 1, 1, 1, keep(a / 65536 + b / 65536 * 65536, in)),
      ROW("s_pack_hl_b32_b16", 1, 1, 1, keep(a / 65536 + b % 65536 * 65536, in)),
      ROW("s_brev_b32", 1, 1, 0, keep(mirror<32>(a), in)),
      ROW("s_brev_b64", 2, 2, 0, keep(mirror<64>(a), in)),
      ROW("s_ctz_i32_b32", 1, 1, 0, keep(find<32>(a, false), in)),
      ROW("s_ctz_i32_b64", 1, 2, 0, keep(find<64>(a, false), in)),
      ROW("s_clz_i32_u32", 1, 1, 0, keep(find<32>(a, true), in)),
      ROW("s_clz_i32_u64", 1, 2, 0, keep(find<64>(a, true), in)),
      ROW("s_cls_i32", 1, 1, 0, keep(signs<32>(a), in)),
      ROW("s_cls_i32_i64", 1, 2, 0, keep(signs<64>(a), in)),
      ROW("s_bcnt0_i32_b32", 1, 1, 0, flag32(count<32>(a, false))),
      ROW("s_bcnt0_i32_b64", 1, 2, 0, flag32(count<64>(a, false))),
      ROW("s_bcnt1_i32_b32", 1, 1, 0, flag32(count<32>(a, true))),
      ROW("s_bcnt1_i32_b64", 1, 2, 0, flag32(count<64>(a, true))),
      ROW("s_quadmask_b32", 1, 1, 0, flag32(quads<32>(a, false))),
      ROW("s_quadmask_b64", 2, 2, 0, flag64(quads<64>(a, false))),
      ROW("s_wqm_b32", 1, 1, 0, flag32(quads<32>(a, true))),
      ROW("s_wqm_b64", 2, 2, 0, flag64(quads<64>(a, true))),
      ROW("s_bitset0_b32", 1, 1, 0,
          keep(bit(d, a % 32) ? low32(d) - (u64(1) << a % 32) : low32(d), in)),
      ROW("s_bitset1_b32", 1, 1, 0,
          keep(bit(d, a % 32) ? low32(d) : low32(d) + (u64(1) << a % 32), in)),
      ROW("s_bitset0_b64", 2, 1, 0, keep(bit(d, a % 64) ? d - (u64(1) << a % 64) : d, in)),
      ROW("s_bitset1_b64", 2, 1, 0, keep(bit(d, a % 64) ? d : d + (u64(1) << a % 64), in)),
      ROW("s_bfe_u32", 1, 1, 1, flag32(field<32>(a, b, false))),
      ROW("s_bfe_i32", 1, 1, 1, flag32(field<32>(a, b, true))),
      ROW("s_bfe_u64", 2, 2, 1, flag64(field<64>(a, b, false))),
      ROW("s_bfe_i64", 2, 2, 1, flag64(field<64>(a, b, true))),
      ROW("s_bfm_b32", 1, 1, 1, keep(ones<32>(a, b), in)),
      ROW("s_bfm_b64", 2, 1, 1, keep(ones<64>(a, b), in)),
      ROW("s_lshl_b32", 1, 1, 1, flag32(shift_left<32>(a, b))),
      ROW("s_lshl_b64", 2, 2, 1, flag64(shift_left<64>(a, b))),
      ROW("s_lshr_b32", 1, 1, 1, flag32(shift_right<32>(a, b, false))),
      ROW("s_lshr_b64", 2, 2, 1, flag64(shift_right<64>(a, b, false))),
      ROW("s_ashr_i32", 1, 1, 1, flag32(shift_right<32>(a, b, true))),
      ROW("s_ashr_i64", 2, 2, 1, flag64(shift_right<64>(a, b, true))),
  };
  return rows;
}

template <u64 (*kBit)(u64, u64)>
u64 bitwise(u64 a, u64 b) {
  u64 out = 0;
  for (u64 i = 0; i < 64; ++i) out |= (kBit(bit(a, i), bit(b, i)) & 1) << i;
  return out;
}
// Of one bit, by its truth table: the results for (a, b) = (0,0), (0,1), (1,0), (1,1), the first
// lowest.
template <u64 kTable>
u64 by_table(u64 a, u64 b) {
  return kTable >> (2 * a + b);
}
constexpr auto kAnd = bitwise<by_table<0b1000>>;
constexpr auto kOr = bitwise<by_table<0b1110>>;
constexpr auto kXor = bitwise<by_table<0b0110>>;
constexpr auto kNand = bitwise<by_table<0b0111>>;
constexpr auto kNor = bitwise<by_table<0b0001>>;
constexpr auto kXnor = bitwise<by_table<0b1001>>;
constexpr auto kAndNot = bitwise<by_table<0b0100>>;  // a & ~b
constexpr auto kOrNot = bitwise<by_table<0b1101>>;   // a | ~b
constexpr auto kNotAnd = bitwise<by_table<0b0010>>;  // ~a & b
constexpr auto kNotOr = bitwise<by_table<0b1011>>;   // ~a | b

const std::vector<Row>& rows_of_logic() {
  static const std::vector<Row> rows = {
      ROW("s_not_b32", 1, 1, 0, flag32(kNor(a, a))),
      ROW("s_not_b64", 2, 2, 0, flag64(kNor(a, a))),
      ROW("s_and_b32", 1, 1, 1, flag32(kAnd(a, b))),
      ROW("s_and_b64", 2, 2, 2, flag64(kAnd(a, b))),
      ROW("s_or_b32", 1, 1, 1, flag32(kOr(a, b))),
      ROW("s_or_b64", 2, 2, 2, flag64(kOr(a, b))),
      ROW("s_xor_b32", 1, 1, 1, flag32(kXor(a, b))),
      ROW("s_xor_b64", 2, 2, 2, flag64(kXor(a, b))),
      ROW("s_nand_b32", 1, 1, 1, flag32(kNand(a, b))),
      ROW("s_nand_b64", 2, 2, 2, flag64(kNand(a, b))),
      ROW("s_nor_b32", 1, 1, 1, flag32(kNor(a, b))),
      ROW("s_nor_b64", 2, 2, 2, flag64(kNor(a, b))),
      ROW("s_xnor_b32", 1, 1, 1, flag32(kXnor(a, b))),
      ROW("s_xnor_b64", 2, 2, 2, flag64(kXnor(a, b))),
      ROW("s_and_not1_b32", 1, 1, 1, flag32(kAndNot(a, b))),
      ROW("s_and_not1_b64", 2, 2, 2, flag64(kAndNot(a, b))),
      ROW("s_or_not1_b32", 1, 1, 1, flag32(kOrNot(a, b))),
      ROW("s_or_not1_b64", 2, 2, 2, flag64(kOrNot(a, b))),
  };
  return rows;
}

Outputs absolute(i64 value) { return flag32(u64(value < 0 ? -value : value)); }
Outputs carry(Wide value) { return {low32(u64(value)), value < 0 || value > 0xffffffff}; }
Outputs overflow(i64 value) {
  return {low32(u64(value)), value < -0x80000000LL || value > 0x7fffffff};
}

const std::vector<Row>& rows_of_arithmetic() {
  static const std::vector<Row> rows = {
      ROW("s_abs_i32", 1, 1, 0, absolute(s32(a))),
      ROW("s_absdiff_i32", 1, 1, 1, absolute(s32(u64(s32(a) - s32(b))))),
      ROW("s_add_co_u32", 1, 1, 1, carry(Wide(a) + b)),
      ROW("s_sub_co_u32", 1, 1, 1, carry(Wide(a) - Wide(b))),
      ROW("s_add_co_i32", 1, 1, 1, overflow(s32(a) + s32(b))),
      ROW("s_sub_co_i32", 1, 1, 1, overflow(s32(a) - s32(b))),
      ROW("s_add_co_ci_u32", 1, 1, 1, carry(Wide(a) + b + scc)),
      ROW("s_sub_co_ci_u32", 1, 1, 1, carry(Wide(a) - Wide(b) - scc)),
      ROW("s_mul_i32", 1, 1, 1, keep(low32(u64(s32(a) * s32(b))), in)),
      ROW("s_mul_hi_u32", 1, 1, 1, keep(low32(u64(Wide(a) * b / 0x100000000)), in)),
      ROW("s_mul_hi_i32", 1, 1, 1,
          keep(low32(u64((Wide(s32(a)) * s32(b) - low32(u64(s32(a) * s32(b)))) / 0x100000000)),
               in)),
      ROW("s_mul_u64", 2, 2, 2, keep(u64(Wide(a) * Wide(b)), in)),
      ROW("s_add_nc_u64", 2, 2, 2, keep(u64(Wide(a) + b), in)),
      ROW("s_sub_nc_u64", 2, 2, 2, keep(u64(Wide(a) - Wide(b)), in)),
      ROW("s_lshl1_add_u32", 1, 1, 1, carry(Wide(a) * 2 + b)),
      ROW("s_lshl2_add_u32", 1, 1, 1, carry(Wide(a) * 4 + b)),
      ROW("s_lshl3_add_u32", 1, 1, 1, carry(Wide(a) * 8 + b)),
      ROW("s_lshl4_add_u32", 1, 1, 1, carry(Wide(a) * 16 + b)),
      ROW("s_min_i32", 1, 1, 1, {s32(a) < s32(b) ? a : b, s32(a) < s32(b)}),
      ROW("s_min_u32", 1, 1, 1, {std::min(a, b), a < b}),
      ROW("s_max_i32", 1, 1, 1, {s32(a) < s32(b) ? b : a, s32(a) >= s32(b)}),
      ROW("s_max_u32", 1, 1, 1, {std::max(a, b), a >= b}),
  };
  return rows;
}

/// d_words 0: the result is SCC.
const std::vector<Row>& rows_of_compares() {
  static const std::vector<Row> rows = {
      ROW("s_cmp_eq_i32", 0, 1, 1, {0, a == b}),
      ROW("s_cmp_lg_i32", 0, 1, 1, {0, a != b}),
      ROW("s_cmp_gt_i32", 0, 1, 1, {0, s32(a) > s32(b)}),
      ROW("s_cmp_ge_i32", 0, 1, 1, {0, s32(a) >= s32(b)}),
      ROW("s_cmp_lt_i32", 0, 1, 1, {0, s32(a) < s32(b)}),
      ROW("s_cmp_le_i32", 0, 1, 1, {0, s32(a) <= s32(b)}),
      ROW("s_cmp_eq_u32", 0, 1, 1, {0, a == b}),
      ROW("s_cmp_lg_u32", 0, 1, 1, {0, a != b}),
      ROW("s_cmp_gt_u32", 0, 1, 1, {0, a > b}),
      ROW("s_cmp_ge_u32", 0, 1, 1, {0, a >= b}),
      ROW("s_cmp_lt_u32", 0, 1, 1, {0, a < b}),
      ROW("s_cmp_le_u32", 0, 1, 1, {0, a <= b}),
      ROW("s_cmp_eq_u64", 0, 2, 2, {0, a == b}),
      ROW("s_cmp_lg_u64", 0, 2, 2, {0, a != b}),
      ROW("s_bitcmp0_b32", 0, 1, 1, {0, !bit(a, b % 32)}),
      ROW("s_bitcmp1_b32", 0, 1, 1, {0, bit(a, b % 32)}),
      ROW("s_bitcmp0_b64", 0, 2, 1, {0, !bit(a, b % 64)}),
      ROW("s_bitcmp1_b64", 0, 2, 1, {0, bit(a, b % 64)}),
  };
  return rows;
}
#undef ROW

std::string registers(int first, int words) {
  return words == 1 ? fmt::format("s{}", first) : fmt::format("s[{}:{}]", first, first + words - 1);
}

/// Corners, and random values of which some have few bits.
std::vector<u64> values() {
  std::vector<u64> all = {0,
                          1,
                          2,
                          31,
                          32,
                          63,
                          64,
                          0x7f,
                          0x80,
                          0xff,
                          0x7fff,
                          0x8000,
                          0xffff,
                          0x7fffffff,
                          0x80000000,
                          0xffffffff,
                          0x100000000,
                          0x7fffffffffffffff,
                          0x8000000000000000,
                          0xffffffff00000000,
                          ~u64(0),
                          0x00200000,
                          0x00080018,
                          0x0020001f,
                          0x00400020,
                          0x007f0003,
                          0x0001003f,
                          0x5555555555555555};
  std::mt19937_64 random(7);
  for (int i = 0; i < 12; ++i) all.push_back(random() >> (random() % 64));
  for (int i = 0; i < 12; ++i) all.push_back(random());
  return all;
}

void check(TestWave& test, const Row& row, const std::string& line, u64 a, u64 b, bool scc) {
  constexpr u64 kBefore = 0x0123456789abcdef;
  const auto put = [&](int at, u64 value) {
    test.wave.sgpr[std::size_t(at)] = u32(value);
    test.wave.sgpr[std::size_t(at) + 1] = u32(value >> 32);
  };
  put(10, a);
  put(12, b);
  put(20, kBefore);
  test.wave.scc = scc;
  test.run(line);
  const Inputs in{row.a_words == 2 ? a : low32(a), row.b_words == 2 ? b : low32(b), kBefore, scc};
  const Outputs expected = row.expected(in);
  const u64 d = test.wave.sgpr[20] | u64(test.wave.sgpr[21]) << 32;
  const u64 kept = row.d_words == 2   ? expected.d
                   : row.d_words == 1 ? expected.d | (kBefore & ~u64(0xffffffff))
                                      : kBefore;
  ASSERT_EQ(d, kept) << row.name << fmt::format(" {:#x} {:#x} scc {}", in.a, in.b, scc);
  ASSERT_EQ(test.wave.scc, expected.scc)
      << row.name << fmt::format(" {:#x} {:#x} scc {}", in.a, in.b, scc);
}

void check_all(const std::vector<Row>& rows) {
  const std::vector<u64> all = values();
  for (const Row& row : rows) {
    TestWave test;
    std::string line = row.name;
    for (const auto& [first, words] :
         {std::pair(20, row.d_words), {10, row.a_words}, {12, row.b_words}})
      if (words) line += fmt::format("{} {}", line == row.name ? "" : ",", registers(first, words));
    for (const u64 a : all)
      for (const u64 b : row.b_words ? all : std::vector<u64>{0})
        for (const bool scc : {false, true}) {
          check(test, row, line, a, b, scc);
          if (testing::Test::HasFatalFailure()) return;
        }
  }
}

TEST(Scalar, Bits) { check_all(rows_of_bits()); }
TEST(Scalar, Logic) { check_all(rows_of_logic()); }
TEST(Scalar, Arithmetic) { check_all(rows_of_arithmetic()); }
TEST(Scalar, Compares) { check_all(rows_of_compares()); }

TEST(Scalar, BitsAreDoubled) {
  TestWave test;
  test.wave.sgpr[4] = 0x80000005;
  test.run("s_bitreplicate_b64_b32 s[2:3], s4");
  EXPECT_EQ(test.wave.sgpr[2], 0x33u);
  EXPECT_EQ(test.wave.sgpr[3], 0xc0000000u);
}

struct ExecRow {
  const char* name;
  u64 (*expected)(u64 a, u64 exec);
  bool writes_new;  ///< the result is the new mask, not the old one
};
constexpr ExecRow kExecRows[] = {
    {"s_and_saveexec", kAnd, false},         {"s_or_saveexec", kOr, false},
    {"s_xor_saveexec", kXor, false},         {"s_nand_saveexec", kNand, false},
    {"s_nor_saveexec", kNor, false},         {"s_xnor_saveexec", kXnor, false},
    {"s_and_not0_saveexec", kNotAnd, false}, {"s_or_not0_saveexec", kNotOr, false},
    {"s_and_not1_saveexec", kAndNot, false}, {"s_or_not1_saveexec", kOrNot, false},
    {"s_and_not0_wrexec", kNotAnd, true},    {"s_and_not1_wrexec", kAndNot, true},
};

TEST(Scalar, ExecutionMasksAreSavedAndMade) {
  for (const ExecRow& row : kExecRows)
    for (const int words : {1, 2})
      for (const u64 a : values())
        for (const u64 exec : {u64(0), u64(0xffff00ff), ~u64(0), u64(0x0f0f0f0f33333333), a}) {
          TestWave test;
          test.wave.sgpr[kExecLo] = u32(exec);
          test.wave.sgpr[kExecHi] = u32(exec >> 32);
          test.wave.sgpr[10] = u32(a);
          test.wave.sgpr[11] = u32(a >> 32);
          test.wave.sgpr[21] = 99;
          test.run(fmt::format("{}_b{} {}, {}", row.name, 32 * words, registers(20, words),
                               registers(10, words)));
          const u64 mask = words == 2 ? ~u64(0) : 0xffffffff;
          const u64 after = test.wave.sgpr[kExecLo] | u64(test.wave.sgpr[kExecHi]) << 32;
          const u64 wanted = (row.expected(a, exec) & mask) | (exec & ~mask);
          ASSERT_EQ(after, wanted) << row.name << words;
          ASSERT_EQ(test.wave.scc, (wanted & mask) != 0) << row.name << words;
          const u64 d = test.wave.sgpr[20] | u64(test.wave.sgpr[21]) << 32;
          ASSERT_EQ(d, ((row.writes_new ? wanted : exec) & mask) | (words == 2 ? 0 : u64(99) << 32))
              << row.name << words;
        }
}

TEST(Scalar, TheOldMaskWinsWhenItIsSavedToTheMask) {
  TestWave test;
  test.wave.sgpr[kExecLo] = 0xff;
  test.run("s_and_saveexec_b32 exec_lo, 0xf");
  EXPECT_EQ(test.wave.exec(), 0xffu);
  EXPECT_TRUE(test.wave.scc);
}

TEST(Scalar, ShortConstants) {
  TestWave test;
  auto& s = test.wave.sgpr;
  test.run("s_movk_i32 s0, 0x7fff\n s_movk_i32 s1, 0x8000\n s_movk_i32 s2, -3");
  EXPECT_EQ(s[0], 0x7fffu);
  EXPECT_EQ(s[1], 0xffff8000u);
  EXPECT_EQ(s[2], u32(-3));
  test.wave.scc = false;
  test.run("s_cmovk_i32 s0, 5");
  EXPECT_EQ(s[0], 0x7fffu);
  test.wave.scc = true;
  test.run("s_cmovk_i32 s0, -5");
  EXPECT_EQ(s[0], u32(-5));
  EXPECT_TRUE(test.wave.scc);
  test.run("s_mulk_i32 s0, -7");
  EXPECT_EQ(s[0], 35u);
  for (const u32 d : {0u, 5u, 0x7fffffffu, 0x80000000u, 0x7fff8001u, 0xffffffffu})
    for (const int k : {-32768, -1, 0, 1, 32767}) {
      s[3] = d;
      test.run(fmt::format("s_addk_co_i32 s3, {}", k));
      const i64 sum = s32(d) + k;
      EXPECT_EQ(s[3], u32(sum)) << d << " " << k;
      EXPECT_EQ(test.wave.scc, sum != s32(u64(sum))) << d << " " << k;
    }
}

TEST(Scalar, ConstantsOfEveryWidth) {
  TestWave test;
  auto& s = test.wave.sgpr;
  const auto pair = [&](std::size_t i) { return s[i] | u64(s[i + 1]) << 32; };
  test.run(
      "s_mov_b32 s0, -16\n s_mov_b32 s1, 64\n s_mov_b32 s2, 0xdeadbeef\n s_mov_b32 s3, 1.0\n "
      "s_mov_b32 s4, 0.15915494");
  EXPECT_EQ(s[0], u32(-16));
  EXPECT_EQ(s[1], 64u);
  EXPECT_EQ(s[2], 0xdeadbeefu);
  EXPECT_EQ(s[3], 0x3f800000u);
  EXPECT_EQ(s[4], 0x3e22f983u);
  // A literal of a 64-bit operand is extended with zeros, or with its sign where the operand has
  // one.
  test.run(
      "s_mov_b64 s[0:1], -16\n s_mov_b64 s[2:3], 0xdeadbeef\n s_ashr_i64 s[4:5], 0xdeadbeef, 4\n "
      "s_mov_b64 s[6:7], -4.0");
  EXPECT_EQ(pair(0), u64(-16));
  EXPECT_EQ(pair(2), 0xdeadbeefu);
  EXPECT_EQ(pair(4), 0xfffffffffdeadbeeu);
  EXPECT_EQ(pair(6), 0xc010000000000000u);
}

TEST(Scalar, RegistersThatHaveNames) {
  TestWave test;
  auto& s = test.wave.sgpr;
  test.run(
      "s_mov_b64 vcc, 0x1234\n s_mov_b32 m0, 7\n s_mov_b32 vcc_hi, m0\n s_mov_b64 exec, vcc\n "
      "s_mov_b32 ttmp3, exec_hi");
  EXPECT_EQ(test.wave.vcc(), 0x1234u);
  EXPECT_EQ(s[kVccHi], 7u);
  EXPECT_EQ(test.wave.exec(), 0x1234u);
  EXPECT_EQ(s[kExecHi], 7u);
  EXPECT_EQ(s[kTtmp + 3], 7u);
  const auto before = s;
  test.run("s_add_co_u32 null, s0, -1\n s_mov_b64 null, -1");
  EXPECT_EQ(s, before);
  s[5] = 3;
  test.run("s_add_co_u32 s5, s5, null");
  EXPECT_EQ(s[5], 3u);
}

TEST(Scalar, AResultMayLieOnItsSources) {
  TestWave test;
  auto& s = test.wave.sgpr;
  s[0] = 4, s[1] = 1;
  test.run("s_lshl_b64 s[0:1], s[0:1], s0");
  EXPECT_EQ(s[0], 0x40u);
  EXPECT_EQ(s[1], 0x10u);
  s[0] = 0x80000000u, s[1] = 1;
  test.run("s_mul_u64 s[0:1], s[0:1], s[0:1]");
  // (2^32 + 2^31)^2 = 2^64 + 2^64 + 2^62
  EXPECT_EQ(s[0], 0u);
  EXPECT_EQ(s[1], 0x40000000u);
}

TEST(Scalar, RegistersByIndex) {
  TestWave test;
  auto& s = test.wave.sgpr;
  for (u32 i = 0; i < 100; ++i) s[i] = 1000 + i;
  s[kM0] = 6;
  test.run(
      "s_movrels_b32 s0, s10\n s_movrels_b64 s[2:3], s[20:21]\n s_movreld_b32 s30, s50\n "
      "s_movreld_b64 s[40:41], s[60:61]");
  EXPECT_EQ(s[0], 1016u);
  EXPECT_EQ(s[2], 1026u);
  EXPECT_EQ(s[3], 1027u);
  EXPECT_EQ(s[36], 1050u);
  EXPECT_EQ(s[46], 1060u);
  EXPECT_EQ(s[47], 1061u);
  s[kM0] = 5 << 16 | 3;
  test.run("s_movrelsd_2_b32 s70, s80");
  EXPECT_EQ(s[75], 1083u);
  s[kM0] = 105;
  test.run("s_movrels_b32 s0, s0");
  EXPECT_THROW(test.run("s_movrels_b32 s0, s1"), Fault);
  EXPECT_THROW(test.run("s_movreld_b64 s[0:1], s[2:3]"), Fault);
}

template <typename T>
u32 loaded(TestWave& test, std::string_view name, const T* at) {
  test.wave.sgpr[2] = u32(u64(at));
  test.wave.sgpr[3] = u32(u64(at) >> 32);
  test.run(fmt::format("{} s5, s[2:3], 0x0", name));
  return test.wave.sgpr[5];
}

TEST(ScalarMemory, Loads) {
  TestWave test;
  auto& s = test.wave.sgpr;
  alignas(64) std::array<u32, 32> words;
  for (u32 i = 0; i < 32; ++i) words[i] = 0x81828384u + i * 0x01010101u;
  test.memory.add(words.data(), sizeof(words), "words", false);
  for (const int count : {1, 2, 3, 4, 8, 16}) {
    s.fill(0);
    s[2] = u32(u64(words.data()) + 40);
    s[3] = u32(u64(words.data()) >> 32);
    s[4] = 12;
    // 40 - 16 + 12 is word 9.
    test.run(fmt::format("s_load_b{} {}, s[2:3], s4 offset:-16", 32 * count, registers(20, count)));
    for (int i = 0; i < 20; ++i)
      EXPECT_EQ(s[20 + std::size_t(i)], i < count ? words[9 + std::size_t(i)] : 0)
          << count << " " << i;
  }
  s[2] = u32(u64(words.data()));
  test.run("s_load_b64 s[2:3], s[2:3], 0x8");
  EXPECT_EQ(s[2], words[2]);
  EXPECT_EQ(s[3], words[3]);
  EXPECT_EQ(test.counters.instructions[std::size_t(Class::smem)], 7u);
}

TEST(ScalarMemory, ShortLoads) {
  TestWave test;
  const u8 bytes[4] = {0x7f, 0x80, 0x34, 0x92};
  test.memory.add(bytes, sizeof(bytes), "bytes", false);
  EXPECT_EQ(loaded(test, "s_load_u8", bytes + 1), 0x80u);
  EXPECT_EQ(loaded(test, "s_load_i8", bytes + 1), 0xffffff80u);
  EXPECT_EQ(loaded(test, "s_load_i8", bytes), 0x7fu);
  EXPECT_EQ(loaded(test, "s_load_u16", bytes + 2), 0x9234u);
  EXPECT_EQ(loaded(test, "s_load_i16", bytes + 2), 0xffff9234u);
  EXPECT_THROW(loaded(test, "s_load_u16", bytes + 1), Fault);
  EXPECT_THROW(loaded(test, "s_load_b32", bytes + 4), Fault);
  EXPECT_THROW(loaded(test, "s_load_u8", bytes + 4), Fault);
}

TEST(ScalarMemory, LoadsOfWordsMustBeAligned) {
  TestWave test;
  const std::array<u32, 3> words{};
  test.memory.add(words.data(), sizeof(words), "words", false);
  EXPECT_THROW(loaded(test, "s_load_b32", reinterpret_cast<const u8*>(words.data()) + 2), Fault);
}

TEST(ScalarMemory, PrefetchesTouchNothing) {
  TestWave test;
  const auto before = test.wave.sgpr;
  test.run(
      "s_prefetch_data s[2:3], 0x10, s4, 7\n s_prefetch_data_pc_rel 0x10, s4, 7\n s_prefetch_inst "
      "s[2:3], 0x10, s4, 7\n"
      "s_prefetch_inst_pc_rel 0x10, s4, 7");
  EXPECT_EQ(test.wave.sgpr, before);
}

}  // namespace
}  // namespace isotope::sim
