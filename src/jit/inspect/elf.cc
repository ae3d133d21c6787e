#include "jit/inspect/elf.h"

#include "base/error.h"

namespace isotope::jit {
namespace {

constexpr std::uint32_t kNoBits = 8;  // SHT_NOBITS
constexpr std::uint64_t kSectionHeaderBytes = 64;

std::span<const std::byte> part(std::span<const std::byte> file, std::uint64_t offset,
                                std::uint64_t size, std::string_view what) {
  if (offset > file.size() || size > file.size() - offset)
    fail(ErrorCode::corrupt_data, "{}: {} bytes at {} lie beyond the end of the code object", what,
         size, offset);
  return file.subspan(offset, size);
}

std::string_view name_at(std::span<const std::byte> strings, std::uint64_t offset) {
  if (offset >= strings.size()) return {};
  const std::string_view all(reinterpret_cast<const char*>(strings.data()), strings.size());
  return all.substr(offset, all.find('\0', offset) - offset);
}

}  // namespace

std::uint64_t read_number(std::span<const std::byte> bytes, std::uint64_t offset, int width,
                          std::string_view what) {
  const auto from = part(bytes, offset, std::uint64_t(width), what);
  std::uint64_t value = 0;
  for (int i = width - 1; i >= 0; --i) value = value << 8 | std::uint64_t(from[std::size_t(i)]);
  return value;
}

std::vector<ElfSection> read_elf(std::span<const std::byte> file, std::string_view what) {
  const auto number = [&](std::uint64_t offset, int width) {
    return read_number(file, offset, width, what);
  };
  // e_ident: magic, ELFCLASS64, ELFDATA2LSB.
  if (number(0, 4) != 0x464c457f || number(4, 2) != 0x0102)
    fail(ErrorCode::corrupt_data, "{}: the code object is no ELF file", what);
  const std::uint64_t table = number(40, 8), count = number(60, 2), names = number(62, 2);
  part(file, table, count * kSectionHeaderBytes, what);
  std::vector<ElfSection> sections(count);
  std::vector<std::uint32_t> name_offsets(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t at = table + i * kSectionHeaderBytes;
    ElfSection& section = sections[i];
    name_offsets[i] = std::uint32_t(number(at, 4));
    section.type = std::uint32_t(number(at + 4, 4));
    section.info = std::uint32_t(number(at + 44, 4));
    section.size = number(at + 32, 8);
    if (section.type != kNoBits && section.type != 0)
      section.bytes = part(file, number(at + 24, 8), section.size, what);
  }
  if (names < count)
    for (std::uint64_t i = 0; i < count; ++i)
      sections[i].name = name_at(sections[names].bytes, name_offsets[i]);
  return sections;
}

const ElfSection* find_section(const std::vector<ElfSection>& sections, std::string_view name) {
  for (const ElfSection& section : sections)
    if (section.name == name) return &section;
  return nullptr;
}

}  // namespace isotope::jit
