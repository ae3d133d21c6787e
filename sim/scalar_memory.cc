// Loads through the scalar cache.
#include <fmt/core.h>

#include "sim/access.h"

namespace isotope::sim {
namespace {

/// Base, and an offset that is a constant (with a sign) or a register (without) and a constant.
u64 address_of(const Wave& wave, const Instruction& in) {
  const Operand& offset = in.operands[2];
  const u64 base = scalar_value(wave, in.operands[1]);
  const u64 distance =
      offset.kind == Operand::constant ? u64(i64(i32(offset.value))) : scalar_value(wave, offset);
  return base + distance + u64(i64(in.offset));
}

template <int kWords>
void load(Wave& wave, const Instruction& in) {
  const u64 address = address_of(wave, in);
  // The hardware would quietly read from the word before.
  if (address % 4 != 0) throw Fault(fmt::format("a scalar load of words at {:#x}", address));
  std::array<u32, kWords> words;
  std::memcpy(words.data(), resolve_scalar(wave, in, address, kWords * 4), kWords * 4);
  if (in.operands[0].index == kNull) return;
  for (int i = 0; i < kWords; ++i)
    wave.sgpr[std::size_t(in.operands[0].index + i)] = words[std::size_t(i)];
}

template <typename T>
void load_short(Wave& wave, const Instruction& in) {
  const u64 address = address_of(wave, in);
  if (address % sizeof(T) != 0)
    throw Fault(fmt::format("a scalar load of {} bytes at {:#x}", sizeof(T), address));
  T value;
  std::memcpy(&value, resolve_scalar(wave, in, address, sizeof(T)), sizeof(T));
  set_scalar(wave, in.operands[0], u32(i32(value)));
}

/// Prefetches have no effect that a program could see, wherever they point.
void prefetch(Wave&, const Instruction&) {}

}  // namespace

void add_scalar_memory(Opcodes& opcodes) {
  opcodes.add("s_load_b32", load<1>, Class::smem);
  opcodes.add("s_load_b64", load<2>, Class::smem);
  opcodes.add("s_load_b96", load<3>, Class::smem);
  opcodes.add("s_load_b128", load<4>, Class::smem);
  opcodes.add("s_load_b256", load<8>, Class::smem);
  opcodes.add("s_load_b512", load<16>, Class::smem);
  opcodes.add("s_load_u8", load_short<u8>, Class::smem);
  opcodes.add("s_load_i8", load_short<std::int8_t>, Class::smem);
  opcodes.add("s_load_u16", load_short<u16>, Class::smem);
  opcodes.add("s_load_i16", load_short<i16>, Class::smem);
  for (const char* name :
       {"s_prefetch_data", "s_prefetch_data_pc_rel", "s_prefetch_inst", "s_prefetch_inst_pc_rel"})
    opcodes.add(name, prefetch, Class::smem);
}

}  // namespace isotope::sim
