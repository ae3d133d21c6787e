// Machine code of gfx1201 to instructions, by LLVM's disassembler: what it prints is what is parsed.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "sim/instruction.h"

namespace isotope::sim {

/// "v_add_f32" of "v_add_f32_e32 v1, v2, v3" and of "v_dual_add_f32 …": what Opcodes knows it by.
std::string mnemonic_of(std::string_view text);

/// One instruction as LLVM prints it ("v_add_f32_e32 v1, v2, v3"). An unknown mnemonic gets a handler that is a Fault when it is
/// executed. Errors: Fault on text that cannot be understood.
Instruction parse_instruction(std::string_view text, std::vector<Instruction>& halves);

class Decoder {
 public:
  Decoder();
  ~Decoder();
  /// `code` lies at `address` in the simulated machine. Bytes that are no instruction are a Fault if they are executed.
  Program decode(std::span<const std::byte> code, std::uint64_t address);
  /// Bytes of one or several lines of assembler. Errors: Fault with the assembler's words.
  std::vector<std::byte> assemble(std::string_view text);

 private:
  struct Llvm;
  std::unique_ptr<Llvm> llvm_;
};

}  // namespace isotope::sim
