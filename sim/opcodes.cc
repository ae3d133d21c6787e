#include "sim/instruction.h"
#include "sim/wave.h"

namespace isotope::sim {

std::string_view name_of(Class cls) {
  constexpr std::string_view kNames[kClasses] = {"salu", "smem", "valu", "transcendental", "wmma", "lds",
                                                 "global", "scratch", "branch", "barrier", "wait", "other"};
  return kNames[int(cls)];
}

void Opcodes::add(std::string_view name, Handler run, Class cls, std::initializer_list<Type> types) {
  Opcode opcode{name, run, cls, {}};
  Type type = Type::b32;
  std::size_t i = 0;
  for (const Type given : types)
    if (i < opcode.types.size()) opcode.types[i++] = type = given;
  while (i < opcode.types.size()) opcode.types[i++] = type;
  list_.push_back(opcode);
  if (!by_name_.emplace(list_.back().name, &list_.back()).second) throw Fault("two handlers for " + std::string(name));
}

const Opcode* Opcodes::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

const Opcodes& Opcodes::all() {
  static const Opcodes made = [] {
    Opcodes opcodes;
    add_scalar(opcodes);
    add_scalar_float(opcodes);
    add_scalar_memory(opcodes);
    add_scalar_control(opcodes);
    add_vector_float(opcodes);
    add_vector_integer(opcodes);
    add_vector_compare(opcodes);
    add_vector_convert(opcodes);
    add_vector_lanes(opcodes);
    add_vector_packed(opcodes);
    add_matrix(opcodes);
    add_lds(opcodes);
    add_global(opcodes);
    add_flat(opcodes);
    return opcodes;
  }();
  return made;
}

std::uint32_t Program::index_at(std::uint64_t where) const {
  const std::uint64_t word = (where - address) / 4;
  if (where < address || where % 4 != 0 || word >= index_of_word.size() || index_of_word[word] < 0)
    throw Fault("a jump to where no instruction begins");
  return std::uint32_t(index_of_word[word]);
}

}  // namespace isotope::sim
