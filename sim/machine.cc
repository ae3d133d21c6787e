#include "sim/machine.h"

#include <fmt/core.h>

#include <cstring>

#include "sim/lds_check.h"

namespace isotope::sim {
namespace {

constexpr u32 kMaxLds = 64 << 10;
/// A wave gives way to the others of its workgroup after this many instructions: it may be waiting for them in a loop.
constexpr u64 kTurn = u64(1) << 16;
/// A workgroup that executes more instructions than this hangs.
constexpr u64 kMaxInstructions = u64(1) << 32;

/// hsa_kernel_dispatch_packet_t, as far as kernels look.
struct DispatchPacket {
  u16 header, setup;
  u16 threads[3], reserved0;
  u32 grid[3];
  u32 scratch_bytes, lds_bytes;
  u64 kernel_object, kernargs, reserved1, completion;
};
static_assert(sizeof(DispatchPacket) == 64);

u64 hidden_value(const std::string& kind, const Launch& launch) {
  const auto axis = [&] { return std::size_t(kind.back() - 'x'); };
  if (kind.starts_with("hidden_block_count_")) return launch.grid[axis()];
  if (kind.starts_with("hidden_group_size_")) return launch.threads[axis()];
  if (kind.starts_with("hidden_remainder_") || kind.starts_with("hidden_global_offset_")) return 0;
  if (kind == "hidden_grid_dims") return launch.grid[2] > 1 ? 3 : launch.grid[1] > 1 ? 2 : 1;
  if (kind == "hidden_dynamic_lds_size") return launch.dynamic_lds;
  if (kind == "hidden_none") return 0;
  // A kernel that calls what the compiler does not know might want them: reading through one is a fault.
  for (const char* pointer : {"hidden_hostcall_buffer", "hidden_printf_buffer", "hidden_heap_v1", "hidden_multigrid_sync_arg",
                              "hidden_default_queue", "hidden_completion_action", "hidden_queue_ptr"})
    if (kind == pointer) return 0;
  throw Fault("the kernel wants the argument " + kind + ", which the simulator does not have");
}

std::vector<std::byte> kernel_arguments(const Kernel& kernel, const Launch& launch) {
  if (launch.arguments.size() != kernel.explicit_bytes)
    throw Fault(fmt::format("{} takes {} bytes of arguments, not {}", kernel.name, kernel.explicit_bytes, launch.arguments.size()));
  std::vector<std::byte> bytes(std::max<std::size_t>(kernel.kernarg_bytes, kernel.explicit_bytes));
  std::memcpy(bytes.data(), launch.arguments.data(), launch.arguments.size());
  for (const HiddenArgument& hidden : kernel.hidden) {
    const u64 value = hidden_value(hidden.kind, launch);
    if (hidden.offset + hidden.bytes > bytes.size() || hidden.bytes > sizeof(value))
      throw Fault(kernel.name + " has a hidden argument outside of its arguments");
    std::memcpy(bytes.data() + hidden.offset, &value, hidden.bytes);
  }
  return bytes;
}

struct Dispatch {
  const CodeObject& code;
  const Kernel& kernel;
  const Launch& launch;
  std::vector<std::byte> arguments;
  DispatchPacket packet{};
  u32 threads;

