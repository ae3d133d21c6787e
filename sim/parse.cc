#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "sim/decode.h"
#include "sim/wave.h"

namespace isotope::sim {
namespace {

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

/// Parts between commas outside of brackets.
std::vector<std::string_view> split_operands(std::string_view s) {
  std::vector<std::string_view> parts;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= s.size(); ++i) {
    if (i < s.size() && (s[i] == '[' || s[i] == '(')) ++depth;
    if (i < s.size() && (s[i] == ']' || s[i] == ')')) --depth;
    if (i == s.size() || (s[i] == ',' && depth == 0)) {
      if (const auto part = trim(s.substr(begin, i - begin)); !part.empty()) parts.push_back(part);
      begin = i + 1;
    }
  }
  return parts;
}

[[noreturn]] void not_understood(std::string_view what, std::string_view text) {
  throw Fault("the simulator does not understand \"" + std::string(what) + "\" in \"" + std::string(text) + "\"");
}

std::optional<std::int64_t> integer(std::string_view s) {
  bool negative = false;
  if (!s.empty() && s.front() == '-') negative = true, s.remove_prefix(1);
  int base = 10;
  if (s.starts_with("0x")) base = 16, s.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value, base);
  if (error != std::errc() || end != s.data() + s.size() || s.empty()) return std::nullopt;
  return negative ? -std::int64_t(value) : std::int64_t(value);
}

struct NamedScalar {
  std::string_view name;
  u16 index;
  u8 words;
};
constexpr NamedScalar kNamedScalars[] = {
    {"vcc_lo", kVccLo, 1}, {"vcc_hi", kVccHi, 1},   {"vcc", kVccLo, 2},    {"exec_lo", kExecLo, 1},
    {"exec_hi", kExecHi, 1}, {"exec", kExecLo, 2},  {"m0", kM0, 1},        {"null", kNull, 1},
};

/// v5, v[1:4], s5, ttmp[0:1], vcc_lo…; false: no register.
bool parse_register(std::string_view s, Operand& operand) {
  for (const NamedScalar& named : kNamedScalars)
    if (s == named.name) {
      operand.kind = Operand::sgpr;
      operand.index = named.index;
      operand.words = named.words;
      return true;
    }
  u16 base = 0;
  if (s.starts_with("ttmp"))
    operand.kind = Operand::sgpr, base = kTtmp, s.remove_prefix(4);
  else if (s.starts_with("s") && s.size() > 1 && (s[1] == '[' || std::isdigit(s[1])))
    operand.kind = Operand::sgpr, s.remove_prefix(1);
  else if (s.starts_with("v") && s.size() > 1 && (s[1] == '[' || std::isdigit(s[1])))
    operand.kind = Operand::vgpr, s.remove_prefix(1);
  else
    return false;
  if (s.ends_with(".h") || s.ends_with(".l")) operand.high = s.back() == 'h', s.remove_suffix(2);
  std::int64_t first = 0, last = 0;
  if (s.starts_with("[") && s.ends_with("]")) {
    const std::size_t colon = s.find(':');
    const auto a = integer(s.substr(1, (colon == s.npos ? s.size() - 1 : colon) - 1));
    const auto b = colon == s.npos ? a : integer(s.substr(colon + 1, s.size() - colon - 2));
    if (!a || !b) return false;
    first = *a, last = *b;
  } else {
    const auto a = integer(s);
    if (!a) return false;
    first = last = *a;
  }
  const std::int64_t limit = operand.kind == Operand::vgpr ? 256 : kScalars - base;
  if (first < 0 || last < first || last >= limit) return false;
  operand.index = u16(base + first);
  operand.words = u8(last - first + 1);
  return true;
}

u16 f16_bits(double value) {
  // Inline constants only: ±0.5, 1, 2, 4 and 1/(2π).
  const float f = float(value);
  const u32 bits = std::bit_cast<u32>(f);
  if (std::abs(f) < 0.2f) return u16(0x3118 | (bits >> 16 & 0x8000));
  return u16((bits >> 16 & 0x8000) | ((bits >> 23 & 0xff) - 127 + 15) << 10 | (bits >> 13 & 0x3ff));
}

