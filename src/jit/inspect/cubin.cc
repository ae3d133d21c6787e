// NVIDIA cubins. Their sections are not documented; what is used here agrees with `cuobjdump
// --dump-resource-usage` of CUDA 12 and 13: .text.KERNEL has the number of registers in the upper
// byte of its info, .nv.shared.KERNEL is the static shared memory, .nv.info holds attributes such
// as the frame's size, .nv.info.KERNEL those of one kernel.
#include <map>

#include "base/checked.h"
#include "jit/inspect/elf.h"
#include "jit/inspect/formats.h"

namespace isotope::jit {
namespace {

constexpr int kMaxThreads = 0x05, kFrameSize = 0x11, kRegisterCount = 0x2f;

/// Calls attribute(number, value's bytes) for each record of a .nv.info section that has a sized
/// value.
template <typename Function>
void each_attribute(std::span<const std::byte> bytes, std::string_view what,
                    const Function& attribute) {
  std::uint64_t at = 0;
  while (at + 4 <= bytes.size()) {
    const std::uint64_t form = read_number(bytes, at, 1, what),
                        number = read_number(bytes, at + 1, 1, what);
    const std::uint64_t size = form == 4 ? read_number(bytes, at + 2, 2, what) : 0;
    if (size > bytes.size() - at - 4) return;
    if (form == 4) attribute(int(number), bytes.subspan(at + 4, size));
    at += 4 + round_up<std::uint64_t>(size, 4);
  }
}

/// Names of symbols by number.
std::vector<std::string> symbol_names(const std::vector<ElfSection>& sections,
                                      std::string_view what) {
  const ElfSection* table = find_section(sections, ".symtab");
  const ElfSection* strings = find_section(sections, ".strtab");
  std::vector<std::string> names;
  if (!table || !strings) return names;
  const std::string_view texts(reinterpret_cast<const char*>(strings->bytes.data()),
                               strings->bytes.size());
  for (std::uint64_t at = 0; at + 24 <= table->bytes.size(); at += 24) {
    const std::uint64_t offset = read_number(table->bytes, at, 4, what);
    names.emplace_back(offset < texts.size()
                           ? texts.substr(offset, texts.find('\0', offset) - offset)
                           : std::string_view());
  }
  return names;
}

int max_threads(const ElfSection* info, std::string_view what) {
  int threads = 0;
  if (info)
    each_attribute(info->bytes, what, [&](int number, std::span<const std::byte> value) {
      if (number == kMaxThreads && value.size() >= 4) threads = int(read_number(value, 0, 4, what));
    });
  return threads;
}

}  // namespace

std::vector<KernelFacts> read_cubin(std::span<const std::byte> code, std::string_view unit) {
  constexpr std::string_view kText = ".text.";
  const std::vector<ElfSection> sections = read_elf(code, unit);
  const std::vector<std::string> symbols = symbol_names(sections, unit);
  std::map<std::string, std::int64_t> frames, registers;
  if (const ElfSection* info = find_section(sections, ".nv.info"))
    each_attribute(info->bytes, unit, [&](int number, std::span<const std::byte> value) {
      if ((number != kFrameSize && number != kRegisterCount) || value.size() < 8) return;
      const std::uint64_t symbol = read_number(value, 0, 4, unit);
      if (symbol >= symbols.size()) return;
      (number == kFrameSize ? frames : registers)[symbols[symbol]] =
          std::int64_t(read_number(value, 4, 4, unit));
    });
  std::vector<KernelFacts> all;
  for (const ElfSection& section : sections) {
    if (!section.name.starts_with(kText)) continue;
    KernelFacts facts;
    facts.name = section.name.substr(kText.size());
    facts.vgprs =
        registers.contains(facts.name) ? int(registers[facts.name]) : int(section.info >> 24);
    facts.scratch_bytes = frames[facts.name];
    if (const ElfSection* shared = find_section(sections, ".nv.shared." + facts.name))
      facts.shared_bytes = std::int64_t(shared->size);
    facts.max_threads = max_threads(find_section(sections, ".nv.info." + facts.name), unit);
    all.push_back(std::move(facts));
  }
  return all;
}

}  // namespace isotope::jit
