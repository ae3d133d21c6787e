// Jumps, calls, barriers, waits, the mode of floating point, the end of a wave.
#include <fmt/core.h>

#include <utility>

#include "sim/counters.h"
#include "sim/lanes.h"
#include "sim/memory.h"

namespace isotope::sim {
namespace {

void nothing(Wave&, const Instruction&) {}

/// `kShift`: where the number of loads is in the constant.
template <int kShift>
void wait_for_loads(Wave& wave, const Instruction& in) {
  wave.loads.wait(u32(in.operands[0].value) >> kShift & 63);
}
void wait_for_all(Wave& wave, const Instruction&) { wave.loads.wait(0); }

void end(Wave& wave, const Instruction&) {
  // Whether the hardware's count of signals then still fits the waves that are left is nowhere
  // said.
  if (wave.signalled && wave.group && wave.barrier_seen == wave.group->barriers_passed)
    throw Fault("a wave ends between its signal to a barrier and its wait");
  wave.state = Wave::done;
}

void past_the_end(Wave&, const Instruction&) {
  throw Fault("the wave runs past the end of its code");
}
void trap(Wave&, const Instruction&) { throw Fault("the program has trapped"); }

void jump(Wave& wave, const Instruction& in) {
  if (in.target == u32(-1)) throw Fault("a jump to where no instruction begins");
  wave.next = in.target;
}

bool vcc_is_zero(const Wave& wave) { return wave.sgpr[kVccLo] == 0; }
bool exec_is_zero(const Wave& wave) { return wave.sgpr[kExecLo] == 0; }
bool scc_is_zero(const Wave& wave) { return !wave.scc; }

template <bool (*kIsZero)(const Wave&), bool kWanted>
void branch_if(Wave& wave, const Instruction& in) {
  if (kIsZero(wave) == kWanted) jump(wave, in);
}

u64 address_after(const Instruction& in) { return in.address + in.bytes; }

void get_pc(Wave& wave, const Instruction& in) {
  set_scalar(wave, in.operands[0], address_after(in));
}
void set_pc(Wave& wave, const Instruction& in) {
  wave.next = wave.program->index_at(scalar_value(wave, in.operands[0]));
}
void swap_pc(Wave& wave, const Instruction& in) {
  wave.next = wave.program->index_at(scalar_value(wave, in.operands[1]));
  set_scalar(wave, in.operands[0], address_after(in));
}
void call(Wave& wave, const Instruction& in) {
  const i64 distance = i64(i16(in.operands[1].value)) * 4;
  wave.next = wave.program->index_at(address_after(in) + u64(distance));
  set_scalar(wave, in.operands[0], address_after(in));
}

/// There is one barrier for everybody; others (named, for traps) cannot be had by a program in HIP.
void check_barrier(const Operand& operand) {
  if (operand.kind != Operand::constant || i16(operand.value) != -1)
    throw Fault("a barrier other than the workgroup's");
}

void check_same_barrier(const Wave& wave, const Instruction& in) {
  Workgroup& group = *wave.group;
  if (group.waves_at_barrier == 0 || !group.barrier) group.barrier = &in;
  if (group.barrier == &in || !group.memory) return;
  record(wave, in, group.memory->checks.divergent_barriers, group.counters->divergent_barriers, 1,
         fmt::format("a divergent barrier: other waves are at the one at byte {:#x} of the code",
                     group.barrier->address - wave.program->address));
}

void signal(Wave& wave, const Instruction& in) {
  check_barrier(in.operands[0]);
  if (wave.signalled) throw Fault("a second signal to a barrier before the wait for the first");
  check_same_barrier(wave, in);
  wave.signalled = true;
  wave.barrier_seen = wave.group->barriers_passed;
  ++wave.group->waves_at_barrier;
  open_barrier_if_complete(*wave.group);
}
void signal_is_first(Wave& wave, const Instruction& in) {
  const bool first = wave.group->waves_at_barrier == 0;
  signal(wave, in);
  wave.scc = first;
}
void wait(Wave& wave, const Instruction& in) {
  check_barrier(in.operands[0]);
  if (!wave.signalled) throw Fault("a wait at a barrier without a signal to it");
  wave.signalled = false;
  if (wave.barrier_seen == wave.group->barriers_passed) wave.state = Wave::at_barrier;
}
void barrier_state(Wave& wave, const Instruction& in) {
  check_barrier(in.operands[1]);
  const Workgroup& group = *wave.group;
  set_scalar(wave, in.operands[0],
             u32(group.waves_at_barrier) << 16 | u32(group.waves - group.waves_done) << 4 | 1);
}

/// Rounding in bits 0…3, subnormals in bits 4…7, singles in the lower half of each; FP16_OVFL.
constexpr u32 kOverflowBit = 1u << 23, kKnownModeBits = 0xff | kOverflowBit;
u32 mode_bits(const FloatMode& mode) {
  return mode.round_32 | u32(mode.round_16_64) << 2 | (mode.denormals_32 ? 3u << 4 : 0) |
         (mode.denormals_16_64 ? 3u << 6 : 0) | (mode.clamp_overflow ? kOverflowBit : 0);
}
void set_mode_bits(FloatMode& mode, u32 bits) {
  for (const u32 kept : {bits >> 4 & 3, bits >> 6 & 3})
    if (kept == 1 || kept == 2)
      throw Fault("a mode that keeps subnormals of inputs or of results only");
  mode.round_32 = u8(bits & 3);
  mode.round_16_64 = u8(bits >> 2 & 3);
  mode.denormals_32 = bits >> 4 & 3;
  mode.denormals_16_64 = bits >> 6 & 3;
  mode.clamp_overflow = bits & kOverflowBit;
}

/// Bits of the mode, as hwreg(…) encodes them.
struct Field {
  u32 first, mask;
};
Field mode_field(const Operand& operand) {
  const u32 code = u32(operand.value), first = code >> 6 & 31, bits = (code >> 11 & 31) + 1;
  const u64 mask = ((u64(1) << bits) - 1) << first;
  if ((code & 63) != kModeRegister || mask & ~u64(kKnownModeBits))
    throw Fault("a hardware register, or bits of one, that the simulator does not have");
  return {first, u32(mask)};
}
void get_register(Wave& wave, const Instruction& in) {
  const Field field = mode_field(in.operands[1]);
  set_scalar(wave, in.operands[0], (mode_bits(wave.mode) & field.mask) >> field.first);
}
void set_register(Wave& wave, const Instruction& in) {
  const Field field = mode_field(in.operands[0]);
  const u32 value = u32(scalar_value(wave, in.operands[1])) << field.first;
  set_mode_bits(wave.mode, (mode_bits(wave.mode) & ~field.mask) | (value & field.mask));
}
/// Four bits given with the instruction, from bit kFirst on.
template <u32 kFirst>
void set_four_bits(Wave& wave, const Instruction& in) {
  constexpr u32 kMask = 0xfu << kFirst;
  const u32 value = u32(in.operands[0].value) << kFirst;
  set_mode_bits(wave.mode, (mode_bits(wave.mode) & ~kMask) | (value & kMask));
}

/// The only message that a kernel sends gives its registers back.
void message(Wave&, const Instruction& in) {
  if (in.text.find("MSG_DEALLOC_VGPRS") == in.text.npos)
    throw Fault("a message that the simulator does not know");
}

}  // namespace

void open_barrier_if_complete(Workgroup& group) {
  if (group.waves_at_barrier == 0 || group.waves_at_barrier < group.waves - group.waves_done)
    return;
  group.waves_at_barrier = 0;
  ++group.barriers_passed;
}

void add_scalar_control(Opcodes& opcodes) {
  for (const char* name : {"s_nop", "s_clause", "s_delay_alu", "s_version", "s_sleep",
                           "s_sleep_var", "s_setprio", "s_wakeup", "s_icache_inv", "s_ttracedata",
                           "s_ttracedata_imm", "s_incperflevel", "s_decperflevel"})
    opcodes.add(name, nothing, Class::other);
  for (const char* name :
       {"s_wait_storecnt", "s_wait_dscnt", "s_wait_kmcnt", "s_wait_samplecnt", "s_wait_bvhcnt",
        "s_wait_expcnt", "s_wait_storecnt_dscnt", "s_wait_alu", "s_wait_event"})
    opcodes.add(name, nothing, Class::wait);
  opcodes.add("s_wait_loadcnt", wait_for_loads<0>, Class::wait);
  opcodes.add("s_wait_loadcnt_dscnt", wait_for_loads<8>, Class::wait);
  opcodes.add("s_wait_idle", wait_for_all, Class::wait);
  opcodes.add("s_endpgm", end, Class::other);
  opcodes.add("s_code_end", past_the_end, Class::other);
  opcodes.add("s_trap", trap, Class::other);
  opcodes.add("s_sendmsg", message, Class::other);

  opcodes.add("s_branch", jump, Class::branch);
  opcodes.add("s_cbranch_scc0", branch_if<scc_is_zero, true>, Class::branch);
  opcodes.add("s_cbranch_scc1", branch_if<scc_is_zero, false>, Class::branch);
  opcodes.add("s_cbranch_vccz", branch_if<vcc_is_zero, true>, Class::branch);
  opcodes.add("s_cbranch_vccnz", branch_if<vcc_is_zero, false>, Class::branch);
  opcodes.add("s_cbranch_execz", branch_if<exec_is_zero, true>, Class::branch);
  opcodes.add("s_cbranch_execnz", branch_if<exec_is_zero, false>, Class::branch);
  opcodes.add("s_getpc_b64", get_pc, Class::salu, {Type::b64});
  opcodes.add("s_setpc_b64", set_pc, Class::branch, {Type::b64});
  opcodes.add("s_swappc_b64", swap_pc, Class::branch, {Type::b64});
  opcodes.add("s_call_b64", call, Class::branch, {Type::b64, Type::b32});

  opcodes.add("s_barrier_signal", signal, Class::barrier);
  opcodes.add("s_barrier_signal_isfirst", signal_is_first, Class::barrier);
  opcodes.add("s_barrier_wait", wait, Class::barrier);
  opcodes.add("s_get_barrier_state", barrier_state, Class::barrier);

  opcodes.add("s_getreg_b32", get_register, Class::other);
  opcodes.add("s_setreg_b32", set_register, Class::other);
  opcodes.add("s_setreg_imm32_b32", set_register, Class::other);
  opcodes.add("s_round_mode", set_four_bits<0>, Class::other);
  opcodes.add("s_denorm_mode", set_four_bits<4>, Class::other);
}

}  // namespace isotope::sim
