// Between lanes: DPP, permutations, lanes as scalars.
#include "sim/lanes.h"

namespace isotope::sim {
namespace {

constexpr int kRow = 16;
constexpr int kNoLane = -1;

/// The lane that `lane` reads from, if there is one.
int source_lane(const LaneMove& move, int lane) {
  const int row = lane & ~(kRow - 1), place = lane & (kRow - 1), amount = move.amount;
  switch (move.kind) {
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
  Lanes values = wave.vgpr[in.operands[0].index];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int at = from[std::size_t(lane)];
    if (readable >> at & 1)
      values[std::size_t(lane)] = source[at];
    else if (in.op_sel & 2)
      values[std::size_t(lane)] = 0;
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

/// b + the ones of a below the lane. kHigh: among lanes 32 and up, of which there are none.
template <bool kHigh>
void count_below(Wave& wave, const Instruction& in) {
  Lanes a, b, moved, values;
  u32 mask = wave.exec();
  const u32* bits = words_of(wave, in, 1, a);
  const u32* base = words_of(wave, in, 2, b);
  if (in.dpp.kind != LaneMove::none) bits = moved_lanes(wave, in, bits, moved, mask);
  const Lanes& before = wave.vgpr[in.operands[0].index];
  for (int lane = 0; lane < kLanes; ++lane) {
    const u32 below = kHigh ? 0 : bits[lane] & ((1u << lane) - 1);
    const auto at = std::size_t(lane);
    values[at] = mask >> lane & 1 ? base[lane] + u32(std::popcount(below)) : before[at];
  }
  set_lanes(wave, in.operands[0].index, values);
}

}  // namespace

const u32* moved_lanes(const Wave& wave, const Instruction& instruction, const u32* source,
                       Lanes& buffer, u32& mask) {
  const LaneMove& move = instruction.dpp;
  // Of dpp8 too, a lane that is off gives 0; it has no masks, and no lane without a source.
  const bool zero = move.bound_control || move.kind == LaneMove::dpp8;
  const u32 readable = move.fetch_inactive ? ~0u : wave.exec();
  u32 written = 0;
  Lanes moved;
  for (int lane = 0; lane < kLanes; ++lane) {
    const int from = source_lane(move, lane);
    const bool there = from != kNoLane && (readable >> from & 1);
    const bool chosen =
        (move.row_mask >> (lane / kRow) & 1) && (move.bank_mask >> (lane % kRow / 4) & 1);
    moved[std::size_t(lane)] = there ? source[from] : 0;
    written |= u32(chosen && (there || zero)) << lane;
  }
  buffer = moved;
  mask &= written;
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
