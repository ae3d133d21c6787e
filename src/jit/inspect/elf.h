// Sections of a 64-bit little-endian ELF file: what code objects of both vendors are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace isotope::jit {

struct ElfSection {
  std::string_view name;
  std::uint32_t type = 0, info = 0;
  std::uint64_t size = 0;  ///< also of sections without bytes (SHT_NOBITS)
  std::span<const std::byte> bytes;
};

/// Views into `file`, which must outlive them. Errors: corrupt_data naming `what`.
std::vector<ElfSection> read_elf(std::span<const std::byte> file, std::string_view what);

/// The first section of that name, or null.
const ElfSection* find_section(const std::vector<ElfSection>& sections, std::string_view name);

/// A little-endian number at `offset`. Errors: corrupt_data if it lies beyond the end.
std::uint64_t read_number(std::span<const std::byte> bytes, std::uint64_t offset, int width,
                          std::string_view what);

}  // namespace isotope::jit
