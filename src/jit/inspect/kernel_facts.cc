#include "jit/inspect/kernel_facts.h"

#include <algorithm>
#include <charconv>

#include "base/checked.h"
#include "base/error.h"
#include "jit/inspect/formats.h"
#include "jit/process.h"
#include "jit/rtc.h"

namespace isotope::jit {
namespace {

bool runs(const std::string& program) { return run_process({program, "--version"}).succeeded(); }

}  // namespace

std::optional<Disassembler> Disassembler::open(std::string_view arch) {
  const bool nvidia = arch.starts_with("sm_");
  const char* variable = nvidia ? "ISOTOPE_CUOBJDUMP" : "ISOTOPE_OBJDUMP";
  if (const std::string named = environment(variable); !named.empty()) {
    if (!runs(named))
      fail(ErrorCode::not_found, "{}={}: this program does not run", variable, named);
    return Disassembler(named, nvidia);
  }
  const std::vector<std::string> programs =
      nvidia ? std::vector<std::string>{"cuobjdump", "/usr/local/cuda/bin/cuobjdump",
                                        "/opt/cuda/bin/cuobjdump"}
             : std::vector<std::string>{"llvm-objdump-19", "llvm-objdump-20", "llvm-objdump-21",
                                        "llvm-objdump", "/opt/rocm/llvm/bin/llvm-objdump"};
  for (const std::string& program : programs)
    if (runs(program)) return Disassembler(program, nvidia);
  return std::nullopt;
}

Disassembly Disassembler::read(std::span<const std::byte> code) const {
  const TemporaryFolder folder;
  folder.write("code", {reinterpret_cast<const char*>(code.data()), code.size()});
  const ProcessResult result = run_process(
      {program_, nvidia_ ? "--dump-sass" : "--disassemble", (folder.path() / "code").string()});
  if (!result.succeeded())
    fail(ErrorCode::internal, "{} cannot read a code object: {}", program_,
         result.output.substr(0, 2000));
  return nvidia_ ? parse_sass(result.output) : parse_gfx(result.output);
}

std::vector<KernelFacts> inspect_code(std::span<const std::byte> code, std::string_view unit,
                                      std::string_view arch,
                                      const std::optional<Disassembler>& disassembler) {
  std::vector<KernelFacts> kernels =
      arch.starts_with("sm_") ? read_cubin(code, unit) : read_amd_code(code, unit);
  if (!disassembler) return kernels;
  const Disassembly text = disassembler->read(code);
  for (KernelFacts& kernel : kernels) {
    const auto found = text.find(kernel.name);
    if (found == text.end() || found->second.empty())
      fail(ErrorCode::corrupt_data, "{}: the disassembly has no kernel {}", unit, kernel.name);
    kernel.code = count(found->second);
    kernel.loops = find_loops(found->second);
  }
  return kernels;
}

Occupancy occupancy(std::string_view arch, int registers, std::int64_t shared_bytes, int threads) {
  const int warps_of_block = std::max(1, ceil_div(threads, 32));
  if (!arch.starts_with("sm_")) {
    constexpr int kSimds = 4, kWaves = 16, kRegisters = 1536, kStep = 24;
    constexpr std::int64_t kLds = 128 * 1024, kLdsStep = 1024;
    const int waves = std::min(kWaves, kRegisters / round_up(std::max(1, registers), kStep));
    int blocks = waves * kSimds / warps_of_block;
    if (shared_bytes > 0) blocks = std::min(blocks, int(kLds / round_up(shared_bytes, kLdsStep)));
    return {blocks, blocks * warps_of_block, kSimds * kWaves};
  }
  int sm = 0;
  std::from_chars(arch.data() + 3, arch.data() + arch.size(), sm);
  const bool small = sm == 86 || sm == 89 || sm >= 120;
  const int max_warps = small ? 48 : 64, max_blocks = sm == 86 ? 16 : small ? 24 : 32;
  const std::int64_t shared = (small ? 100 : sm == 80 ? 164 : 228) * std::int64_t(1024);
  // Registers are given to warps in steps of 256, from the quarter of the file that the warp's
  // scheduler has.
  const int registers_of_warp = round_up(std::max(1, registers) * 32, 256);
  const int warps = std::min(max_warps, 65536 / 4 / registers_of_warp * 4);
  int blocks = std::min(max_blocks, warps / warps_of_block);
  blocks = std::min(blocks, int(shared / round_up<std::int64_t>(shared_bytes + 1024, 128)));
  return {blocks, blocks * warps_of_block, max_warps};
}

}  // namespace isotope::jit
