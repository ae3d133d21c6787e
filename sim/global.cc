// Global, flat and scratch memory: loads and stores.
#include "sim/access.h"
#include "sim/atomic.h"

namespace isotope::sim {
namespace {

/// A base of all lanes and 32 bits of each without a sign, or 64 bits of each ("off"); the
/// instruction's offset has a sign.
Places global_places(const Wave& wave, const Operand& lanes, const Operand& base, i32 offset) {
  Places places;
  const u32* const low = wave.vgpr[lanes.index].data();
  if (base.kind == Operand::none) {
    const u32* const high = wave.vgpr[lanes.index + 1u].data();
    for (std::size_t i = 0; i < kLanes; ++i)
      places[i] = (low[i] | u64(high[i]) << 32) + u64(i64(offset));
    return places;
  }
  const u64 start = scalar_value(wave, base) + u64(i64(offset));
  for (std::size_t i = 0; i < kLanes; ++i) places[i] = start + low[i];
  return places;
}

template <typename Format>
void global_load(Wave& wave, const Instruction& in) {
  const u32 mask = wave.exec();
  Places places = global_places(wave, in.operands[1], in.operands[2], in.offset);
  resolve_global(wave, in, places, mask, Format::kBytes, Use::load);
  Format::load(wave, in.operands[0].index, places, mask);
}
template <typename Format>
void global_store(Wave& wave, const Instruction& in) {
  const u32 mask = wave.exec();
  Places places = global_places(wave, in.operands[0], in.operands[2], in.offset);
  resolve_global(wave, in, places, mask, Format::kBytes, Use::store);
  Format::store(wave, in.operands[1].index, places, mask);
}

/// The old value is the first operand where it is wanted.
template <typename Operation>
void global_atomic(Wave& wave, const Instruction& in) {
  const std::size_t first = in.count == 4 ? 1 : 0;
  Places places = global_places(wave, in.operands[first], in.operands[first + 2], in.offset);
  resolve_global(wave, in, places, wave.exec(), sizeof(typename Operation::Type), Use::atomic);
  execute_atomic<Operation>(wave, places, wave.exec(), first ? &in.operands[0] : nullptr,
                            in.operands[first + 1]);
}

/// Caches are not modelled: what is stored is in memory at once.
void nothing(Wave&, const Instruction&) {}

}  // namespace

void add_global(Opcodes& opcodes) {
  opcodes.add("global_load_u8", global_load<Extended<u8>>, Class::global);
  opcodes.add("global_load_i8", global_load<Extended<std::int8_t>>, Class::global);
  opcodes.add("global_load_u16", global_load<Extended<u16>>, Class::global);
  opcodes.add("global_load_i16", global_load<Extended<i16>>, Class::global);
  opcodes.add("global_load_b32", global_load<Words<1>>, Class::global);
  opcodes.add("global_load_b64", global_load<Words<2>>, Class::global);
  opcodes.add("global_load_b96", global_load<Words<3>>, Class::global);
  opcodes.add("global_load_b128", global_load<Words<4>>, Class::global);
  opcodes.add("global_load_d16_u8", global_load<Half<u8, 0>>, Class::global);
  opcodes.add("global_load_d16_i8", global_load<Half<std::int8_t, 0>>, Class::global);
  opcodes.add("global_load_d16_b16", global_load<Half<u16, 0>>, Class::global);
  opcodes.add("global_load_d16_hi_u8", global_load<Half<u8, 16>>, Class::global);
  opcodes.add("global_load_d16_hi_i8", global_load<Half<std::int8_t, 16>>, Class::global);
  opcodes.add("global_load_d16_hi_b16", global_load<Half<u16, 16>>, Class::global);
  opcodes.add("global_store_b8", global_store<Extended<u8>>, Class::global);
  opcodes.add("global_store_b16", global_store<Extended<u16>>, Class::global);
  opcodes.add("global_store_b32", global_store<Words<1>>, Class::global);
  opcodes.add("global_store_b64", global_store<Words<2>>, Class::global);
  opcodes.add("global_store_b96", global_store<Words<3>>, Class::global);
  opcodes.add("global_store_b128", global_store<Words<4>>, Class::global);
  opcodes.add("global_store_d16_hi_b8", global_store<Half<u8, 16>>, Class::global);
  opcodes.add("global_store_d16_hi_b16", global_store<Half<u16, 16>>, Class::global);
  opcodes.add("global_atomic_add_u32", global_atomic<Add<u32>>, Class::global);
  opcodes.add("global_atomic_add_u64", global_atomic<Add<u64>>, Class::global);
  opcodes.add("global_atomic_sub_u32", global_atomic<Subtract<u32>>, Class::global);
  opcodes.add("global_atomic_sub_u64", global_atomic<Subtract<u64>>, Class::global);
  opcodes.add("global_atomic_inc_u32", global_atomic<Increment<u32>>, Class::global);
  opcodes.add("global_atomic_inc_u64", global_atomic<Increment<u64>>, Class::global);
  opcodes.add("global_atomic_dec_u32", global_atomic<Decrement<u32>>, Class::global);
  opcodes.add("global_atomic_dec_u64", global_atomic<Decrement<u64>>, Class::global);
  opcodes.add("global_atomic_min_i32", global_atomic<Min<i32>>, Class::global);
  opcodes.add("global_atomic_min_i64", global_atomic<Min<i64>>, Class::global);
  opcodes.add("global_atomic_min_u32", global_atomic<Min<u32>>, Class::global);
  opcodes.add("global_atomic_min_u64", global_atomic<Min<u64>>, Class::global);
  opcodes.add("global_atomic_max_i32", global_atomic<Max<i32>>, Class::global);
  opcodes.add("global_atomic_max_i64", global_atomic<Max<i64>>, Class::global);
  opcodes.add("global_atomic_max_u32", global_atomic<Max<u32>>, Class::global);
  opcodes.add("global_atomic_max_u64", global_atomic<Max<u64>>, Class::global);
  opcodes.add("global_atomic_and_b32", global_atomic<And<u32>>, Class::global);
  opcodes.add("global_atomic_and_b64", global_atomic<And<u64>>, Class::global);
  opcodes.add("global_atomic_or_b32", global_atomic<Or<u32>>, Class::global);
  opcodes.add("global_atomic_or_b64", global_atomic<Or<u64>>, Class::global);
  opcodes.add("global_atomic_xor_b32", global_atomic<Xor<u32>>, Class::global);
  opcodes.add("global_atomic_xor_b64", global_atomic<Xor<u64>>, Class::global);
  opcodes.add("global_atomic_swap_b32", global_atomic<Swap<u32>>, Class::global);
  opcodes.add("global_atomic_swap_b64", global_atomic<Swap<u64>>, Class::global);
  opcodes.add("global_atomic_cmpswap_b32", global_atomic<CompareSwap<u32>>, Class::global);
  opcodes.add("global_atomic_cmpswap_b64", global_atomic<CompareSwap<u64>>, Class::global);
  opcodes.add("global_atomic_sub_clamp_u32", global_atomic<SubtractClamped<u32>>, Class::global);
  opcodes.add("global_atomic_cond_sub_u32", global_atomic<SubtractIfLess<u32>>, Class::global);
  opcodes.add("global_atomic_add_f32", global_atomic<AddFloat<float, u32>>, Class::global);
  opcodes.add("global_atomic_min_num_f32", global_atomic<LeastFloat<float, u32, true>>,
              Class::global);
  opcodes.add("global_atomic_max_num_f32", global_atomic<LeastFloat<float, u32, false>>,
              Class::global);
  opcodes.add("global_atomic_pk_add_f16", global_atomic<AddPair<from_f16, to_f16>>, Class::global);
  opcodes.add("global_atomic_pk_add_bf16", global_atomic<AddPair<from_bf16, to_bf16>>,
              Class::global);
  for (const char* name : {"global_inv", "global_wb", "global_wbinv"})
    opcodes.add(name, nothing, Class::global);
}

}  // namespace isotope::sim