u64 float_constant(double value, Type type) {
  const float f = float(value);
  switch (type) {
    case Type::f16: return f16_bits(value);
    case Type::bf16: return std::bit_cast<u32>(f) >> 16;
    case Type::f64: case Type::b64: case Type::i64:
      return std::abs(value) < 0.2 ? (std::signbit(value) ? 0xbfc45f306dc9c882u : 0x3fc45f306dc9c882u)
                                   : std::bit_cast<u64>(value);
    default: return std::bit_cast<u32>(f);
  }
}

struct NamedConstant {
  std::string_view name;
  u64 value;
};
constexpr NamedConstant kNamedConstants[] = {
    {"src_shared_base", kLdsAperture}, {"src_shared_limit", kLdsAperture | 0xffffffff},
    {"src_private_base", kScratchAperture}, {"src_private_limit", kScratchAperture | 0xffffffff},
};

bool parse_constant(std::string_view s, Type type, Operand& operand) {
  operand.kind = Operand::constant;
  for (const NamedConstant& named : kNamedConstants)
    if (s == named.name) {
      operand.value = named.value;
      return true;
    }
  if (const auto value = integer(s)) {
    const bool is_inline = *value >= -16 && *value <= 64;
    if (is_inline || type == Type::b64)
      operand.value = is_inline ? u64(*value) : u64(u32(*value));
    else if (type == Type::i64)
      operand.value = u64(std::int64_t(i32(*value)));
    else if (type == Type::f64)
      operand.value = u64(u32(*value)) << 32;
    else
      operand.value = u64(*value);
    if (type != Type::b64 && type != Type::i64 && type != Type::f64) operand.value = u32(operand.value);
    return true;
  }
  char* end = nullptr;
  const std::string text(s);
  const double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || *end) return false;
  operand.value = float_constant(value, type);
  return true;
}

/// hwreg(HW_REG_MODE, 4, 2) as it is encoded: the register, its first bit from bit 6, the number of bits less 1 from bit 11.
u32 parse_hardware_register(std::string_view s, std::string_view text) {
  const auto parts = split_operands(s.substr(6, s.size() - 7));
  if (parts.empty() || parts.size() == 2 || parts.size() > 3) not_understood(s, text);
  // Register 0 does not exist.
  const u32 code = parts[0] == "HW_REG_MODE" ? kModeRegister : u32(integer(parts[0]).value_or(0));
  if (parts.size() == 1) return code | 31 << 11;
  const auto first = integer(parts[1]), bits = integer(parts[2]);
  if (!first || !bits) not_understood(s, text);
  return code | u32(*first) << 6 | u32(*bits - 1) << 11;
}

void parse_operand(std::string_view s, Type type, std::string_view text, Operand& operand) {
  const std::string_view whole = s;
  if (s == "off") {
    operand.kind = Operand::none;
    return;
  }
  if (s.starts_with("sendmsg(") || s.starts_with("hwreg(")) {
    operand.kind = Operand::constant;
    if (s.starts_with("hwreg(")) operand.value = parse_hardware_register(s, text);
    return;
  }
  if (s.starts_with("neg(") && s.ends_with(")")) operand.negate = true, s = s.substr(4, s.size() - 5);
  if (s.starts_with("-") && s.size() > 1 && !std::isdigit(s[1])) operand.negate = true, s.remove_prefix(1);
  if (s.starts_with("|") && s.ends_with("|") && s.size() > 2) operand.absolute = true, s = s.substr(1, s.size() - 2);
  if (!parse_register(s, operand) && !parse_constant(s, type, operand)) not_understood(whole, text);
}

/// op_sel:[0,1] to bits.
u8 bit_list(std::string_view s, std::string_view text) {
  u8 bits = 0;
  int i = 0;
  for (const char c : s)
    if (c == '0' || c == '1')
      bits |= u8((c - '0') << i++);
    else if (c != '[' && c != ']' && c != ',')
      not_understood(s, text);
  return bits;
}

