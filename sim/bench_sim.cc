// Speed of the simulator: wave instructions a second of a loop of vector instructions, by this
// process's processor time.
#include <fmt/core.h>

#include <cstdlib>
#include <ctime>
#include <string_view>

#include "sim/decode.h"
#include "sim/testing.h"

namespace isotope::sim {
namespace {

struct Mix {
  const char* name;
  std::string_view setup, body;
  int instructions;  ///< of the body
};

constexpr Mix kMixes[] = {
    {"v_fma_f32, v_add_nc_u32, v_lshlrev_b32, v_cndmask_b32", "s_mov_b32 vcc_lo, 0x5555aaaa",
     "v_fma_f32 v1, v2, v3, v1\nv_add_nc_u32 v4, v5, v4\nv_lshlrev_b32 v6, 3, v4\nv_cndmask_b32 "
     "v7, v6, v4, vcc_lo\n"
     "v_fma_f32 v8, v2, v3, v8\nv_add_nc_u32 v9, s1, v9\nv_lshlrev_b32 v10, v5, v9\nv_cndmask_b32 "
     "v11, v6, v4, vcc_lo\n",
     8},
    {"the same with half of the lanes on", "s_mov_b32 exec_lo, 0xffff",
     "v_fma_f32 v1, v2, v3, v1\nv_add_nc_u32 v4, v5, v4\nv_lshlrev_b32 v6, 3, v4\nv_cndmask_b32 "
     "v7, v6, v4, vcc_lo\n",
     4},
    {"v_fma_f32", "s_nop 0", "v_fma_f32 v1, v2, v3, v1\nv_fma_f32 v4, v2, v3, v4\n", 2},
    {"v_add_f32, v_mul_f32, v_max_num_f32", "s_nop 0",
     "v_add_f32 v1, v2, v3\nv_mul_f32 v4, v2, v3\nv_max_num_f32 v5, v2, v1\n", 3},
    {"v_add_co_u32, v_add_co_ci_u32", "s_nop 0",
     "v_add_co_u32 v1, vcc_lo, v2, v3\nv_add_co_ci_u32 v4, vcc_lo, v5, v6, vcc_lo\n", 2},
    {"v_cmp_gt_i32, v_cndmask_b32", "s_nop 0",
     "v_cmp_gt_i32 vcc_lo, v2, v3\nv_cndmask_b32 v4, v2, v3, vcc_lo\n", 2},
    {"v_lshlrev_b64, v_mad_co_u64_u32", "s_nop 0",
     "v_lshlrev_b64 v[1:2], 4, v[3:4]\nv_mad_co_u64_u32 v[6:7], null, v1, v2, v[3:4]\n", 2},
    {"v_dual_mov_b32 and v_dual_add_f32", "s_nop 0",
     "v_dual_mov_b32 v1, v2 :: v_dual_add_f32 v4, v3, v5\n", 1},
    {"v_exp_f32, v_rcp_f32", "s_nop 0", "v_exp_f32 v1, v2\nv_rcp_f32 v3, v1\n", 2},
    {"s_add_co_i32, s_and_b32", "s_nop 0", "s_add_co_i32 s1, s1, 3\ns_and_b32 s2, s1, 7\n", 2},
};

double seconds() { return double(std::clock()) / CLOCKS_PER_SEC; }

void measure(const Mix& mix, int rounds) {
  constexpr int kRepeats = 16;
  std::string loop;
  for (int i = 0; i < kRepeats; ++i) loop += mix.body;
  loop += "s_sub_co_i32 s0, s0, 1\ns_cmp_lg_u32 s0, 0\n";
  // Jumps count words from behind themselves.
  const std::size_t words = Decoder().assemble(loop).size() / 4 + 1;
  const std::string code = fmt::format("{}\ns_mov_b32 s0, {}\n{}s_cbranch_scc1 {}\n", mix.setup,
                                       rounds, loop, 65536 - words);
  TestWave test;
  for (int vgpr = 0; vgpr < 16; ++vgpr)
    for (int lane = 0; lane < kLanes; ++lane)
      test.wave.vgpr[vgpr][lane] = 0x3f800000u + u32(vgpr * 4096 + lane);
  const double begin = seconds();
  test.run(code);
  const double count = double(rounds) * (mix.instructions * kRepeats + 3);
  fmt::print("{:7.1f} M/s  {}\n", count / (seconds() - begin) / 1e6, mix.name);
}

}  // namespace
}  // namespace isotope::sim

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 100000;
  for (const auto& mix : isotope::sim::kMixes)
    isotope::sim::measure(mix, rounds / mix.instructions);
}
