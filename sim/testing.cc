#include "sim/testing.h"

#include <map>
#include <memory>
#include <string>

#include "sim/decode.h"
#include "sim/machine.h"

namespace isotope::sim {
namespace {

std::set<const Opcode*>& exercised() {
  static std::set<const Opcode*> made;
  return made;
}

/// Programs are kept: tests run the same lines many times.
const Program& program_of(std::string_view assembler) {
  static Decoder decoder;
  static std::map<std::string, std::unique_ptr<std::pair<std::vector<std::byte>, Program>>, std::less<>> programs;
  auto& entry = programs[std::string(assembler)];
  if (!entry) {
    entry = std::make_unique<std::pair<std::vector<std::byte>, Program>>();
    entry->first = decoder.assemble(std::string(assembler) + "\ns_endpgm\n");
    entry->second = decoder.decode(entry->first, u64(entry->first.data()));
  }
  return entry->second;
}

}  // namespace

TestWave::TestWave(std::size_t lds_bytes) {
  wave.vgpr.resize(256);
  wave.sgpr[kExecLo] = ~0u;
  wave.group = &group;
  group.waves = 1;
  group.memory = &memory;
  group.counters = &counters;
  group.lds.resize(lds_bytes);
}

void TestWave::run(std::string_view assembler) {
  const Program& program = program_of(assembler);
  // What ends in a fault is exercised too.
  for (const Instruction& instruction : program.instructions)
    if (instruction.opcode) exercised().insert(instruction.opcode);
  for (const Instruction& instruction : program.halves)
    if (instruction.opcode) exercised().insert(instruction.opcode);
  wave.program = &program;
  wave.state = Wave::running;
  wave.now = 0;
  run_wave(wave);
}

const std::set<const Opcode*>& exercised_opcodes() { return exercised(); }

}  // namespace isotope::sim
