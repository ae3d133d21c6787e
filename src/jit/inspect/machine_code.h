// Disassembled kernels, as far as a report needs them: loads, matrix instructions, loops.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace isotope::jit {

struct Instruction {
  std::uint64_t address = 0;
  enum class Kind {
    other,
    load,       ///< from global memory, `bytes` a lane
    bulk_load,  ///< from global to shared memory by the copy engine
    matrix,     ///< `type` says of what
    local,      ///< to or from scratch memory
    branch,     ///< may go to `target` or on
    jump,       ///< goes to `target`
    end,        ///< of the kernel, or a jump to who knows where
  } kind = Kind::other;
  int bytes = 0;
  bool streams = false;  ///< a load marked as read once: load_stream() of kernel text
  std::uint64_t target = 0;
  std::string type;  ///< "fp8", "bf16", "f16"
};

/// The kernels of a disassembly by name, instructions in order of addresses. Other lines are
/// skipped.
using Disassembly = std::map<std::string, std::vector<Instruction>, std::less<>>;
/// As `llvm-objdump -d` prints gfx code.
Disassembly parse_gfx(std::string_view text);
/// As `cuobjdump --dump-sass` prints.
Disassembly parse_sass(std::string_view text);

/// What a stretch of code holds.
struct CodeCounts {
  std::map<int, int> loads;     ///< loads from global memory by bytes a lane
  std::map<int, int> streamed;  ///< of these, those marked as read once
  int bulk_loads = 0;
  std::map<std::string, int> matrix;  ///< matrix instructions by type
  int local = 0;

  int wide() const;    ///< loads of 16 bytes and more, bulk loads included
  int narrow() const;  ///< loads of less than 16 bytes
};
CodeCounts count(const std::vector<Instruction>& code);

/// A natural loop of a kernel, by what it holds.
struct Loop {
  std::uint64_t first = 0;  ///< address of its header
  CodeCounts counts;
  CodeCounts own;                     ///< without what is in loops inside
  std::vector<std::uint64_t> inside;  ///< `first` of the loops inside, at any depth
};
std::vector<Loop> find_loops(const std::vector<Instruction>& code);

}  // namespace isotope::jit
