// Between lanes: DPP, permutations, lanes as scalars.
#include <iterator>

#include "sim/lanes.h"

namespace isotope::sim {
namespace {

constexpr int kRow = 16;
constexpr int kNoLane = -1;

/// The lane that `lane` reads from, if there is one.
inline int source_lane(LaneMove::Kind kind, const LaneMove& move, int lane) {
  const int row = lane & ~(kRow - 1), place = lane & (kRow - 1), amount = move.amount;
  switch (kind) {
    case LaneMove::quad_perm:
      return (lane & ~3) + (move.select[std::size_t(lane & 3)] & 3);
    case LaneMove::dpp8:
      return (lane & ~7) + move.select[std::size_t(lane & 7)];
    case LaneMove::row_shl:
      return place + amount < kRow ? lane + amount : kNoLane;
    case LaneMove::row_shr:
      return place >= amount ? lane - amount : kNoLane;
    case LaneMove::row_ror:
      return row + ((place + kRow - amount) & (kRow - 1));
    case LaneMove::row_mirror:
      return row + (kRow - 1 - place);
    case LaneMove::row_half_mirror:
      return lane ^ 7;
    case LaneMove::row_share:
      return row + amount;
    case LaneMove::row_xmask:
      return row + (place ^ amount);
    case LaneMove::none:
      break;
  }
  return lane;
}

/// All but those of a row that a shift takes theirs from outside.
constexpr u32 lanes_with_source(LaneMove::Kind kind, u32 amount) {
  if (kind == LaneMove::row_shl) return (0xffffu >> amount) * 0x10001u;
  if (kind == LaneMove::row_shr) return (0xffffu << amount & 0xffffu) * 0x10001u;
  return ~0u;
}

/// Moves what may be read, else 0. Returns which lanes have got something. For each kind its own
/// loops, without the switch; most often all lanes are on and have a source.
template <LaneMove::Kind kKind>
u32 gather(const LaneMove& move, const u32* source, u32 readable, Lanes& moved) {
  for (int lane = 0; lane < kLanes; ++lane)
    moved[std::size_t(lane)] = source[source_lane(kKind, move, lane) & (kLanes - 1)];
  const u32 sources = lanes_with_source(kKind, move.amount);
  if ((readable & sources) == ~0u) return ~0u;
  u32 got = sources;
  if (readable != ~0u) {
    got = 0;
    for (int lane = 0; lane < kLanes; ++lane)
      got |= (readable >> (source_lane(kKind, move, lane) & (kLanes - 1)) & 1) << lane;
    got &= sources;
  }
  for (std::size_t lane = 0; lane < kLanes; ++lane) moved[lane] &= 0 - (got >> lane & 1);
  return got;
}
using Gather = u32 (*)(const LaneMove&, const u32*, u32, Lanes&);
constexpr Gather kGathers[] = {
    gather<LaneMove::none>,
    gather<LaneMove::quad_perm>,
    gather<LaneMove::row_shl>,
    gather<LaneMove::row_shr>,
    gather<LaneMove::row_ror>,
    gather<LaneMove::row_mirror>,
    gather<LaneMove::row_half_mirror>,
    gather<LaneMove::row_share>,
    gather<LaneMove::row_xmask>,
    gather<LaneMove::dpp8>,
};
static_assert(std::size(kGathers) == LaneMove::dpp8 + 1);

/// The lanes that the masks of rows and of banks (four lanes of each row) let be written.
u32 chosen_lanes(const LaneMove& move) {
  u32 banks = 0, rows = 0;
  for (int bank = 0; bank < 4; ++bank)
    banks |= (move.bank_mask >> bank & 1) * (0x000f000fu << 4 * bank);
  for (int row = 0; row < 2; ++row) rows |= (move.row_mask >> row & 1) * (0xffffu << kRow * row);
  return banks & rows;
}

const u32* words_of(const Wave& wave, const Instruction& in, std::size_t i, Lanes& buffer) {
  return lane_words(wave, in.operands[i], 0, buffer);
}
/// What a lane of an operand holds. Scalars are the same in every lane.
u32 word_of_lane(const Wave& wave, const Operand& operand, u32 lane) {
  if (operand.kind == Operand::vgpr) return wave.vgpr[operand.index][lane];
  return u32(scalar_value(wave, operand));
}

void read_first_lane(Wave& wave, const Instruction& in) {
  const u32 lane = wave.exec() ? u32(std::countr_zero(wave.exec())) : 0;
  set_scalar(wave, in.operands[0], word_of_lane(wave, in.operands[1], lane));
}
void read_lane(Wave& wave, const Instruction& in) {
  const u32 lane = u32(scalar_value(wave, in.operands[2])) & (kLanes - 1);
  set_scalar(wave, in.operands[0], word_of_lane(wave, in.operands[1], lane));
}
void write_lane(Wave& wave, const Instruction& in) {
  const u32 lane = u32(scalar_value(wave, in.operands[2])) & (kLanes - 1);
  wave.vgpr[in.operands[0].index][lane] = u32(scalar_value(wave, in.operands[1]));
}

/// op_sel: bit 0 reads lanes that are off too; else bit 1 makes theirs 0 instead of leaving the
/// reader alone.
void write_permuted(Wave& wave, const Instruction& in, const std::array<int, kLanes>& from) {
  Lanes buffer;
  const u32* source = words_of(wave, in, 1, buffer);
  const u32 exec = wave.exec(), readable = in.op_sel & 1 ? ~0u : exec;
  const u32 kept = in.op_sel & 2 ? 0 : ~0u;
  Lanes values = wave.vgpr[in.operands[0].index];
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const u32 there = 0 - (readable >> from[lane] & 1);
    values[lane] = (source[from[lane]] & there) | (values[lane] & kept & ~there);
  }
  set_lanes(wave, in.operands[0].index, values);
}
/// Four bits of two scalars for each lane of a row; kOtherRow: 16.
template <int kOtherRow>
void permute_row(Wave& wave, const Instruction& in) {
  const u64 select =
      u64(u32(scalar_value(wave, in.operands[3]))) << 32 | u32(scalar_value(wave, in.operands[2]));
  std::array<int, kLanes> from;
  for (int lane = 0; lane < kLanes; ++lane)
    from[std::size_t(lane)] =
        ((lane & kRow) ^ kOtherRow) + int(select >> (4 * (lane & (kRow - 1))) & 15);
  write_permuted(wave, in, from);
}
template <int kOtherRow>
void permute_row_by_lanes(Wave& wave, const Instruction& in) {
  Lanes buffer;
  const u32* select = words_of(wave, in, 2, buffer);
  std::array<int, kLanes> from;
  for (int lane = 0; lane < kLanes; ++lane)
    from[std::size_t(lane)] = ((lane & kRow) ^ kOtherRow) + int(select[lane] & 15);
  write_permuted(wave, in, from);
}

/// Only waves of 64 have halves to exchange.
void exchange_halves(Wave&, const Instruction&) {}

/// Without the host's instruction, which a loop over lanes could not use.
inline u32 count_ones(u32 bits) {
  bits -= bits >> 1 & 0x55555555;
  bits = (bits & 0x33333333) + (bits >> 2 & 0x33333333);
  bits = (bits + (bits >> 4)) & 0x0f0f0f0f;
  bits += bits >> 8;
  return (bits + (bits >> 16)) & 0x3f;
}
constexpr Lanes kBelow = [] {
  Lanes below{};
  for (u32 lane = 0; lane < kLanes; ++lane) below[lane] = (1u << lane) - 1;
  return below;
}();

/// b + the ones of a below the lane. kHigh: among lanes 32 and up, of which there are none.
template <bool kHigh>
void count_below(Wave& wave, const Instruction& in) {
  Lanes a, b, moved, values;
  u32 mask = wave.exec();
  const u32* bits = words_of(wave, in, 1, a);
  const u32* base = words_of(wave, in, 2, b);
  if (in.dpp.kind != LaneMove::none) bits = moved_lanes(wave, in, bits, moved, mask);
  for (std::size_t lane = 0; lane < kLanes; ++lane)
    values[lane] = base[lane] + (kHigh ? 0 : count_ones(bits[lane] & kBelow[lane]));
  // Lanes that the move leaves alone are like those that are off.
  const Lanes& before = wave.vgpr[in.operands[0].index];
  if (mask != wave.exec())
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      if (!(mask >> lane & 1)) values[lane] = before[lane];
  set_lanes(wave, in.operands[0].index, values);
}

}  // namespace

