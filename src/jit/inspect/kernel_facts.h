// What a compiled kernel takes of a GPU, read from its code object.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "jit/inspect/machine_code.h"

namespace isotope::jit {

struct KernelFacts {
  std::string name;
  int vgprs = 0;          ///< registers a lane
  int sgprs = 0;          ///< AMD only
  int spilled_vgprs = 0;  ///< AMD only; NVIDIA counts them in scratch_bytes
  int spilled_sgprs = 0;  ///< AMD only: to lanes of a VGPR, or to scratch memory if none is left
  std::int64_t scratch_bytes = 0;  ///< a lane
  std::int64_t shared_bytes = 0;   ///< static LDS or shared memory of a block
  int max_threads = 0;             ///< of a block
  /// Without a disassembler: nothing.
  std::optional<CodeCounts> code;
  std::vector<Loop> loops;
};

/// Turns code objects of one arch into text.
class Disassembler {
 public:
  /// llvm-objdump for gfx* (ISOTOPE_OBJDUMP names another), cuobjdump for sm_* (ISOTOPE_CUOBJDUMP);
  /// nothing if it is not installed. Errors: not_found if the one that the environment names does
  /// not run.
  static std::optional<Disassembler> open(std::string_view arch);
  /// Errors: internal with what the program wrote.
  Disassembly read(std::span<const std::byte> code) const;

 private:
  Disassembler(std::string program, bool nvidia) : program_(std::move(program)), nvidia_(nvidia) {}
  std::string program_;
  bool nvidia_;
};

/// All kernels of a code object, by name. Errors: corrupt_data naming `unit`.
std::vector<KernelFacts> inspect_code(std::span<const std::byte> code, std::string_view unit,
                                      std::string_view arch,
                                      const std::optional<Disassembler>& disassembler);

/// What shares a multiprocessor (on AMD a work-group processor).
struct Occupancy {
  int blocks = 0;  ///< at once
  int warps = 0;   ///< of these blocks
  int max_warps = 0;
};
/// `shared_bytes` static and dynamic together; `threads` of a block. Rules: LLVM's AMDGPUBaseInfo
/// for gfx12 (1536 registers in steps of 24 and 16 waves for each of four SIMDs, 128 KiB LDS),
/// CUDA's occupancy calculator for sm_80 to sm_90.
Occupancy occupancy(std::string_view arch, int registers, std::int64_t shared_bytes, int threads);

}  // namespace isotope::jit
