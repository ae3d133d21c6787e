// A decoded instruction, and the table of what is implemented.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace isotope::sim {

struct Wave;
struct Instruction;

/// Executes an instruction of a wave. Jumps by setting Wave::next. Errors: Fault.
using Handler = void (*)(Wave&, const Instruction&);

/// How a constant operand becomes bits: 1.0 is 0x3c00 as f16; a 32-bit literal is the upper half of an f64, and is extended
/// with its sign as i64 and with zeros as b64.
enum class Type : std::uint8_t { b32, f32, b16, f16, bf16, b64, i64, f64 };

enum class Class : std::uint8_t {
  salu, smem, valu, transcendental, wmma, lds, global, scratch, branch, barrier, wait, other
};
constexpr int kClasses = int(Class::other) + 1;
std::string_view name_of(Class cls);

constexpr int kMaxOperands = 6;

/// What is known of a mnemonic without its encoding ("v_add_f32" for v_add_f32_e32, _e64 and _dpp, and for either half of a
/// dual instruction).
struct Opcode {
  std::string_view name;
  Handler run;
  Class cls;
  /// Of the operands in the order of the assembler, results first; the last given holds for those behind it.
  std::array<Type, kMaxOperands> types{};
};

struct Operand {
  enum Kind : std::uint8_t { none, vgpr, sgpr, constant };
  Kind kind = none;
  std::uint8_t words = 0;   ///< registers of 32 bits
  std::uint16_t index = 0;  ///< of the first; scalar registers as they are encoded (wave.h)
  bool negate = false, absolute = false;
  bool high = false;        ///< the upper half of a register was named (v0.h)
  std::uint64_t value = 0;  ///< constants
};

/// DPP: which lane a lane's first source comes from.
struct LaneMove {
  enum Kind : std::uint8_t {
    none, quad_perm, row_shl, row_shr, row_ror, row_mirror, row_half_mirror, row_share, row_xmask, dpp8
  };
  Kind kind = none;
  std::uint8_t amount = 0;
  std::uint8_t row_mask = 0xf, bank_mask = 0xf;
  bool bound_control = false;   ///< lanes without a source read 0 instead of being left alone
  bool fetch_inactive = false;
  std::array<std::uint8_t, 8> select{};  ///< quad_perm: four, dpp8: eight
};

struct Instruction {
  Handler run = nullptr;
  const Opcode* opcode = nullptr;  ///< null: not implemented
  std::uint64_t address = 0;
  std::uint32_t bytes = 0;
  std::uint32_t target = 0;        ///< of a branch: index into Program::instructions
  std::uint8_t count = 0;
  std::array<Operand, kMaxOperands> operands{};
  bool clamp = false;
  std::uint8_t output_scale = 0;   ///< 0 none, 1 ·2, 2 ·4, 3 /2
  /// Bit i is of source i; op_sel's bit of the result is bit 3, and byte_sel and index_key are numbers in op_sel. op_sel_hi is
  /// all ones where it is not printed, but 0 for v_fma_mix*.
  std::uint8_t op_sel = 0, op_sel_hi = 7, neg_lo = 0, neg_hi = 0;
  std::int32_t offset = 0;
  std::uint8_t offset0 = 0, offset1 = 0;
  bool returns = false;            ///< an atomic's old value
  LaneMove dpp;
  std::int32_t other_half = -1;    ///< of a dual instruction: index into Program::halves
  std::string text;                ///< as the disassembler prints it
};

/// A dual instruction's handler runs `instruction` itself as its first half and then this.
struct Program {
  std::uint64_t address = 0;               ///< of the first byte
  std::vector<Instruction> instructions;
  std::vector<Instruction> halves;
  std::vector<std::int32_t> index_of_word;  ///< by (address - this->address) / 4; -1: inside an instruction
  /// Errors: Fault.
  std::uint32_t index_at(std::uint64_t where) const;
};

class Opcodes {
 public:
  /// Each name once.
  void add(std::string_view name, Handler run, Class cls, std::initializer_list<Type> types = {});
  /// Null if there is none.
  const Opcode* find(std::string_view name) const;
  const std::deque<Opcode>& list() const { return list_; }
  static const Opcodes& all();

 private:
  std::deque<Opcode> list_;
  std::map<std::string_view, const Opcode*> by_name_;
};

// Each is one file.
void add_scalar(Opcodes& opcodes);
void add_scalar_float(Opcodes& opcodes);
void add_scalar_memory(Opcodes& opcodes);
void add_scalar_control(Opcodes& opcodes);
void add_vector_float(Opcodes& opcodes);
void add_vector_integer(Opcodes& opcodes);
void add_vector_compare(Opcodes& opcodes);
void add_vector_convert(Opcodes& opcodes);
void add_vector_lanes(Opcodes& opcodes);
void add_vector_packed(Opcodes& opcodes);
void add_matrix(Opcodes& opcodes);
void add_lds(Opcodes& opcodes);
void add_global(Opcodes& opcodes);
void add_flat(Opcodes& opcodes);

}  // namespace isotope::sim