const u32* moved_lanes(const Wave& wave, const Instruction& instruction, const u32* source,
                       Lanes& buffer, u32& mask) {
  const LaneMove& move = instruction.dpp;
  // Of dpp8 too, a lane that is off gives 0; it has no masks, and no lane without a source.
  const bool zero = move.bound_control || move.kind == LaneMove::dpp8;
  const u32 readable = move.fetch_inactive ? ~0u : wave.exec();
  // `source` may be `buffer`.
  Lanes moved;
  const u32 got = kGathers[move.kind](move, source, readable, moved);
  buffer = moved;
  mask &= chosen_lanes(move) & (zero ? ~0u : got);
  return buffer.data();
}

void add_vector_lanes(Opcodes& opcodes) {
  opcodes.add("v_readfirstlane_b32", read_first_lane, Class::valu);
  opcodes.add("v_readlane_b32", read_lane, Class::valu);
  opcodes.add("v_writelane_b32", write_lane, Class::valu);
  opcodes.add("v_permlane16_b32", permute_row<0>, Class::valu);
  opcodes.add("v_permlanex16_b32", permute_row<kRow>, Class::valu);
  opcodes.add("v_permlane16_var_b32", permute_row_by_lanes<0>, Class::valu);
  opcodes.add("v_permlanex16_var_b32", permute_row_by_lanes<kRow>, Class::valu);
  opcodes.add("v_permlane64_b32", exchange_halves, Class::valu);
  opcodes.add("v_mbcnt_lo_u32_b32", count_below<false>, Class::valu);
  opcodes.add("v_mbcnt_hi_u32_b32", count_below<true>, Class::valu);
}

}  // namespace isotope::sim