/// op_sel of an instruction with `operands` operands: a list that is as long has the result's half last (bit 3), a shorter one
/// has sources only.
u8 half_list(std::string_view s, std::string_view text, int operands) {
  const u8 bits = bit_list(s, text), result = u8(1 << (operands - 1));
  const bool has_result = std::count(s.begin(), s.end(), ',') + 1 == operands;
  return has_result ? u8((bits & (result - 1)) | (bits & result ? 8 : 0)) : bits;
}

void parse_lane_list(std::string_view s, std::string_view text, LaneMove& move) {
  std::size_t i = 0;
  for (const char c : s)
    if (c >= '0' && c <= '7' && i < move.select.size())
      move.select[i++] = u8(c - '0');
    else if (c != '[' && c != ']' && c != ',')
      not_understood(s, text);
}

/// swizzle(QUAD_PERM,0,1,2,3) and the like as ds_swizzle_b32's offset is encoded.
i32 parse_swizzle(std::string_view s, std::string_view text) {
  const auto parts = split_operands(s.substr(8, s.size() - 9));
  std::array<u32, 5> numbers{};
  for (std::size_t i = 1; i < parts.size() && i < numbers.size(); ++i) numbers[i] = u32(integer(parts[i]).value_or(0));
  u32 keep = 31, set = 0, flip = 0;
  if (parts[0] == "QUAD_PERM")
    return i32(0x8000 | numbers[1] | numbers[2] << 2 | numbers[3] << 4 | numbers[4] << 6);
  if (parts[0] == "SWAP") {
    flip = numbers[1];
  } else if (parts[0] == "REVERSE") {
    flip = numbers[1] - 1;
  } else if (parts[0] == "BROADCAST") {
    keep = 32 - numbers[1], set = numbers[2];
  } else if (parts[0] == "BITMASK_PERM" && parts[1].size() == 7) {
    keep = 0;
    for (const char c : parts[1].substr(1, 5)) {
      keep = keep << 1 | (c == 'p' || c == 'i'), set = set << 1 | (c == '1'), flip = flip << 1 | (c == 'i');
    }
  } else {
    not_understood(s, text);
  }
  return i32(keep | set << 5 | flip << 10);
}

struct MoveName {
  std::string_view name;
  LaneMove::Kind kind;
};
constexpr MoveName kMoves[] = {
    {"row_shl", LaneMove::row_shl}, {"row_shr", LaneMove::row_shr}, {"row_ror", LaneMove::row_ror},
    {"row_share", LaneMove::row_share}, {"row_xmask", LaneMove::row_xmask},
};

void parse_modifier(std::string_view s, std::string_view text, Instruction& out) {
  const std::size_t colon = s.find(':');
  const std::string_view name = s.substr(0, colon), value = colon == s.npos ? "" : s.substr(colon + 1);
  const auto number = integer(value);
  for (const MoveName& move : kMoves)
    if (name == move.name && number) {
      out.dpp.kind = move.kind;
      out.dpp.amount = u8(*number);
      return;
    }
  if (name == "clamp") out.clamp = true;
  else if (name == "mul" && number) out.output_scale = *number == 2 ? 1 : 2;
  else if (name == "div") out.output_scale = 3;
  else if (name == "op_sel") out.op_sel = half_list(value, text, out.count);
  else if (name == "op_sel_hi") out.op_sel_hi = bit_list(value, text);
  else if (name == "neg_lo") out.neg_lo = bit_list(value, text);
  else if (name == "neg_hi") out.neg_hi = bit_list(value, text);
  else if ((name == "byte_sel" || name == "index_key") && number) out.op_sel = u8(*number);
  else if (name == "offset" && value.starts_with("swizzle(")) out.offset = parse_swizzle(value, text);
  else if (name == "offset" && number) out.offset = i32(*number);
  else if (name == "offset0" && number) out.offset0 = u8(*number);
  else if (name == "offset1" && number) out.offset1 = u8(*number);
  else if (name == "th") out.returns = value == "TH_ATOMIC_RETURN" || value.ends_with("_RETURN");
  else if (name == "quad_perm") out.dpp.kind = LaneMove::quad_perm, parse_lane_list(value, text, out.dpp);
  else if (name == "dpp8") out.dpp.kind = LaneMove::dpp8, parse_lane_list(value, text, out.dpp);
  else if (name == "row_mirror") out.dpp.kind = LaneMove::row_mirror;
  else if (name == "row_half_mirror") out.dpp.kind = LaneMove::row_half_mirror;
  else if (name == "row_mask" && number) out.dpp.row_mask = u8(*number);
  else if (name == "bank_mask" && number) out.dpp.bank_mask = u8(*number);
  else if (name == "bound_ctrl") out.dpp.bound_control = true;
  else if (name == "fi" && number) out.dpp.fetch_inactive = *number != 0;
  else if (name != "scope") not_understood(s, text);
}

