// LDS: loads and stores; moves between lanes through its crossbar.
#include "sim/access.h"
#include "sim/atomic.h"

namespace isotope::sim {
namespace {

/// A negative part of a lane and the offset make a sum of 32 bits.
Places lds_places(const Wave& wave, const Operand& lanes, u32 offset) {
  Places places;
  const u32* const from = wave.vgpr[lanes.index].data();
  for (std::size_t i = 0; i < kLanes; ++i) places[i] = u32(from[i] + offset);
  return places;
}

template <typename Format>
void load(Wave& wave, const Instruction& in) {
  const u32 mask = wave.exec();
  Places places = lds_places(wave, in.operands[1], u32(in.offset));
  resolve_lds(wave, in, places, mask, Format::kBytes, Use::load);
  Format::load(wave, in.operands[0].index, places, mask);
}
template <typename Format>
void store(Wave& wave, const Instruction& in) {
  const u32 mask = wave.exec();
  Places places = lds_places(wave, in.operands[0], u32(in.offset));
  resolve_lds(wave, in, places, mask, Format::kBytes, Use::store);
  Format::store(wave, in.operands[1].index, places, mask);
}

/// Two accesses of kWords each, at offsets that count kStride bytes.
template <int kWords, u32 kStride>
void load_two(Wave& wave, const Instruction& in) {
  const u32 mask = wave.exec(), bytes = kWords * 4;
  Places first = lds_places(wave, in.operands[1], in.offset0 * kStride);
  Places second = lds_places(wave, in.operands[1], in.offset1 * kStride);
  resolve_lds(wave, in, first, mask, bytes, Use::load);
  resolve_lds(wave, in, second, mask, bytes, Use::load);
  Words<kWords>::load(wave, in.operands[0].index, first, mask);
  Words<kWords>::load(wave, in.operands[0].index + kWords, second, mask);
}
template <int kWords, u32 kStride>
void store_two(Wave& wave, const Instruction& in) {
  const u32 mask = wave.exec(), bytes = kWords * 4;
  Places first = lds_places(wave, in.operands[0], in.offset0 * kStride);
  Places second = lds_places(wave, in.operands[0], in.offset1 * kStride);
  resolve_lds(wave, in, first, mask, bytes, Use::store);
  resolve_lds(wave, in, second, mask, bytes, Use::store);
  Words<kWords>::store(wave, in.operands[1].index, first, mask);
  Words<kWords>::store(wave, in.operands[2].index, second, mask);
}

/// With the old value as the first operand (…_rtn…) or without; a second operand of data comes
/// behind the first.
template <typename Operation, bool kReturns, bool kTwo = false>
void atomic(Wave& wave, const Instruction& in) {
  constexpr std::size_t kFirst = kReturns ? 1 : 0;
  const u32 mask = wave.exec();
  Places places = lds_places(wave, in.operands[kFirst], u32(in.offset));
  resolve_lds(wave, in, places, mask, sizeof(typename Operation::Type), Use::atomic);
  execute_atomic<Operation>(wave, places, mask, kReturns ? in.operands[0].index : -1,
                            in.operands[kFirst + 1].index,
                            in.operands[kFirst + (kTwo ? 2 : 1)].index);
}

/// The lane that an address in bytes means: bits above are ignored.
u32 lane_at(u32 address, const Instruction& in) { return (address + u32(in.offset)) / 4 % kLanes; }

/// Lanes fetch; of lanes that are off they get 0.
void fetch(Wave& wave, const Instruction& in) {
  const u32 exec = wave.exec();
  const u32* const where = wave.vgpr[in.operands[1].index].data();
  const u32* const data = wave.vgpr[in.operands[2].index].data();
  Lanes result;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const u32 from = lane_at(where[lane], in);
    result[lane] = data[from] & (0u - (exec >> from & 1));
  }
  set_lanes(wave, in.operands[0].index, result);
}

/// Lanes send; of several the highest wins, and where nothing arrives is 0.
void send(Wave& wave, const Instruction& in) {
  const u32* const where = wave.vgpr[in.operands[1].index].data();
  const u32* const data = wave.vgpr[in.operands[2].index].data();
  Lanes result{};
  for_lanes(wave.exec(), [&](int lane) { result[lane_at(where[lane], in)] = data[lane]; });
  set_lanes(wave, in.operands[0].index, result);
}

/// Any permutation within four lanes, or the lane whose number has bits kept, set and flipped in
/// this order.
void swizzle(Wave& wave, const Instruction& in) {
  const u32 code = u32(in.offset), exec = wave.exec();
  if (code >= 0xc000)
    throw Fault(
        "a rotation or a step of an FFT by ds_swizzle_b32, which the simulator does not have");
  const u32* const data = wave.vgpr[in.operands[1].index].data();
  Lanes result;
  for (u32 lane = 0; lane < kLanes; ++lane) {
    const u32 in_four = (lane & ~3u) | (code >> (lane & 3) * 2 & 3);
    const u32 by_bits = ((lane & code) | code >> 5) ^ code >> 10;
    const u32 from = (code & 0x8000 ? in_four : by_bits) & 31;
    result[lane] = data[from] & (0u - (exec >> from & 1));
  }
  set_lanes(wave, in.operands[0].index, result);
}

}  // namespace

