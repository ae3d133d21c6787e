// AMD code objects: the metadata note (LLVM's AMDGPUUsage, "Code Object V5 Metadata").
#include <boost/json/array.hpp>

#include "base/checked.h"
#include "base/error.h"
#include "jit/inspect/elf.h"
#include "jit/inspect/formats.h"
#include "jit/inspect/msgpack.h"

namespace isotope::jit {
namespace {

constexpr std::uint32_t kNoteSection = 7;    // SHT_NOTE
constexpr std::uint32_t kMetadataNote = 32;  // NT_AMDGPU_METADATA

/// The description of the note of that type, or nothing.
std::span<const std::byte> find_note(std::span<const std::byte> notes, std::string_view what) {
  std::uint64_t at = 0;
  while (at + 12 <= notes.size()) {
    const std::uint64_t name = read_number(notes, at, 4, what),
                        size = read_number(notes, at + 4, 4, what);
    const std::uint64_t type = read_number(notes, at + 8, 4, what);
    const std::uint64_t begin = at + 12 + round_up<std::uint64_t>(name, 4);
    if (begin > notes.size() || size > notes.size() - begin) break;
    if (type == kMetadataNote) return notes.subspan(begin, size);
    at = begin + round_up<std::uint64_t>(size, 4);
  }
  return {};
}

}  // namespace

std::vector<KernelFacts> read_amd_code(std::span<const std::byte> code, std::string_view unit) {
  std::span<const std::byte> note;
  for (const ElfSection& section : read_elf(code, unit))
    if (section.type == kNoteSection && note.empty()) note = find_note(section.bytes, unit);
  if (note.empty())
    fail(ErrorCode::corrupt_data, "{}: the code object has no metadata of kernels", unit);
  const json::value metadata = parse_msgpack(note, unit);
  const JsonFields fields(metadata, std::string(unit) + ": metadata");
  const json::value* kernels = fields.find("amdhsa.kernels");
  std::vector<KernelFacts> all;
  if (!kernels || !kernels->is_array()) return all;
  for (const json::value& kernel : kernels->get_array()) {
    const JsonFields of(kernel, fields.name());
    constexpr std::int64_t kMost = std::int64_t(1) << 40;
    KernelFacts facts;
    facts.name = of.string(".name");
    facts.vgprs = int(of.integer(".vgpr_count", 0, 100000));
    facts.sgprs = int(of.integer(".sgpr_count", 0, 100000));
    facts.spilled_vgprs = int(of.integer(".vgpr_spill_count", 0, 100000, 0));
    facts.spilled_sgprs = int(of.integer(".sgpr_spill_count", 0, 100000, 0));
    facts.scratch_bytes = of.integer(".private_segment_fixed_size", 0, kMost);
    facts.shared_bytes = of.integer(".group_segment_fixed_size", 0, kMost);
    facts.max_threads = int(of.integer(".max_flat_workgroup_size", 0, 100000));
    all.push_back(std::move(facts));
  }
  return all;
}

}  // namespace isotope::jit
