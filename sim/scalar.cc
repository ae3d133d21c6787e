// Integers and masks in scalar registers: SOP1, SOP2, SOPK, SOPC.
#include <utility>

#include "sim/lanes.h"

namespace isotope::sim {
namespace {

u64 source(const Wave& wave, const Instruction& in, std::size_t i) {
  return scalar_value(wave, in.operands[i]);
}
void result(Wave& wave, const Instruction& in, u64 value) {
  set_scalar(wave, in.operands[0], value);
}

// kOperation is a function of the sources, of the widths that it names.

/// d = f(a); SCC stays.
template <auto kOperation>
void unary(Wave& wave, const Instruction& in) {
  result(wave, in, kOperation(source(wave, in, 1)));
}
/// d = f(a); SCC = d is not 0.
template <auto kOperation>
void unary_flag(Wave& wave, const Instruction& in) {
  const auto value = kOperation(source(wave, in, 1));
  result(wave, in, u64(value));
  wave.scc = value != 0;
}
template <auto kOperation>
void binary(Wave& wave, const Instruction& in) {
  result(wave, in, kOperation(source(wave, in, 1), source(wave, in, 2)));
}
template <auto kOperation>
void binary_flag(Wave& wave, const Instruction& in) {
  const auto value = kOperation(source(wave, in, 1), source(wave, in, 2));
  result(wave, in, u64(value));
  wave.scc = value != 0;
}
/// f reads and writes SCC itself.
template <auto kOperation>
void binary_carry(Wave& wave, const Instruction& in) {
  bool scc = wave.scc;
  result(wave, in, kOperation(source(wave, in, 1), source(wave, in, 2), scc));
  wave.scc = scc;
}
/// d = f(d, a)
template <auto kOperation>
void update(Wave& wave, const Instruction& in) {
  result(wave, in, kOperation(source(wave, in, 0), source(wave, in, 1)));
}
template <auto kOperation>
void update_carry(Wave& wave, const Instruction& in) {
  bool scc = wave.scc;
  result(wave, in, kOperation(source(wave, in, 0), source(wave, in, 1), scc));
  wave.scc = scc;
}
template <auto kOperation>
void compare(Wave& wave, const Instruction& in) {
  wave.scc = kOperation(source(wave, in, 0), source(wave, in, 1));
}

u64 exec_of(const Wave& wave, int words) {
  return words == 2 ? u64(wave.sgpr[kExecHi]) << 32 | wave.sgpr[kExecLo] : wave.sgpr[kExecLo];
}
void set_exec(Wave& wave, int words, u64 value) {
  wave.sgpr[kExecLo] = u32(value);
  if (words == 2) wave.sgpr[kExecHi] = u32(value >> 32);
}

/// EXEC = f(a, EXEC), d = the EXEC that was.
template <auto kOperation, int kWords>
void save_exec(Wave& wave, const Instruction& in) {
  const u64 before = exec_of(wave, kWords), value = source(wave, in, 1);
  set_exec(wave, kWords, kOperation(value, before));
  wave.scc = exec_of(wave, kWords) != 0;
  result(wave, in, before);
}
/// EXEC = f(a, EXEC), d = the EXEC that is.
template <auto kOperation, int kWords>
void write_exec(Wave& wave, const Instruction& in) {
  set_exec(wave, kWords, kOperation(source(wave, in, 1), exec_of(wave, kWords)));
  wave.scc = exec_of(wave, kWords) != 0;
  result(wave, in, exec_of(wave, kWords));
}

template <typename T>
T min_flag(T a, T b, bool& scc) {
  scc = a < b;
  return scc ? a : b;
}
template <typename T>
T max_flag(T a, T b, bool& scc) {
  scc = a >= b;
  return scc ? a : b;
}

u32 add_signed(u32 a, u32 b, bool& scc) {
  const u32 sum = a + b;
  scc = (~(a ^ b) & (a ^ sum)) >> 31;
  return sum;
}

template <int kShift>
u32 shift_add(u32 a, u32 b, bool& scc) {
  const u64 sum = (u64(a) << kShift) + b;
  scc = sum >> 32 != 0;
  return u32(sum);
}

/// `field`: the first bit below, the number of bits from bit 16.
template <typename T>
T extract(T value, u32 field) {
  constexpr u32 kBits = sizeof(T) * 8;
  using Unsigned = std::make_unsigned_t<T>;
  const u32 width = field >> 16 & 0x7f;
  if (width == 0) return 0;
  value >>= field & (kBits - 1);
  if (width >= kBits) return value;
  return T(Unsigned(value) << (kBits - width)) >> (kBits - width);
}

/// The first `number` places differing from `bit` are passed over.
int first_set(u64 value) { return value ? std::countr_zero(value) : -1; }
int leading_signs(u64 value, int bits) {
  const u64 differs =
      bits == 32 ? u64(u32(i32(value) ^ i32(value) >> 31)) : u64(i64(value) ^ i64(value) >> 63);
  return differs ? std::countl_zero(differs) - (64 - bits) : -1;
}
u64 reversed(u64 value, int bits) {
  u64 out = 0;
  for (int i = 0; i < bits; ++i) out |= (value >> i & 1) << (bits - 1 - i);
  return out;
}

u64 quads_of(u64 value, int bits) {
  u64 out = 0;
  for (int i = 0; i < bits / 4; ++i) out |= u64((value >> (4 * i) & 0xf) != 0) << i;
  return out;
}
u64 whole_quads(u64 value, int bits) {
  u64 out = 0;
  for (int i = 0; i < bits; i += 4)
    if (value >> i & 0xf) out |= u64(0xf) << i;
  return out;
}
u64 doubled_bits(u32 value) {
  u64 out = 0;
  for (int i = 0; i < 32; ++i) out |= u64(value >> i & 1) * 3 << (2 * i);
  return out;
}

/// The register `distance` behind an operand's.
Operand relative(const Operand& operand, u32 distance) {
  Operand moved = operand;
  const u64 index = u64(operand.index) + distance;
  if (operand.kind != Operand::sgpr || index + operand.words > kVccLo)
    throw Fault("a scalar register beyond the last");
  moved.index = u16(index);
  return moved;
}
void move_relative_source(Wave& wave, const Instruction& in) {
  result(wave, in, scalar_value(wave, relative(in.operands[1], wave.sgpr[kM0])));
}
void move_relative_target(Wave& wave, const Instruction& in) {
  set_scalar(wave, relative(in.operands[0], wave.sgpr[kM0]), source(wave, in, 1));
}
void move_relative_both(Wave& wave, const Instruction& in) {
  const u32 m0 = wave.sgpr[kM0];
  const u64 value = scalar_value(wave, relative(in.operands[1], m0 & 0x3ff));
  set_scalar(wave, relative(in.operands[0], m0 >> 16 & 0x3ff), value);
}

void select(Wave& wave, const Instruction& in) {
  result(wave, in, source(wave, in, wave.scc ? 1 : 2));
}
void conditional_move(Wave& wave, const Instruction& in) {
  if (wave.scc) result(wave, in, source(wave, in, 1));
}
void conditional_move_short(Wave& wave, const Instruction& in) {
  if (wave.scc) result(wave, in, u32(i16(source(wave, in, 1))));
}

constexpr auto kAnd = [](u64 a, u64 b) { return a & b; };
constexpr auto kOr = [](u64 a, u64 b) { return a | b; };
constexpr auto kXor = [](u64 a, u64 b) { return a ^ b; };
constexpr auto kNand = [](u64 a, u64 b) { return ~(a & b); };
constexpr auto kNor = [](u64 a, u64 b) { return ~(a | b); };
constexpr auto kXnor = [](u64 a, u64 b) { return ~(a ^ b); };
constexpr auto kAndNot = [](u64 a, u64 b) { return a & ~b; };
constexpr auto kOrNot = [](u64 a, u64 b) { return a | ~b; };
constexpr auto kNotAnd = [](u64 a, u64 b) { return ~a & b; };
constexpr auto kNotOr = [](u64 a, u64 b) { return ~a | b; };

/// As a function of 32 bits.
template <auto kOperation>
constexpr auto kNarrow = [](u32 a, u32 b) { return u32(kOperation(a, b)); };

struct Adder {
  Opcodes& opcodes;
  void b32(std::string_view name, Handler run) const { opcodes.add(name, run, Class::salu); }
  void b64(std::string_view name, Handler run) const {
    opcodes.add(name, run, Class::salu, {Type::b64});
  }
  /// The second source has 32 bits.
  void b64_b32(std::string_view name, Handler run, Type type = Type::b64) const {
    opcodes.add(name, run, Class::salu, {type, type, Type::b32});
  }
};

template <auto kOperation>
void add_logic(const Adder& add, std::string_view b32, std::string_view b64) {
  add.b32(b32, binary_flag<kNarrow<kOperation>>);
  add.b64(b64, binary_flag<kOperation>);
}
template <auto kOperation>
void add_save_exec(const Adder& add, std::string_view b32, std::string_view b64) {
  add.b32(b32, save_exec<kOperation, 1>);
  add.b64(b64, save_exec<kOperation, 2>);
}

void add_moves(const Adder& add) {
  add.b32("s_mov_b32", unary<([](u32 a) { return a; })>);
  add.b64("s_mov_b64", unary<([](u64 a) { return a; })>);
  add.b32("s_movk_i32", unary<([](u32 a) { return u32(i16(a)); })>);
  add.b32("s_cmov_b32", conditional_move);
  add.b64("s_cmov_b64", conditional_move);
  add.b32("s_cmovk_i32", conditional_move_short);
  add.b32("s_cselect_b32", select);
  add.b64("s_cselect_b64", select);
  add.b32("s_movrels_b32", move_relative_source);
  add.b64("s_movrels_b64", move_relative_source);
  add.b32("s_movreld_b32", move_relative_target);
  add.b64("s_movreld_b64", move_relative_target);
  add.b32("s_movrelsd_2_b32", move_relative_both);
  add.b32("s_sext_i32_i8", unary<([](u32 a) { return u32(i32(std::int8_t(a))); })>);
  add.b32("s_sext_i32_i16", unary<([](u32 a) { return u32(i16(a)); })>);
  add.b32("s_pack_ll_b32_b16", binary<([](u32 a, u32 b) { return (a & 0xffff) | b << 16; })>);
  add.b32("s_pack_lh_b32_b16",
          binary<([](u32 a, u32 b) { return (a & 0xffff) | (b & 0xffff0000u); })>);
  add.b32("s_pack_hh_b32_b16", binary<([](u32 a, u32 b) { return a >> 16 | (b & 0xffff0000u); })>);
  add.b32("s_pack_hl_b32_b16", binary<([](u32 a, u32 b) { return a >> 16 | b << 16; })>);
}

void add_bits(const Adder& add) {
  add.b32("s_brev_b32", unary<([](u32 a) { return reversed(a, 32); })>);
  add.b64("s_brev_b64", unary<([](u64 a) { return reversed(a, 64); })>);
  add.b32("s_ctz_i32_b32", unary<([](u32 a) { return u32(first_set(a)); })>);
  add.b64("s_ctz_i32_b64", unary<([](u64 a) { return u32(first_set(a)); })>);
  add.b32("s_clz_i32_u32", unary<([](u32 a) { return u32(a ? std::countl_zero(a) : -1); })>);
  add.b64("s_clz_i32_u64", unary<([](u64 a) { return u32(a ? std::countl_zero(a) : -1); })>);
  add.b32("s_cls_i32", unary<([](u32 a) { return u32(leading_signs(a, 32)); })>);
  add.b64("s_cls_i32_i64", unary<([](u64 a) { return u32(leading_signs(a, 64)); })>);
  add.b32("s_bcnt0_i32_b32", unary_flag<([](u32 a) { return std::popcount(~a); })>);
  add.b64("s_bcnt0_i32_b64", unary_flag<([](u64 a) { return std::popcount(~a); })>);
  add.b32("s_bcnt1_i32_b32", unary_flag<([](u32 a) { return std::popcount(a); })>);
  add.b64("s_bcnt1_i32_b64", unary_flag<([](u64 a) { return std::popcount(a); })>);
  add.b32("s_quadmask_b32", unary_flag<([](u32 a) { return quads_of(a, 32); })>);
  add.b64("s_quadmask_b64", unary_flag<([](u64 a) { return quads_of(a, 64); })>);
  add.b32("s_wqm_b32", unary_flag<([](u32 a) { return whole_quads(a, 32); })>);
  add.b64("s_wqm_b64", unary_flag<([](u64 a) { return whole_quads(a, 64); })>);
  add.b32("s_bitreplicate_b64_b32", unary<([](u32 a) { return doubled_bits(a); })>);
  add.b32("s_not_b32", unary_flag<([](u32 a) { return ~a; })>);
  add.b64("s_not_b64", unary_flag<([](u64 a) { return ~a; })>);
  add.b32("s_bitset0_b32", update<([](u32 d, u32 a) { return d & ~(1u << (a & 31)); })>);
  add.b32("s_bitset1_b32", update<([](u32 d, u32 a) { return d | 1u << (a & 31); })>);
  add.opcodes.add("s_bitset0_b64", update<([](u64 d, u32 a) { return d & ~(u64(1) << (a & 63)); })>,
                  Class::salu);
  add.opcodes.add("s_bitset1_b64", update<([](u64 d, u32 a) { return d | u64(1) << (a & 63); })>,
                  Class::salu);
  add.b32("s_bfe_u32", binary_flag<([](u32 a, u32 b) { return extract<u32>(a, b); })>);
  add.b32("s_bfe_i32", binary_flag<([](u32 a, u32 b) { return u32(extract<i32>(i32(a), b)); })>);
  add.b64_b32("s_bfe_u64", binary_flag<([](u64 a, u32 b) { return extract<u64>(a, b); })>);
  add.b64_b32("s_bfe_i64", binary_flag<([](u64 a, u32 b) { return u64(extract<i64>(i64(a), b)); })>,
              Type::i64);
  add.b32("s_bfm_b32", binary<([](u32 a, u32 b) { return ((1u << (a & 31)) - 1) << (b & 31); })>);
  add.b32("s_bfm_b64",
          binary<([](u32 a, u32 b) { return ((u64(1) << (a & 63)) - 1) << (b & 63); })>);
  add.b32("s_lshl_b32", binary_flag<([](u32 a, u32 b) { return a << (b & 31); })>);
  add.b64_b32("s_lshl_b64", binary_flag<([](u64 a, u32 b) { return a << (b & 63); })>);
  add.b32("s_lshr_b32", binary_flag<([](u32 a, u32 b) { return a >> (b & 31); })>);
  add.b64_b32("s_lshr_b64", binary_flag<([](u64 a, u32 b) { return a >> (b & 63); })>);
  add.b32("s_ashr_i32", binary_flag<([](u32 a, u32 b) { return u32(i32(a) >> (b & 31)); })>);
  add.b64_b32("s_ashr_i64", binary_flag<([](u64 a, u32 b) { return u64(i64(a) >> (b & 63)); })>,
              Type::i64);
}

void add_all_logic(const Adder& add) {
  add_logic<kAnd>(add, "s_and_b32", "s_and_b64");
  add_logic<kOr>(add, "s_or_b32", "s_or_b64");
  add_logic<kXor>(add, "s_xor_b32", "s_xor_b64");
  add_logic<kNand>(add, "s_nand_b32", "s_nand_b64");
  add_logic<kNor>(add, "s_nor_b32", "s_nor_b64");
  add_logic<kXnor>(add, "s_xnor_b32", "s_xnor_b64");
  add_logic<kAndNot>(add, "s_and_not1_b32", "s_and_not1_b64");
  add_logic<kOrNot>(add, "s_or_not1_b32", "s_or_not1_b64");
  add_save_exec<kAnd>(add, "s_and_saveexec_b32", "s_and_saveexec_b64");
  add_save_exec<kOr>(add, "s_or_saveexec_b32", "s_or_saveexec_b64");
  add_save_exec<kXor>(add, "s_xor_saveexec_b32", "s_xor_saveexec_b64");
  add_save_exec<kNand>(add, "s_nand_saveexec_b32", "s_nand_saveexec_b64");
  add_save_exec<kNor>(add, "s_nor_saveexec_b32", "s_nor_saveexec_b64");
  add_save_exec<kXnor>(add, "s_xnor_saveexec_b32", "s_xnor_saveexec_b64");
  add_save_exec<kNotAnd>(add, "s_and_not0_saveexec_b32", "s_and_not0_saveexec_b64");
  add_save_exec<kNotOr>(add, "s_or_not0_saveexec_b32", "s_or_not0_saveexec_b64");
  add_save_exec<kAndNot>(add, "s_and_not1_saveexec_b32", "s_and_not1_saveexec_b64");
  add_save_exec<kOrNot>(add, "s_or_not1_saveexec_b32", "s_or_not1_saveexec_b64");
  add.b32("s_and_not0_wrexec_b32", write_exec<kNotAnd, 1>);
  add.b64("s_and_not0_wrexec_b64", write_exec<kNotAnd, 2>);
  add.b32("s_and_not1_wrexec_b32", write_exec<kAndNot, 1>);
  add.b64("s_and_not1_wrexec_b64", write_exec<kAndNot, 2>);
}

void add_arithmetic(const Adder& add) {
  add.b32("s_abs_i32", unary_flag<([](u32 a) { return i32(a) < 0 ? 0 - a : a; })>);
  add.b32("s_absdiff_i32",
          binary_flag<([](u32 a, u32 b) { return i32(a - b) < 0 ? b - a : a - b; })>);
  add.b32("s_add_co_u32",
          binary_carry<([](u32 a, u32 b, bool& scc) { return scc = a + b < a, a + b; })>);
  add.b32("s_sub_co_u32",
          binary_carry<([](u32 a, u32 b, bool& scc) { return scc = b > a, a - b; })>);
  add.b32("s_add_co_i32", binary_carry<add_signed>);
  add.b32("s_sub_co_i32", binary_carry<([](u32 a, u32 b, bool& scc) {
            return scc = ((a ^ b) & (a ^ (a - b))) >> 31, a - b;
          })>);
  add.b32("s_add_co_ci_u32", binary_carry<([](u32 a, u32 b, bool& scc) {
            const u64 sum = u64(a) + b + scc;
            return scc = sum >> 32 != 0, u32(sum);
          })>);
  add.b32("s_sub_co_ci_u32", binary_carry<([](u32 a, u32 b, bool& scc) {
            const u64 less = u64(b) + scc;
            return scc = less > a, u32(a - less);
          })>);
  add.b32("s_addk_co_i32",
          update_carry<([](u32 d, u32 a, bool& scc) { return add_signed(d, u32(i16(a)), scc); })>);
  add.b32("s_mulk_i32", update<([](u32 d, u32 a) { return d * u32(i16(a)); })>);
  add.b32("s_mul_i32", binary<([](u32 a, u32 b) { return a * b; })>);
  add.b32("s_mul_hi_u32", binary<([](u32 a, u32 b) { return u64(a) * b >> 32; })>);
  add.b32("s_mul_hi_i32", binary<([](u32 a, u32 b) { return u64(i64(i32(a)) * i32(b)) >> 32; })>);
  add.b64("s_mul_u64", binary<([](u64 a, u64 b) { return a * b; })>);
  add.b64("s_add_nc_u64", binary<([](u64 a, u64 b) { return a + b; })>);
  add.b64("s_sub_nc_u64", binary<([](u64 a, u64 b) { return a - b; })>);
  add.b32("s_lshl1_add_u32", binary_carry<shift_add<1>>);
  add.b32("s_lshl2_add_u32", binary_carry<shift_add<2>>);
  add.b32("s_lshl3_add_u32", binary_carry<shift_add<3>>);
  add.b32("s_lshl4_add_u32", binary_carry<shift_add<4>>);
  add.b32(
      "s_min_i32",
      binary_carry<([](u32 a, u32 b, bool& scc) { return u32(min_flag(i32(a), i32(b), scc)); })>);
  add.b32("s_min_u32", binary_carry<min_flag<u32>>);
  add.b32(
      "s_max_i32",
      binary_carry<([](u32 a, u32 b, bool& scc) { return u32(max_flag(i32(a), i32(b), scc)); })>);
  add.b32("s_max_u32", binary_carry<max_flag<u32>>);
}

void add_compares(const Adder& add) {
  add.b32("s_cmp_eq_i32", compare<([](u32 a, u32 b) { return a == b; })>);
  add.b32("s_cmp_lg_i32", compare<([](u32 a, u32 b) { return a != b; })>);
  add.b32("s_cmp_gt_i32", compare<([](u32 a, u32 b) { return i32(a) > i32(b); })>);
  add.b32("s_cmp_ge_i32", compare<([](u32 a, u32 b) { return i32(a) >= i32(b); })>);
  add.b32("s_cmp_lt_i32", compare<([](u32 a, u32 b) { return i32(a) < i32(b); })>);
  add.b32("s_cmp_le_i32", compare<([](u32 a, u32 b) { return i32(a) <= i32(b); })>);
  add.b32("s_cmp_eq_u32", compare<([](u32 a, u32 b) { return a == b; })>);
  add.b32("s_cmp_lg_u32", compare<([](u32 a, u32 b) { return a != b; })>);
  add.b32("s_cmp_gt_u32", compare<([](u32 a, u32 b) { return a > b; })>);
  add.b32("s_cmp_ge_u32", compare<([](u32 a, u32 b) { return a >= b; })>);
  add.b32("s_cmp_lt_u32", compare<([](u32 a, u32 b) { return a < b; })>);
  add.b32("s_cmp_le_u32", compare<([](u32 a, u32 b) { return a <= b; })>);
  add.b64("s_cmp_eq_u64", compare<([](u64 a, u64 b) { return a == b; })>);
  add.b64("s_cmp_lg_u64", compare<([](u64 a, u64 b) { return a != b; })>);
  add.b32("s_bitcmp0_b32", compare<([](u32 a, u32 b) { return (a >> (b & 31) & 1) == 0; })>);
  add.b32("s_bitcmp1_b32", compare<([](u32 a, u32 b) { return (a >> (b & 31) & 1) == 1; })>);
  for (const auto& [name, run] :
       {std::pair<std::string_view, Handler>{
            "s_bitcmp0_b64", compare<([](u64 a, u32 b) { return (a >> (b & 63) & 1) == 0; })>},
        {"s_bitcmp1_b64", compare<([](u64 a, u32 b) { return (a >> (b & 63) & 1) == 1; })>}})
    add.opcodes.add(name, run, Class::salu, {Type::b64, Type::b32});
}

}  // namespace

void add_scalar(Opcodes& opcodes) {
  const Adder add{opcodes};
  add_moves(add);
  add_bits(add);
  add_all_logic(add);
  add_arithmetic(add);
  add_compares(add);
}

}  // namespace isotope::sim
