// The two disassemblers' texts.
#include <charconv>

#include "jit/inspect/machine_code.h"

namespace isotope::jit {
namespace {

using Kind = Instruction::Kind;

/// Calls line(text) for each line.
template <typename Function>
void each_line(std::string_view text, const Function& line) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    line(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t"), end = text.find_last_not_of(" \t\r");
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin, end - begin + 1);
}

std::string_view first_word(std::string_view text) {
  return text.substr(0, text.find_first_of(" \t"));
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::uint64_t hex_number(std::string_view text) {
  if (text.starts_with("0x")) text.remove_prefix(2);
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

/// 16 of "global_load_b128", 2 of "global_load_d16_hi_b16".
int gfx_load_bytes(std::string_view name) {
  const std::size_t at = name.find_last_of('_');
  if (at == std::string_view::npos || at + 2 >= name.size()) return 0;
  int bits = 0;  // of b128, u16, i8; "tr_b128" and "d16_b16" end alike
  std::from_chars(name.data() + at + 2, name.data() + name.size(), bits);
  return bits / 8;
}

/// The type of "v_wmma_f32_16x16x16_fp8_fp8": its operands'.
std::string gfx_matrix_type(std::string_view name) {
  if (has(name, "_fp8_") || has(name, "_bf8_")) return "fp8";
  for (const std::string_view type : {"bf16", "f16", "iu8", "iu4"})
    if (has(name.substr(name.find("16x16")), type)) return std::string(type);
  return "other";
}

Instruction gfx_instruction(std::string_view text, std::uint64_t address, std::uint64_t base,
                            std::string_view comment) {
  Instruction instruction{.address = address};
  const std::string_view name = first_word(text);
  const bool load = has(name, "_load_");
  if (name.starts_with("scratch_") || (name.starts_with("buffer_") && has(text, "s[0:3]"))) {
    instruction.kind = Kind::local;
  } else if (load && (name.starts_with("global_") || name.starts_with("flat_") ||
                      name.starts_with("buffer_"))) {
    instruction.kind = Kind::load;
    instruction.bytes = gfx_load_bytes(name);
    instruction.streams = has(text, "TH_LOAD_NT");
  } else if (name.starts_with("v_wmma_") || name.starts_with("v_swmmac_")) {
    instruction.kind = Kind::matrix;
    instruction.type = gfx_matrix_type(name);
  } else if (name.starts_with("s_endpgm") || name.starts_with("s_setpc") ||
             name.starts_with("s_swappc")) {
    instruction.kind = Kind::end;
  } else if (name.starts_with("s_branch") || name.starts_with("s_cbranch")) {
    // The comment ends in <kernel+0x10>, the target relative to the kernel's first address.
    instruction.kind = name.starts_with("s_branch") ? Kind::jump : Kind::branch;
    const std::size_t plus = comment.rfind('+');
    instruction.target =
        base + (plus == std::string_view::npos ? 0 : hex_number(comment.substr(plus + 1)));
  }
  return instruction;
}

/// 16 of "LDG.E.NA.LTC128B.128.CONSTANT": the last part that is a width, 4 without one.
int sass_load_bytes(std::string_view name) {
  int bytes = 4;
  while (!name.empty()) {
    const std::string_view part = name.substr(0, name.find('.'));
    if (part == "64") bytes = 8;
    if (part == "128") bytes = 16;
    if (part == "256") bytes = 32;
    if (part == "U16" || part == "S16") bytes = 2;
    if (part == "U8" || part == "S8") bytes = 1;
    if (part.size() == name.size()) break;
    name.remove_prefix(part.size() + 1);
  }
  return bytes;
}

std::string sass_matrix_type(std::string_view name) {
  if (has(name, "E4M3") || has(name, "E5M2") || name.starts_with("QMMA") ||
      name.starts_with("QGMMA"))
    return "fp8";
  if (has(name, "BF16")) return "bf16";
  if (name.starts_with("HMMA") || name.starts_with("HGMMA")) return "f16";
  return "other";
}

Instruction sass_instruction(std::string_view text, std::uint64_t address) {
  Instruction instruction{.address = address};
  bool guarded = false;
  if (text.starts_with('@')) {
    guarded = true;
    text = trimmed(text.substr(first_word(text).size()));
  }
  const std::string_view name = first_word(text), root = name.substr(0, name.find('.'));
  if (root == "LDG" || root == "LD" || root == "LDGSTS") {
    instruction.kind = Kind::load;
    instruction.bytes = sass_load_bytes(name);
    instruction.streams = has(name, ".NA");
  } else if (root == "UBLKCP" || root == "UTMALDG" || root == "UTMACCTL") {
    instruction.kind = root == "UTMACCTL" ? Kind::other : Kind::bulk_load;
  } else if (root.ends_with("MMA")) {
    instruction.kind = Kind::matrix;
    instruction.type = sass_matrix_type(name);
  } else if (root == "LDL" || root == "STL") {
    instruction.kind = Kind::local;
  } else if (root == "EXIT" || root == "RET" || root == "BRX") {
    instruction.kind = guarded ? Kind::other : Kind::end;
  } else if (root == "BRA") {
    const std::size_t at = text.rfind("0x");
    instruction.target = at == std::string_view::npos ? 0 : hex_number(text.substr(at));
    // "BRA.DIV ~URZ, 0x…" and "BRA P1, 0x…" may go on.
    const bool conditional = guarded || has(name, ".DIV") || has(text, ",");
    instruction.kind = conditional ? Kind::branch : Kind::jump;
  }
  return instruction;
}

}  // namespace

Disassembly parse_gfx(std::string_view text) {
  Disassembly kernels;
  std::vector<Instruction>* kernel = nullptr;
  std::uint64_t base = 0;
  each_line(text, [&](std::string_view line) {
    if (line.ends_with(">:")) {  // "0000000000001900 <kernel>:"
      const std::size_t at = line.find('<');
      base = hex_number(first_word(line));
      kernel = &kernels[std::string(line.substr(at + 1, line.size() - at - 3))];
      return;
    }
    const std::size_t comment = line.find("//");
    if (!kernel || comment == std::string_view::npos) return;
    const std::string_view after = trimmed(line.substr(comment + 2));
    const std::string_view code = trimmed(line.substr(0, comment));
    if (!code.empty()) kernel->push_back(gfx_instruction(code, hex_number(after), base, after));
  });
  return kernels;
}

Disassembly parse_sass(std::string_view text) {
  Disassembly kernels;
  std::vector<Instruction>* kernel = nullptr;
  constexpr std::string_view kFunction = "Function : ";
  each_line(text, [&](std::string_view line) {
    if (const std::size_t at = line.find(kFunction); at != std::string_view::npos) {
      kernel = &kernels[std::string(trimmed(line.substr(at + kFunction.size())))];
      return;
    }
    line = trimmed(line);  // "/*0050*/   @P0 LDG.E R1, … ;   /* 0x… */"
    const std::size_t address_end = line.find("*/"), end = line.find(';');
    if (!kernel || !line.starts_with("/*") || end == std::string_view::npos || address_end > end)
      return;
    kernel->push_back(sass_instruction(trimmed(line.substr(address_end + 2, end - address_end - 2)),
                                       hex_number(line.substr(2, address_end - 2))));
  });
  return kernels;
}

}  // namespace isotope::jit