  void begin_wave(Workgroup& group, int id, Wave& wave) const;
};

/// https://llvm.org/docs/AMDGPUUsage.html#initial-kernel-execution-state
void Dispatch::begin_wave(Workgroup& group, int id, Wave& wave) const {
  wave.id = id;
  wave.group = &group;
  wave.program = &code.program();
  wave.mode = kernel.mode;
  wave.now = kernel.entry;
  wave.vgpr.resize(std::max<u32>(kernel.vgprs, 1));
  // Nobody may rely on what registers hold at the beginning.
  for (Lanes& lanes : wave.vgpr) lanes.fill(0xfff1fff1u);
  wave.sgpr.fill(0xfff1fff1u);
  int next = 0;
  const auto give = [&](u64 value) {
    wave.sgpr[std::size_t(next)] = u32(value);
    wave.sgpr[std::size_t(next) + 1] = u32(value >> 32);
    next += 2;
  };
  if (kernel.dispatch_packet) give(u64(&packet));
  if (kernel.queue) throw Fault(kernel.name + " wants a queue, which the simulator does not have");
  if (kernel.kernargs) give(u64(arguments.data()));
  if (kernel.dispatch_id) give(0);
  if (kernel.scratch_size) wave.sgpr[std::size_t(next)] = kernel.scratch_bytes;
  wave.sgpr[kTtmp + 8] = u32(id) << 25;
  wave.sgpr[kTtmp + 9] = group.id[0];
  wave.sgpr[kTtmp + 7] = (group.id[1] & 0xffff) | group.id[2] << 16;
  wave.scratch_bytes = kernel.scratch_bytes;
  wave.scratch.assign(std::size_t(kernel.scratch_bytes) * kLanes, 0xcd);
  u32 exec = 0;
  for (u32 lane = 0; lane < kLanes; ++lane) {
    const u32 item = u32(id) * kLanes + lane;
    if (item >= threads) continue;
    exec |= 1u << lane;
    const u32 x = item % launch.threads[0], y = item / launch.threads[0] % launch.threads[1],
              z = item / launch.threads[0] / launch.threads[1];
    wave.vgpr[0][lane] = x | y << 10 | z << 20;
  }
  wave.sgpr[kExecLo] = exec;
  wave.sgpr[kExecHi] = 0;
}

void run_group(const Dispatch& dispatch, std::vector<Wave>& waves, Workgroup& group) {
  group.waves = int(waves.size());
  for (std::size_t i = 0; i < waves.size(); ++i) {
    waves[i] = Wave();
    dispatch.begin_wave(group, int(i), waves[i]);
  }
  u64 executed = 0;
  while (group.waves_done < group.waves) {
    bool moved = false;
    for (Wave& wave : waves) {
      if (wave.state == Wave::at_barrier && wave.barrier_seen == group.barriers_passed) continue;
      if (wave.state == Wave::done) continue;
      moved = true;
      wave.state = Wave::running;
      try {
        executed += run_wave(wave);
        if (executed > kMaxInstructions) throw Fault("the workgroup does not come to an end");
      } catch (const Fault& fault) {
        throw Fault(fmt::format("{}, workgroup ({}, {}, {}), wave {}: {}", dispatch.kernel.name, group.id[0], group.id[1],
                                group.id[2], wave.id, fault.what()),
                    fault.kind());
      }
      if (wave.state != Wave::done) continue;
      ++group.waves_done;
      open_barrier_if_complete(group);
    }
    if (!moved)
      throw Fault(fmt::format("{}, workgroup ({}, {}, {}): {} of {} waves wait at a barrier that the others never reach",
                              dispatch.kernel.name, group.id[0], group.id[1], group.id[2], group.waves - group.waves_done,
                              group.waves));
  }
}

}  // namespace

u64 run_wave(Wave& wave) {
  const std::vector<Instruction>& instructions = wave.program->instructions;
  Counters* const counters = wave.group ? wave.group->counters : nullptr;
  u64 executed = 0;
  for (; wave.state == Wave::running && executed < kTurn; ++executed) {
    if (wave.now >= instructions.size()) throw Fault("the wave has left its code");
    const Instruction& instruction = instructions[wave.now];
    wave.next = wave.now + 1;
    try {
      instruction.run(wave, instruction);
    } catch (const Fault& fault) {
      throw Fault(fmt::format("{} in \"{}\" at byte {:#x} of the code", fault.what(), instruction.text,
                              instruction.address - wave.program->address),
                  fault.kind());
    }
    if (counters && instruction.opcode) {
      ++counters->instructions[std::size_t(instruction.opcode->cls)];
      if (counters->wants_opcodes) ++counters->opcodes[instruction.opcode];
    }
    wave.now = wave.next;
  }
  return executed;
}

void run(const CodeObject& code, const Kernel& kernel, const Launch& launch, Memory& memory, Counters& counters) {
  Dispatch dispatch{code, kernel, launch, kernel_arguments(kernel, launch)};
  dispatch.threads = launch.threads[0] * launch.threads[1] * launch.threads[2];
  if (dispatch.threads == 0 || dispatch.threads > kernel.max_threads)
    throw Fault(fmt::format("{} runs with 1 to {} threads, not {}", kernel.name, kernel.max_threads, dispatch.threads));
  if (kernel.lds_bytes + launch.dynamic_lds > kMaxLds)
    throw Fault(fmt::format("{} would take {} bytes of LDS; a workgroup has {}", kernel.name,
                            kernel.lds_bytes + launch.dynamic_lds, kMaxLds));
  for (std::size_t i = 0; i < 3; ++i) {
    dispatch.packet.threads[i] = u16(launch.threads[i]);
    dispatch.packet.grid[i] = launch.grid[i] * launch.threads[i];
  }
  memory.add(dispatch.arguments.data(), dispatch.arguments.size(), "the kernel's arguments", false);
  memory.add(&dispatch.packet, sizeof(dispatch.packet), "the dispatch packet", false);
  struct Forget {
    Memory& memory;
    Dispatch& dispatch;
    ~Forget() {
      memory.forget(dispatch.arguments.data());
      memory.forget(&dispatch.packet);
    }
  } forget{memory, dispatch};
  ++memory.launch;
  std::vector<Wave> waves((dispatch.threads + kLanes - 1) / kLanes);
  LdsCheck lds_check(memory.checks);
  for (u32 z = 0; z < launch.grid[2]; ++z)
    for (u32 y = 0; y < launch.grid[1]; ++y)
      for (u32 x = 0; x < launch.grid[0]; ++x) {
        Workgroup group;
        group.id = {x, y, z};
        group.lds.assign(kernel.lds_bytes + launch.dynamic_lds, 0xcd);
        group.memory = &memory;
        group.counters = &counters;
        group.lds_check = &lds_check;
        lds_check.begin_group(group.lds.size());
        run_group(dispatch, waves, group);
        ++counters.workgroups;
        counters.waves += waves.size();
      }
}

}  // namespace isotope::sim
