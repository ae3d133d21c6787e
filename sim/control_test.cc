// Jumps, calls, the mode, barriers of several waves.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sim/kernel_testing.h"

namespace isotope::sim {
namespace {

struct Branch {
  const char* name;
  u32 vcc, exec;
  bool scc, taken;
};
constexpr Branch kBranches[] = {
    {"s_branch", 0, 0, false, true},          {"s_cbranch_scc0", 0, 0, false, true},
    {"s_cbranch_scc0", 0, 0, true, false},    {"s_cbranch_scc1", 0, 0, false, false},
    {"s_cbranch_scc1", 0, 0, true, true},     {"s_cbranch_vccz", 0, 1, false, true},
    {"s_cbranch_vccz", 16, 0, false, false},  {"s_cbranch_vccnz", 0, 1, false, false},
    {"s_cbranch_vccnz", 16, 0, false, true},  {"s_cbranch_execz", 1, 0, false, true},
    {"s_cbranch_execz", 0, 16, false, false}, {"s_cbranch_execnz", 1, 0, false, false},
    {"s_cbranch_execnz", 0, 16, false, true},
};

TEST(Control, Branches) {
  for (const Branch& branch : kBranches) {
    TestWave test;
    test.wave.vcc() = branch.vcc;
    test.wave.sgpr[kVccHi] = test.wave.sgpr[kExecHi] = 1;  // of no account in a wave of 32
    test.wave.sgpr[kExecLo] = branch.exec;
    test.wave.scc = branch.scc;
    // Behind the branch two instructions of 8 and 4 bytes.
    test.run(fmt::format("{} 3\n s_mov_b32 s0, 0x12345678\n s_mov_b32 s1, 2\n s_mov_b32 s2, 3",
                         branch.name));
    EXPECT_EQ(test.wave.sgpr[0], branch.taken ? 0 : 0x12345678u) << branch.name;
    EXPECT_EQ(test.wave.sgpr[1], branch.taken ? 0 : 2u) << branch.name;
    EXPECT_EQ(test.wave.sgpr[2], 3u) << branch.name;
  }
}

TEST(Control, LoopsRunAsOftenAsTheyShould) {
  TestWave test;
  test.run(
      "s_mov_b32 s0, 0\n s_mov_b32 s1, 10\n"
      "s_add_co_i32 s0, s0, s1\n s_sub_co_u32 s1, s1, 1\n s_cmp_lg_u32 s1, 0\n s_cbranch_scc1 -4");
  EXPECT_EQ(test.wave.sgpr[0], 55u);
  EXPECT_EQ(test.counters.instructions[std::size_t(Class::branch)], 10u);
  EXPECT_EQ(test.counters.instructions[std::size_t(Class::salu)], 32u);
}

TEST(Control, LoopsLongerThanATurn) {
  TestWave test;
  test.run(
      "s_mov_b32 s1, 100000\n s_sub_co_u32 s1, s1, 1\n s_cmp_lg_u32 s1, 0\n s_cbranch_scc1 -3\n "
      "s_movk_i32 s2, 5");
  EXPECT_EQ(test.wave.sgpr[1], 0u);
  EXPECT_EQ(test.wave.sgpr[2], 5u);
}

TEST(Control, JumpsToWhereNoInstructionBegins) {
  for (const char* text : {"s_branch 1\n s_mov_b32 s0, 0x12345678", "s_branch 1000", "s_branch -2",
                           "s_setpc_b64 s[0:1]", "s_call_b64 s[0:1], 1000"}) {
    TestWave test;
    const std::string fault = fault_of([&] { test.run(text); });
    EXPECT_NE(fault.find("where no instruction begins"), std::string::npos)
        << text << ": " << fault;
  }
  TestWave test;
  test.run("s_cbranch_scc1 1000");  // not taken
}

TEST(Control, CallsAndReturns) {
  TestWave test;
  auto& s = test.wave.sgpr;
  // s_getpc gives the address of what follows: the function lies 5 words behind that.
  test.run(
      "s_getpc_b64 s[0:1]\n"
      "s_add_nc_u64 s[0:1], s[0:1], 24\n"
      "s_swappc_b64 s[30:31], s[0:1]\n"
      "s_swappc_b64 s[30:31], s[0:1]\n"
      "s_call_b64 s[30:31], 2\n"
      "s_mov_b32 s5, 7\n"
      "s_endpgm\n"
      "s_add_co_u32 s4, s4, 1\n"
      "s_setpc_b64 s[30:31]");
  EXPECT_EQ(s[4], 3u);
  EXPECT_EQ(s[5], 7u);
  EXPECT_EQ((s[30] | u64(s[31]) << 32) - test.wave.program->address, 20u);
}

TEST(Control, ASwapMayUseTheSameRegisters) {
  TestWave test;
  test.run(
      "s_getpc_b64 s[0:1]\n s_add_nc_u64 s[0:1], s[0:1], 12\n s_swappc_b64 s[0:1], s[0:1]\n "
      "s_endpgm\n s_mov_b32 s4, 9\n"
      "s_setpc_b64 s[0:1]");
  EXPECT_EQ(test.wave.sgpr[4], 9u);
}

TEST(Control, WhatHasNoEffect) {
  TestWave test;
  const auto before = test.wave.sgpr;
  test.run(
      "s_nop 3\n s_clause 0x1\n s_delay_alu instid0(VALU_DEP_1)\n s_version 1\n s_sleep 3\n "
      "s_sleep_var s1\n s_setprio 3\n"
      "s_wakeup\n s_icache_inv\n s_ttracedata\n s_ttracedata_imm 3\n s_incperflevel 1\n "
      "s_decperflevel 1\n"
      "s_wait_loadcnt 0\n s_wait_storecnt 0\n s_wait_dscnt 0\n s_wait_kmcnt 0\n s_wait_samplecnt "
      "0\n s_wait_bvhcnt 0\n"
      "s_wait_expcnt 0\n s_wait_loadcnt_dscnt 0\n s_wait_storecnt_dscnt 0\n s_wait_alu 0\n "
      "s_wait_idle\n s_wait_event 0\n"
      "s_sendmsg sendmsg(MSG_DEALLOC_VGPRS)");
  EXPECT_EQ(test.wave.sgpr, before);
  EXPECT_EQ(test.counters.instructions[std::size_t(Class::wait)], 12u);
}

TEST(Control, EndsThatAreFaults) {
  TestWave test;
  EXPECT_NE(fault_of([&] { test.run("s_trap 2"); }).find("trapped in \"s_trap 2\" at byte 0x0"),
            std::string::npos);
  EXPECT_NE(fault_of([&] { test.run("s_nop 0\n s_code_end"); }).find("past the end"),
            std::string::npos);
  EXPECT_THROW(test.run("s_sendmsg sendmsg(MSG_INTERRUPT)"), Fault);
}

TEST(Control, TheModeOfFloats) {
  TestWave test;
  auto& s = test.wave.sgpr;
  const FloatMode& mode = test.wave.mode;
  test.run("s_getreg_b32 s0, hwreg(HW_REG_MODE, 0, 8)\n s_getreg_b32 s1, hwreg(HW_REG_MODE, 4, 2)");
  EXPECT_EQ(s[0], 0xf0u);
  EXPECT_EQ(s[1], 3u);
  test.run("s_denorm_mode 12\n s_round_mode 6");
  EXPECT_FALSE(mode.denormals_32);
  EXPECT_TRUE(mode.denormals_16_64);
  EXPECT_EQ(mode.round_32, 2);
  EXPECT_EQ(mode.round_16_64, 1);
  s[2] = 0xff3;
  test.run(
      "s_setreg_b32 hwreg(HW_REG_MODE, 4, 2), s2\n s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 2), 7");
  EXPECT_TRUE(mode.denormals_32);
  EXPECT_EQ(mode.round_32, 3);
  EXPECT_EQ(mode.round_16_64, 1);
  test.run(
      "s_setreg_imm32_b32 hwreg(HW_REG_MODE, 6, 2), 0\n s_setreg_imm32_b32 hwreg(HW_REG_MODE, 23, "
      "1), 1");
  EXPECT_FALSE(mode.denormals_16_64);
  EXPECT_TRUE(mode.clamp_overflow);
  test.run(
      "s_getreg_b32 s0, hwreg(HW_REG_MODE, 0, 8)\n s_getreg_b32 s1, hwreg(HW_REG_MODE, 23, 1)");
  EXPECT_EQ(s[0], 0x37u);
  EXPECT_EQ(s[1], 1u);
}

TEST(Control, HardwareRegistersThatAreNotKnown) {
  TestWave test;
  for (const char* text :
       {"s_getreg_b32 s0, hwreg(HW_REG_MODE)", "s_getreg_b32 s0, hwreg(HW_REG_STATUS, 0, 4)",
        "s_setreg_imm32_b32 hwreg(HW_REG_MODE, 7, 2), 1", "s_denorm_mode 1", "s_denorm_mode 8",
        "s_getreg_b32 s0, hwreg(HW_REG_SHADER_CYCLES_LO, 0, 20)"})
    EXPECT_THROW(test.run(text), Fault) << text;
}

TEST(Barrier, OneWavePassesAlone) {
  TestWave test;
  test.run(
      "s_barrier_signal -1\n s_barrier_wait -1\n s_mov_b32 s0, 1\n s_barrier_signal -1\n s_mov_b32 "
      "s1, 1\n s_barrier_wait -1\n"
      "s_mov_b32 s2, 1");
  EXPECT_EQ(test.wave.state, Wave::done);
  EXPECT_EQ(test.wave.sgpr[2], 1u);
  EXPECT_EQ(test.group.barriers_passed, 2u);
}

TEST(Barrier, WrongOrders) {
  for (const auto& [text, words] :
       {std::pair{"s_barrier_wait -1", "without a signal"},
        {"s_barrier_signal -1\n s_barrier_signal -1", "second signal"},
        {"s_barrier_signal -1\n s_endpgm", "between its signal"},
        {"s_barrier_signal 1", "other than the workgroup's"},
        {"s_barrier_signal m0", "other than the workgroup's"},
        {"s_barrier_signal -1\n s_barrier_wait 0", "other than the workgroup's"}}) {
    TestWave test;
    test.group.waves = 2;
    const std::string fault = fault_of([&] { test.run(text); });
    EXPECT_NE(fault.find(words), std::string::npos) << text << ": " << fault;
  }
}

TEST(Barrier, StateAndFirst) {
  TestWave test;
  test.group.waves = 4;
  test.group.waves_done = 1;
  test.run("s_barrier_signal_isfirst -1\n s_get_barrier_state s0, -1\n s_barrier_wait -1");
  EXPECT_TRUE(test.wave.scc);
  EXPECT_EQ(test.wave.sgpr[0], 1u << 16 | 3u << 4 | 1);
  EXPECT_EQ(test.wave.state, Wave::at_barrier);
  TestWave later;
  later.group.waves = 2;
  later.group.waves_at_barrier = 1;
  later.wave.scc = true;
  later.run("s_barrier_signal_isfirst -1\n s_barrier_wait -1");
  EXPECT_FALSE(later.wave.scc);
  EXPECT_EQ(later.wave.state, Wave::done);
}

using Workgroups = KernelTest;

TEST_F(Workgroups, WavesMeetAtBarriers) {
  // Each round every wave reads what its neighbour wrote in the round before.
  TestProgram program(R"(
    extern "C" __global__ void rounds(u32* out, int count) {
      __shared__ u32 values[1024];
      const u32 i = threadIdx.x, n = blockDim.x;
      values[i] = i;
      __syncthreads();
      for (int round = 0; round < count; ++round) {
        const u32 next = values[(i + 33) % n] * 3 + 1;
        __syncthreads();
        values[i] = next;
        __syncthreads();
      }
      out[blockIdx.x * n + i] = values[i];
    })");
  for (const u32 threads : {32u, 70u, 256u, 1024u}) {
    std::vector<u32> out(threads * 2), expected(threads), next(threads);
    for (u32 i = 0; i < threads; ++i) expected[i] = i;
    for (int round = 0; round < 7; ++round) {
      for (u32 i = 0; i < threads; ++i) next[i] = expected[(i + 33) % threads] * 3 + 1;
      expected = next;
    }
    program.add(out, "out");
    program.run("rounds", line(2), line(threads), out.data(), 7);
    program.memory.remove(out.data());
    for (u32 i = 0; i < 2 * threads; ++i)
      ASSERT_EQ(out[i], expected[i % threads]) << threads << " " << i;
  }
}

TEST_F(Workgroups, SplitBarriersLetAWaveWorkBetweenSignalAndWait) {
  TestProgram program(R"(
    extern "C" __global__ void split(u32* out) {
      __shared__ u32 flags[32];
      const u32 wave = threadIdx.x / 32;
      if (threadIdx.x % 32 == 0) flags[wave] = wave + 1;
      __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
      __builtin_amdgcn_s_barrier_signal(-1);
      u32 own = threadIdx.x;
      for (u32 i = 0; i < wave * 10; ++i) own = own * 5 + 1;
      __builtin_amdgcn_s_barrier_wait(-1);
      __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
      u32 sum = 0;
      for (u32 i = 0; i < blockDim.x / 32; ++i) sum += flags[i];
      out[threadIdx.x] = own + sum;
    })");
  std::vector<u32> out(8 * 32);
  program.add(out, "out");
  program.run("split", line(1), line(8 * 32), out.data());
  for (u32 i = 0; i < out.size(); ++i) {
    u32 own = i;
    for (u32 k = 0; k < i / 32 * 10; ++k) own = own * 5 + 1;
    ASSERT_EQ(out[i], own + 36) << i;
  }
}

TEST_F(Workgroups, WavesThatHaveEndedNoLongerCount) {
  TestProgram program(R"(
    extern "C" __global__ void leaves(u32* out, u32 staying) {
      __shared__ u32 values[256];
      if (threadIdx.x >= staying) return;
      values[threadIdx.x] = threadIdx.x + 1;
      __syncthreads();
      out[threadIdx.x] = values[staying - 1 - threadIdx.x];
    })");
  // Waves that leave run before and after the ones that wait, in turn.
  for (const u32 staying : {32u, 96u, 224u}) {
    std::vector<u32> out(staying);
    program.add(out, "out");
    program.run("leaves", line(1), line(256), out.data(), staying);
    program.memory.remove(out.data());
    for (u32 i = 0; i < staying; ++i) ASSERT_EQ(out[i], staying - i);
  }
  TestProgram late(R"(
    extern "C" __global__ void leaves_first(u32* out) {
      __shared__ u32 values[64];
      if (threadIdx.x < 32) return;
      values[threadIdx.x - 32] = threadIdx.x;
      __syncthreads();
      out[threadIdx.x - 32] = values[(threadIdx.x - 32) ^ 32];
    })");
  std::vector<u32> out(64);
  late.add(out, "out");
  late.run("leaves_first", line(1), line(96), out.data());
  for (u32 i = 0; i < 64; ++i) EXPECT_EQ(out[i], (i ^ 32) + 32);
}

TEST_F(Workgroups, AWaveMayWaitForAnotherInALoop) {
  TestProgram program(R"(
    extern "C" __global__ void hand_over(u32* turn, u32* out) {
      const u32 wave = threadIdx.x / 32, waves = blockDim.x / 32;
      // The last wave goes first.
      while (__hip_atomic_load(turn, __ATOMIC_ACQUIRE, __HIP_MEMORY_SCOPE_AGENT) != wave)
        __builtin_amdgcn_s_sleep(1);
      if (threadIdx.x % 32 == 0) {
        out[wave] = wave + 1 < waves ? out[wave + 1] + 1 : 0;
        __hip_atomic_store(turn, wave - 1, __ATOMIC_RELEASE, __HIP_MEMORY_SCOPE_AGENT);
      }
    })");
  std::vector<u32> turn(1, 3), out(4, 99);
  program.add(turn, "turn");
  program.add(out, "out");
  program.run("hand_over", line(1), line(128), turn.data(), out.data());
  EXPECT_EQ(out, (std::vector<u32>{3, 2, 1, 0}));
}

TEST_F(Workgroups, TrapsNameKernelWorkgroupAndWave) {
  TestProgram program(R"(
    extern "C" __global__ void traps(u32* out) {
      if (blockIdx.x == 2 && threadIdx.x == 40) __builtin_trap();
      out[0] = 1;
    })");
  std::vector<u32> out(1);
  program.add(out, "out");
  const std::string fault = fault_of([&] { program.run("traps", line(3), line(64), out.data()); });
  EXPECT_NE(fault.find("traps, workgroup (2, 0, 0), wave 1: the program has trapped"),
            std::string::npos)
      << fault;
}

}  // namespace
}  // namespace isotope::sim
