// For tests: instructions given as assembler, executed on one wave, and kernels given as HIP, compiled and launched.
#pragma once

#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sim/code_object.h"
#include "sim/counters.h"
#include "sim/machine.h"
#include "sim/memory.h"
#include "sim/wave.h"

namespace isotope::sim {

/// A wave of its own workgroup with 256 registers, all lanes on; everything else is 0.
class TestWave {
 public:
  explicit TestWave(std::size_t lds_bytes = 0);
  /// Assembles and executes lines of assembler; what registers hold stays from call to call. Errors: Fault.
  void run(std::string_view assembler);

  Wave wave;
  Workgroup group;
  Memory memory;
  Counters counters;
};

/// Whether there is a clang that compile_hip can run: ISOTOPE_CLANG or clang-19. Without one tests of kernels are skipped.
bool have_hip_compiler();

/// The code object of a text in HIP for gfx1201, at -O3 without AMD's headers and libraries. Kept in the build folder by text
/// and options. Errors: Fault with the compiler's words.
std::vector<std::byte> compile_hip(std::string_view text, std::vector<std::string> options = {});

/// What HIP's headers would have given: __global__, __shared__, threadIdx, __syncthreads()…
extern const std::string_view kHipPrelude;

/// A program in HIP (kHipPrelude stands before it) with the memory that it may use.
class TestProgram {
 public:
  explicit TestProgram(std::string_view text, std::vector<std::string> options = {});

  /// Elements that kernels may read and write, under a name for messages.
  template <typename T>
  void add(std::vector<T>& elements, std::string name, bool writable = true) {
    memory.add(elements.data(), elements.size() * sizeof(T), std::move(name), writable);
  }
  /// Arguments must have the types of the kernel's parameters. Errors: Fault.
  template <typename... Arguments>
  void run(std::string_view kernel, std::array<u32, 3> grid, std::array<u32, 3> threads, const Arguments&... arguments) {
    std::vector<std::byte> packed;
    (append(packed, &arguments, sizeof(arguments), alignof(Arguments)), ...);
    launch(kernel, grid, threads, packed);
  }

  CodeObject code;
  Memory memory;
  Counters counters;
  u32 dynamic_lds = 0;

 private:
  static void append(std::vector<std::byte>& packed, const void* argument, std::size_t bytes, std::size_t alignment);
  void launch(std::string_view kernel, std::array<u32, 3> grid, std::array<u32, 3> threads, std::span<const std::byte> packed);
};

/// Opcodes that TestWave has executed in this process, for the coverage table.
const std::set<const Opcode*>& exercised_opcodes();

}  // namespace isotope::sim