void add_lds(Opcodes& opcodes) {
  opcodes.add("ds_load_u8", load<Extended<u8>>, Class::lds);
  opcodes.add("ds_load_i8", load<Extended<std::int8_t>>, Class::lds);
  opcodes.add("ds_load_u16", load<Extended<u16>>, Class::lds);
  opcodes.add("ds_load_i16", load<Extended<i16>>, Class::lds);
  opcodes.add("ds_load_b32", load<Words<1>>, Class::lds);
  opcodes.add("ds_load_b64", load<Words<2>>, Class::lds);
  opcodes.add("ds_load_b96", load<Words<3>>, Class::lds);
  opcodes.add("ds_load_b128", load<Words<4>>, Class::lds);
  opcodes.add("ds_load_u8_d16", load<Half<u8, 0>>, Class::lds);
  opcodes.add("ds_load_i8_d16", load<Half<std::int8_t, 0>>, Class::lds);
  opcodes.add("ds_load_u16_d16", load<Half<u16, 0>>, Class::lds);
  opcodes.add("ds_load_u8_d16_hi", load<Half<u8, 16>>, Class::lds);
  opcodes.add("ds_load_i8_d16_hi", load<Half<std::int8_t, 16>>, Class::lds);
  opcodes.add("ds_load_u16_d16_hi", load<Half<u16, 16>>, Class::lds);
  opcodes.add("ds_store_b8", store<Extended<u8>>, Class::lds);
  opcodes.add("ds_store_b16", store<Extended<u16>>, Class::lds);
  opcodes.add("ds_store_b32", store<Words<1>>, Class::lds);
  opcodes.add("ds_store_b64", store<Words<2>>, Class::lds);
  opcodes.add("ds_store_b96", store<Words<3>>, Class::lds);
  opcodes.add("ds_store_b128", store<Words<4>>, Class::lds);
  opcodes.add("ds_store_b8_d16_hi", store<Half<u8, 16>>, Class::lds);
  opcodes.add("ds_store_b16_d16_hi", store<Half<u16, 16>>, Class::lds);
  opcodes.add("ds_load_2addr_b32", load_two<1, 4>, Class::lds);
  opcodes.add("ds_load_2addr_b64", load_two<2, 8>, Class::lds);
  opcodes.add("ds_load_2addr_stride64_b32", load_two<1, 256>, Class::lds);
  opcodes.add("ds_load_2addr_stride64_b64", load_two<2, 512>, Class::lds);
  opcodes.add("ds_store_2addr_b32", store_two<1, 4>, Class::lds);
  opcodes.add("ds_store_2addr_b64", store_two<2, 8>, Class::lds);
  opcodes.add("ds_store_2addr_stride64_b32", store_two<1, 256>, Class::lds);
  opcodes.add("ds_store_2addr_stride64_b64", store_two<2, 512>, Class::lds);
  opcodes.add("ds_add_u32", atomic<Add<u32>, false>, Class::lds);
  opcodes.add("ds_add_rtn_u32", atomic<Add<u32>, true>, Class::lds);
  opcodes.add("ds_add_u64", atomic<Add<u64>, false>, Class::lds);
  opcodes.add("ds_add_rtn_u64", atomic<Add<u64>, true>, Class::lds);
  opcodes.add("ds_sub_u32", atomic<Subtract<u32>, false>, Class::lds);
  opcodes.add("ds_sub_rtn_u32", atomic<Subtract<u32>, true>, Class::lds);
  opcodes.add("ds_sub_u64", atomic<Subtract<u64>, false>, Class::lds);
  opcodes.add("ds_sub_rtn_u64", atomic<Subtract<u64>, true>, Class::lds);
  opcodes.add("ds_rsub_u32", atomic<SubtractReversed<u32>, false>, Class::lds);
  opcodes.add("ds_rsub_rtn_u32", atomic<SubtractReversed<u32>, true>, Class::lds);
  opcodes.add("ds_rsub_u64", atomic<SubtractReversed<u64>, false>, Class::lds);
  opcodes.add("ds_rsub_rtn_u64", atomic<SubtractReversed<u64>, true>, Class::lds);
  opcodes.add("ds_inc_u32", atomic<Increment<u32>, false>, Class::lds);
  opcodes.add("ds_inc_rtn_u32", atomic<Increment<u32>, true>, Class::lds);
  opcodes.add("ds_inc_u64", atomic<Increment<u64>, false>, Class::lds);
  opcodes.add("ds_inc_rtn_u64", atomic<Increment<u64>, true>, Class::lds);
  opcodes.add("ds_dec_u32", atomic<Decrement<u32>, false>, Class::lds);
  opcodes.add("ds_dec_rtn_u32", atomic<Decrement<u32>, true>, Class::lds);
  opcodes.add("ds_dec_u64", atomic<Decrement<u64>, false>, Class::lds);
  opcodes.add("ds_dec_rtn_u64", atomic<Decrement<u64>, true>, Class::lds);
  opcodes.add("ds_min_i32", atomic<Min<i32>, false>, Class::lds);
  opcodes.add("ds_min_rtn_i32", atomic<Min<i32>, true>, Class::lds);
  opcodes.add("ds_min_i64", atomic<Min<i64>, false>, Class::lds);
  opcodes.add("ds_min_rtn_i64", atomic<Min<i64>, true>, Class::lds);
  opcodes.add("ds_min_u32", atomic<Min<u32>, false>, Class::lds);
  opcodes.add("ds_min_rtn_u32", atomic<Min<u32>, true>, Class::lds);
  opcodes.add("ds_min_u64", atomic<Min<u64>, false>, Class::lds);
  opcodes.add("ds_min_rtn_u64", atomic<Min<u64>, true>, Class::lds);
  opcodes.add("ds_max_i32", atomic<Max<i32>, false>, Class::lds);
  opcodes.add("ds_max_rtn_i32", atomic<Max<i32>, true>, Class::lds);
  opcodes.add("ds_max_i64", atomic<Max<i64>, false>, Class::lds);
  opcodes.add("ds_max_rtn_i64", atomic<Max<i64>, true>, Class::lds);
  opcodes.add("ds_max_u32", atomic<Max<u32>, false>, Class::lds);
  opcodes.add("ds_max_rtn_u32", atomic<Max<u32>, true>, Class::lds);
  opcodes.add("ds_max_u64", atomic<Max<u64>, false>, Class::lds);
  opcodes.add("ds_max_rtn_u64", atomic<Max<u64>, true>, Class::lds);
  opcodes.add("ds_and_b32", atomic<And<u32>, false>, Class::lds);
  opcodes.add("ds_and_rtn_b32", atomic<And<u32>, true>, Class::lds);
  opcodes.add("ds_and_b64", atomic<And<u64>, false>, Class::lds);
  opcodes.add("ds_and_rtn_b64", atomic<And<u64>, true>, Class::lds);
  opcodes.add("ds_or_b32", atomic<Or<u32>, false>, Class::lds);
  opcodes.add("ds_or_rtn_b32", atomic<Or<u32>, true>, Class::lds);
  opcodes.add("ds_or_b64", atomic<Or<u64>, false>, Class::lds);
  opcodes.add("ds_or_rtn_b64", atomic<Or<u64>, true>, Class::lds);
  opcodes.add("ds_xor_b32", atomic<Xor<u32>, false>, Class::lds);
  opcodes.add("ds_xor_rtn_b32", atomic<Xor<u32>, true>, Class::lds);
  opcodes.add("ds_xor_b64", atomic<Xor<u64>, false>, Class::lds);
  opcodes.add("ds_xor_rtn_b64", atomic<Xor<u64>, true>, Class::lds);
  opcodes.add("ds_mskor_b32", atomic<MaskedOr<u32>, false, true>, Class::lds);
  opcodes.add("ds_mskor_rtn_b32", atomic<MaskedOr<u32>, true, true>, Class::lds);
  opcodes.add("ds_mskor_b64", atomic<MaskedOr<u64>, false, true>, Class::lds);
  opcodes.add("ds_mskor_rtn_b64", atomic<MaskedOr<u64>, true, true>, Class::lds);
  opcodes.add("ds_cmpstore_b32", atomic<CompareSwap<u32>, false, true>, Class::lds);
  opcodes.add("ds_cmpstore_rtn_b32", atomic<CompareSwap<u32>, true, true>, Class::lds);
  opcodes.add("ds_cmpstore_b64", atomic<CompareSwap<u64>, false, true>, Class::lds);
  opcodes.add("ds_cmpstore_rtn_b64", atomic<CompareSwap<u64>, true, true>, Class::lds);
  opcodes.add("ds_storexchg_rtn_b32", atomic<Swap<u32>, true>, Class::lds);
  opcodes.add("ds_storexchg_rtn_b64", atomic<Swap<u64>, true>, Class::lds);
  opcodes.add("ds_sub_clamp_u32", atomic<SubtractClamped<u32>, false>, Class::lds);
  opcodes.add("ds_sub_clamp_rtn_u32", atomic<SubtractClamped<u32>, true>, Class::lds);
  opcodes.add("ds_cond_sub_u32", atomic<SubtractIfLess<u32>, false>, Class::lds);
  opcodes.add("ds_cond_sub_rtn_u32", atomic<SubtractIfLess<u32>, true>, Class::lds);
  opcodes.add("ds_add_f32", atomic<AddFloat<float, u32>, false>, Class::lds);
  opcodes.add("ds_add_rtn_f32", atomic<AddFloat<float, u32>, true>, Class::lds);
  opcodes.add("ds_min_num_f32", atomic<LeastFloat<float, u32, true>, false>, Class::lds);
  opcodes.add("ds_min_num_rtn_f32", atomic<LeastFloat<float, u32, true>, true>, Class::lds);
  opcodes.add("ds_min_num_f64", atomic<LeastFloat<double, u64, true>, false>, Class::lds);
  opcodes.add("ds_min_num_rtn_f64", atomic<LeastFloat<double, u64, true>, true>, Class::lds);
  opcodes.add("ds_max_num_f32", atomic<LeastFloat<float, u32, false>, false>, Class::lds);
  opcodes.add("ds_max_num_rtn_f32", atomic<LeastFloat<float, u32, false>, true>, Class::lds);
  opcodes.add("ds_max_num_f64", atomic<LeastFloat<double, u64, false>, false>, Class::lds);
  opcodes.add("ds_max_num_rtn_f64", atomic<LeastFloat<double, u64, false>, true>, Class::lds);
  opcodes.add("ds_pk_add_f16", atomic<AddPair<from_f16, to_f16>, false>, Class::lds);
  opcodes.add("ds_pk_add_rtn_f16", atomic<AddPair<from_f16, to_f16>, true>, Class::lds);
  opcodes.add("ds_pk_add_bf16", atomic<AddPair<from_bf16, to_bf16>, false>, Class::lds);
  opcodes.add("ds_pk_add_rtn_bf16", atomic<AddPair<from_bf16, to_bf16>, true>, Class::lds);
  opcodes.add("ds_bpermute_b32", fetch, Class::lds);
  opcodes.add("ds_permute_b32", send, Class::lds);
  opcodes.add("ds_swizzle_b32", swizzle, Class::lds);
}

}  // namespace isotope::sim