void not_implemented(Wave&, const Instruction& instruction) {
  throw Fault("the simulator has no " + mnemonic_of(instruction.text));
}

/// "scope:SCOPE_SE", where an instruction has no operands before it; registers have a colon only in brackets.
bool is_modifier(std::string_view word) {
  const std::size_t colon = word.find(':');
  return colon != word.npos && word.find('[') > colon;
}

std::string_view without_encoding(std::string_view name) {
  for (const std::string_view suffix : {"_dpp", "_e32", "_e64"})
    if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
  return name;
}

/// Both halves read before either writes.
void run_dual(Wave& wave, const Instruction& first) {
  const Instruction& second = wave.program->halves[std::size_t(first.other_half)];
  Lanes& target = wave.vgpr[first.operands[0].index];
  const Lanes before = target;
  first.opcode->run(wave, first);
  const Lanes result = target;
  target = before;
  second.run(wave, second);
  target = result;
}

}  // namespace

std::string mnemonic_of(std::string_view text) {
  const std::string_view name = without_encoding(text.substr(0, text.find(' ')));
  return name.starts_with("v_dual_") ? "v_" + std::string(name.substr(7)) : std::string(name);
}

Instruction parse_instruction(std::string_view whole, std::vector<Instruction>& halves) {
  std::string_view text = trim(whole);
  if (const std::size_t dual = text.find(" :: "); dual != text.npos) {
    Instruction first = parse_instruction(text.substr(0, dual), halves);
    halves.push_back(parse_instruction(text.substr(dual + 4), halves));
    first.other_half = std::int32_t(halves.size()) - 1;
    first.text = text;
    if (first.opcode && halves.back().opcode) first.run = run_dual;
    else first.run = not_implemented;
    return first;
  }
  Instruction out;
  out.text = text;
  const std::size_t space = text.find(' ');
  const std::string mnemonic = mnemonic_of(text);
  out.opcode = Opcodes::all().find(mnemonic);
  out.run = out.opcode ? out.opcode->run : not_implemented;
  if (space == text.npos || !out.opcode || mnemonic == "s_delay_alu" || mnemonic == "s_wait_alu") return out;

  std::vector<std::string_view> parts = split_operands(text.substr(space + 1));
  std::vector<std::string_view> modifiers;
  if (!parts.empty()) {
    std::string_view last = parts.back();
    // Only a hardware register has spaces inside.
    const std::size_t end = last.find(' ', last.starts_with("hwreg(") ? last.find(')') : 0);
    parts.back() = last.substr(0, end);
    if (is_modifier(parts.back())) {
      modifiers.push_back(parts.back());
      parts.pop_back();
    }
    while (end != last.npos && !last.empty()) {
      const std::size_t next = last.find(' ');
      last = next == last.npos ? "" : trim(last.substr(next));
      if (!last.empty()) modifiers.push_back(last.substr(0, last.find(' ')));
    }
  }
  if (parts.size() > kMaxOperands) not_understood("more operands than expected", text);
  for (const std::string_view part : parts) {
    const std::size_t i = out.count++;
    parse_operand(part, out.opcode->types[i], text, out.operands[i]);
  }
  // LLVM leaves out op_sel_hi where it is what the assembler assumes: these take their sources as f32 then.
  if (mnemonic.starts_with("v_fma_mix")) out.op_sel_hi = 0;
  for (const std::string_view modifier : modifiers) parse_modifier(modifier, text, out);
  return out;
}

}  // namespace isotope::sim
