// Flat and scratch memory. A flat address means LDS or the lane's scratch memory in their
// apertures, else global memory.
#include "sim/access.h"
#include "sim/atomic.h"

namespace isotope::sim {
namespace {

/// An aperture takes 4 GiB.
u32 lanes_in(const Places& places, u32 mask, u64 aperture) {
  u32 found = 0;
  for_lanes(mask, [&](int lane) {
    found |= u32(places[std::size_t(lane)] >> 32 == aperture >> 32) << lane;
  });
  return found;
}

void resolve_flat(Wave& wave, const Instruction& in, Places& places, u32 mask, u32 bytes, Use use) {
  const u32 lds = lanes_in(places, mask, kLdsAperture),
            scratch = lanes_in(places, mask, kScratchAperture);
  resolve_global(wave, in, places, mask & ~lds & ~scratch, bytes, use);
  if ((lds | scratch) == 0) return;
  Places offsets = places;
  for (u64& offset : offsets) offset = u32(offset);
  if (lds) resolve_lds(wave, in, offsets, lds, bytes, use);
  for_lanes(lds, [&](int lane) { places[std::size_t(lane)] = offsets[std::size_t(lane)]; });
  if (scratch) resolve_scratch(wave, offsets, scratch, bytes);
  for_lanes(scratch, [&](int lane) { places[std::size_t(lane)] = offsets[std::size_t(lane)]; });
}

Places flat_places(const Wave& wave, const Operand& lanes, i32 offset) {
  Places places;
  const Lanes &low = wave.vgpr[lanes.index], &high = wave.vgpr[lanes.index + 1u];
  for (std::size_t i = 0; i < kLanes; ++i)
    places[i] = (low[i] | u64(high[i]) << 32) + u64(i64(offset));
  return places;
}

template <typename Format>
void flat_load(Wave& wave, const Instruction& in) {
  Places places = flat_places(wave, in.operands[1], in.offset);
  resolve_flat(wave, in, places, wave.exec(), Format::kBytes, Use::load);
  Format::load(wave, in.operands[0].index, places, wave.exec());
}
template <typename Format>
void flat_store(Wave& wave, const Instruction& in) {
  Places places = flat_places(wave, in.operands[0], in.offset);
  resolve_flat(wave, in, places, wave.exec(), Format::kBytes, Use::store);
  Format::store(wave, in.operands[1].index, places, wave.exec());
}
template <typename Operation>
void flat_atomic(Wave& wave, const Instruction& in) {
  const std::size_t first = in.count == 3 ? 1 : 0;
  Places places = flat_places(wave, in.operands[first], in.offset);
  resolve_flat(wave, in, places, wave.exec(), sizeof(typename Operation::Type), Use::atomic);
  execute_atomic<Operation>(wave, places, wave.exec(), first ? &in.operands[0] : nullptr,
                            in.operands[first + 1]);
}

/// Of a register of lanes, a scalar and the instruction's offset those that are there, in 32 bits.
Places scratch_places(const Wave& wave, const Operand& lanes, const Operand& base, i32 offset) {
  Places places;
  const u32 start = u32(offset) + (base.kind == Operand::none ? 0 : u32(scalar_value(wave, base)));
  places.fill(start);
  if (lanes.kind == Operand::vgpr)
    for (std::size_t i = 0; i < kLanes; ++i) places[i] = start + wave.vgpr[lanes.index][i];
  return places;
}
template <typename Format>
void scratch_load(Wave& wave, const Instruction& in) {
  Places places = scratch_places(wave, in.operands[1], in.operands[2], in.offset);
  resolve_scratch(wave, places, wave.exec(), Format::kBytes);
  Format::load(wave, in.operands[0].index, places, wave.exec());
}
template <typename Format>
void scratch_store(Wave& wave, const Instruction& in) {
  Places places = scratch_places(wave, in.operands[0], in.operands[2], in.offset);
  resolve_scratch(wave, places, wave.exec(), Format::kBytes);
  Format::store(wave, in.operands[1].index, places, wave.exec());
}

}  // namespace

void add_flat(Opcodes& opcodes) {
  opcodes.add("flat_load_u8", flat_load<Extended<u8>>, Class::global);
  opcodes.add("flat_load_i8", flat_load<Extended<std::int8_t>>, Class::global);
  opcodes.add("flat_load_u16", flat_load<Extended<u16>>, Class::global);
  opcodes.add("flat_load_i16", flat_load<Extended<i16>>, Class::global);
  opcodes.add("flat_load_b32", flat_load<Words<1>>, Class::global);
  opcodes.add("flat_load_b64", flat_load<Words<2>>, Class::global);
  opcodes.add("flat_load_b96", flat_load<Words<3>>, Class::global);
  opcodes.add("flat_load_b128", flat_load<Words<4>>, Class::global);
  opcodes.add("flat_load_d16_u8", flat_load<Half<u8, 0>>, Class::global);
  opcodes.add("flat_load_d16_i8", flat_load<Half<std::int8_t, 0>>, Class::global);
  opcodes.add("flat_load_d16_b16", flat_load<Half<u16, 0>>, Class::global);
  opcodes.add("flat_load_d16_hi_u8", flat_load<Half<u8, 16>>, Class::global);
  opcodes.add("flat_load_d16_hi_i8", flat_load<Half<std::int8_t, 16>>, Class::global);
  opcodes.add("flat_load_d16_hi_b16", flat_load<Half<u16, 16>>, Class::global);
  opcodes.add("flat_store_b8", flat_store<Extended<u8>>, Class::global);
  opcodes.add("flat_store_b16", flat_store<Extended<u16>>, Class::global);
  opcodes.add("flat_store_b32", flat_store<Words<1>>, Class::global);
  opcodes.add("flat_store_b64", flat_store<Words<2>>, Class::global);
  opcodes.add("flat_store_b96", flat_store<Words<3>>, Class::global);
  opcodes.add("flat_store_b128", flat_store<Words<4>>, Class::global);
  opcodes.add("flat_store_d16_hi_b8", flat_store<Half<u8, 16>>, Class::global);
  opcodes.add("flat_store_d16_hi_b16", flat_store<Half<u16, 16>>, Class::global);
  opcodes.add("flat_atomic_add_u32", flat_atomic<Add<u32>>, Class::global);
  opcodes.add("flat_atomic_add_u64", flat_atomic<Add<u64>>, Class::global);
  opcodes.add("flat_atomic_sub_u32", flat_atomic<Subtract<u32>>, Class::global);
  opcodes.add("flat_atomic_sub_u64", flat_atomic<Subtract<u64>>, Class::global);
  opcodes.add("flat_atomic_inc_u32", flat_atomic<Increment<u32>>, Class::global);
  opcodes.add("flat_atomic_inc_u64", flat_atomic<Increment<u64>>, Class::global);
  opcodes.add("flat_atomic_dec_u32", flat_atomic<Decrement<u32>>, Class::global);
  opcodes.add("flat_atomic_dec_u64", flat_atomic<Decrement<u64>>, Class::global);
  opcodes.add("flat_atomic_min_i32", flat_atomic<Min<i32>>, Class::global);
  opcodes.add("flat_atomic_min_i64", flat_atomic<Min<i64>>, Class::global);
  opcodes.add("flat_atomic_min_u32", flat_atomic<Min<u32>>, Class::global);
  opcodes.add("flat_atomic_min_u64", flat_atomic<Min<u64>>, Class::global);
  opcodes.add("flat_atomic_max_i32", flat_atomic<Max<i32>>, Class::global);
  opcodes.add("flat_atomic_max_i64", flat_atomic<Max<i64>>, Class::global);
  opcodes.add("flat_atomic_max_u32", flat_atomic<Max<u32>>, Class::global);
  opcodes.add("flat_atomic_max_u64", flat_atomic<Max<u64>>, Class::global);
  opcodes.add("flat_atomic_and_b32", flat_atomic<And<u32>>, Class::global);
  opcodes.add("flat_atomic_and_b64", flat_atomic<And<u64>>, Class::global);
  opcodes.add("flat_atomic_or_b32", flat_atomic<Or<u32>>, Class::global);
  opcodes.add("flat_atomic_or_b64", flat_atomic<Or<u64>>, Class::global);
  opcodes.add("flat_atomic_xor_b32", flat_atomic<Xor<u32>>, Class::global);
  opcodes.add("flat_atomic_xor_b64", flat_atomic<Xor<u64>>, Class::global);
  opcodes.add("flat_atomic_swap_b32", flat_atomic<Swap<u32>>, Class::global);
  opcodes.add("flat_atomic_swap_b64", flat_atomic<Swap<u64>>, Class::global);
  opcodes.add("flat_atomic_cmpswap_b32", flat_atomic<CompareSwap<u32>>, Class::global);
  opcodes.add("flat_atomic_cmpswap_b64", flat_atomic<CompareSwap<u64>>, Class::global);
  opcodes.add("flat_atomic_sub_clamp_u32", flat_atomic<SubtractClamped<u32>>, Class::global);
  opcodes.add("flat_atomic_cond_sub_u32", flat_atomic<SubtractIfLess<u32>>, Class::global);
  opcodes.add("flat_atomic_add_f32", flat_atomic<AddFloat<float, u32>>, Class::global);
  opcodes.add("flat_atomic_min_num_f32", flat_atomic<LeastFloat<float, u32, true>>, Class::global);
  opcodes.add("flat_atomic_max_num_f32", flat_atomic<LeastFloat<float, u32, false>>, Class::global);
  opcodes.add("flat_atomic_pk_add_f16", flat_atomic<AddPair<from_f16, to_f16>>, Class::global);
  opcodes.add("flat_atomic_pk_add_bf16", flat_atomic<AddPair<from_bf16, to_bf16>>, Class::global);
  opcodes.add("scratch_load_u8", scratch_load<Extended<u8>>, Class::scratch);
  opcodes.add("scratch_load_i8", scratch_load<Extended<std::int8_t>>, Class::scratch);
  opcodes.add("scratch_load_u16", scratch_load<Extended<u16>>, Class::scratch);
  opcodes.add("scratch_load_i16", scratch_load<Extended<i16>>, Class::scratch);
  opcodes.add("scratch_load_b32", scratch_load<Words<1>>, Class::scratch);
  opcodes.add("scratch_load_b64", scratch_load<Words<2>>, Class::scratch);
  opcodes.add("scratch_load_b96", scratch_load<Words<3>>, Class::scratch);
  opcodes.add("scratch_load_b128", scratch_load<Words<4>>, Class::scratch);
  opcodes.add("scratch_load_d16_u8", scratch_load<Half<u8, 0>>, Class::scratch);
  opcodes.add("scratch_load_d16_i8", scratch_load<Half<std::int8_t, 0>>, Class::scratch);
  opcodes.add("scratch_load_d16_b16", scratch_load<Half<u16, 0>>, Class::scratch);
  opcodes.add("scratch_load_d16_hi_u8", scratch_load<Half<u8, 16>>, Class::scratch);
  opcodes.add("scratch_load_d16_hi_i8", scratch_load<Half<std::int8_t, 16>>, Class::scratch);
  opcodes.add("scratch_load_d16_hi_b16", scratch_load<Half<u16, 16>>, Class::scratch);
  opcodes.add("scratch_store_b8", scratch_store<Extended<u8>>, Class::scratch);
  opcodes.add("scratch_store_b16", scratch_store<Extended<u16>>, Class::scratch);
  opcodes.add("scratch_store_b32", scratch_store<Words<1>>, Class::scratch);
  opcodes.add("scratch_store_b64", scratch_store<Words<2>>, Class::scratch);
  opcodes.add("scratch_store_b96", scratch_store<Words<3>>, Class::scratch);
  opcodes.add("scratch_store_b128", scratch_store<Words<4>>, Class::scratch);
  opcodes.add("scratch_store_d16_hi_b8", scratch_store<Half<u8, 16>>, Class::scratch);
  opcodes.add("scratch_store_d16_hi_b16", scratch_store<Half<u16, 16>>, Class::scratch);
}

}  // namespace isotope::sim
