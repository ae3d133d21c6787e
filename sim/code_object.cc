#include "sim/code_object.h"

#include <elf.h>
#include <fmt/core.h>
#include <llvm/BinaryFormat/MsgPackDocument.h>

#include <cstdlib>
#include <cstring>

#include "sim/decode.h"

namespace isotope::sim {
namespace {

constexpr u32 kNoteMetadata = 32;  // NT_AMDGPU_METADATA
constexpr u16 kMachineAmdGpu = 224;
constexpr u32 kMachGfx1201 = 0x4e;
constexpr u32 kRelative64 = 13;    // R_AMDGPU_RELATIVE64
constexpr u32 kStackBytes = 1024;  // of a lane: HIP's hipLimitStackSize, if nobody changes it
constexpr std::size_t kMaxImage = std::size_t(1) << 28;

template <typename T>
T read(std::span<const std::byte> file, u64 at, const char* what) {
  if (at > file.size() || file.size() - at < sizeof(T)) throw Fault(fmt::format("the code object ends in its {}", what));
  T value;
  std::memcpy(&value, file.data() + at, sizeof(T));
  return value;
}

std::vector<Elf64_Phdr> segments_of(std::span<const std::byte> file) {
  const auto header = read<Elf64_Ehdr>(file, 0, "header");
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_machine != kMachineAmdGpu)
    throw Fault("not an ELF file for AMD GPUs");
  if ((header.e_flags & 0xff) != kMachGfx1201)
    throw Fault(fmt::format("a code object for another GPU than gfx1201 (flags {:#x})", header.e_flags));
  std::vector<Elf64_Phdr> segments;
  for (int i = 0; i < header.e_phnum; ++i)
    segments.push_back(read<Elf64_Phdr>(file, header.e_phoff + u64(i) * sizeof(Elf64_Phdr), "program headers"));
  return segments;
}

std::vector<Elf64_Shdr> sections_of(std::span<const std::byte> file) {
  const auto header = read<Elf64_Ehdr>(file, 0, "header");
  std::vector<Elf64_Shdr> sections;
  for (int i = 0; i < header.e_shnum; ++i)
    sections.push_back(read<Elf64_Shdr>(file, header.e_shoff + u64(i) * sizeof(Elf64_Shdr), "section headers"));
  return sections;
}

std::string string_at(std::span<const std::byte> file, const Elf64_Shdr& strings, u64 at) {
  std::string text;
  for (u64 i = strings.sh_offset + at; read<char>(file, i, "strings"); ++i) text += read<char>(file, i, "strings");
  return text;
}

u64 number(llvm::msgpack::MapDocNode& map, const char* key) {
  const auto found = map.find(key);
  if (found == map.end()) return 0;
  if (found->second.getKind() == llvm::msgpack::Type::UInt) return found->second.getUInt();
  return found->second.getKind() == llvm::msgpack::Type::Int ? u64(found->second.getInt()) : 0;
}
std::string text_of(llvm::msgpack::MapDocNode& map, const char* key) {
  const auto found = map.find(key);
  return found == map.end() || !found->second.isString() ? "" : found->second.getString().str();
}

void read_arguments(llvm::msgpack::MapDocNode& map, Kernel& kernel) {
  const auto found = map.find(".args");
  if (found == map.end() || !found->second.isArray()) return;
  for (llvm::msgpack::DocNode& node : found->second.getArray()) {
    if (!node.isMap()) continue;
    auto& argument = node.getMap();
    const u32 offset = u32(number(argument, ".offset")), bytes = u32(number(argument, ".size"));
    const std::string kind = text_of(argument, ".value_kind");
    if (kind.starts_with("hidden_"))
      kernel.hidden.push_back({offset, bytes, kind});
    else
      kernel.explicit_bytes = std::max(kernel.explicit_bytes, offset + bytes);
  }
}

/// The metadata of each kernel, by the name of its descriptor.
std::map<std::string, Kernel> read_metadata(std::span<const std::byte> file, const std::vector<Elf64_Phdr>& segments) {
  std::map<std::string, Kernel> kernels;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_NOTE) continue;
    const auto note = read<Elf64_Nhdr>(file, segment.p_offset, "notes");
    if (note.n_type != kNoteMetadata) continue;
    const u64 at = segment.p_offset + sizeof(note) + (note.n_namesz + 3) / 4 * 4;
    if (at > file.size() || file.size() - at < note.n_descsz) throw Fault("the code object ends in its notes");
    llvm::msgpack::Document document;
    if (!document.readFromBlob(llvm::StringRef(reinterpret_cast<const char*>(file.data()) + at, note.n_descsz), false) ||
        !document.getRoot().isMap())
      throw Fault("the code object's metadata cannot be read");
    auto& root = document.getRoot().getMap();
    const auto list = root.find("amdhsa.kernels");
    if (list == root.end() || !list->second.isArray()) continue;
    for (llvm::msgpack::DocNode& node : list->second.getArray()) {
      if (!node.isMap()) continue;
      auto& map = node.getMap();
      Kernel kernel;
      kernel.name = text_of(map, ".name");
      kernel.max_threads = u32(number(map, ".max_flat_workgroup_size"));
      kernel.vgprs = u32(number(map, ".vgpr_count"));
      kernel.sgprs = u32(number(map, ".sgpr_count"));
      if (number(map, ".wavefront_size") != 32) throw Fault(kernel.name + " is not for waves of 32");
      read_arguments(map, kernel);
      kernels[text_of(map, ".symbol")] = kernel;
    }
  }
  return kernels;
}

/// https://llvm.org/docs/AMDGPUUsage.html#amdgpu-amdhsa-kernel-descriptor
struct Descriptor {
  u32 lds_bytes, scratch_bytes, kernarg_bytes;
  u8 reserved0[4];
  std::int64_t entry;
  u8 reserved1[20];
  u32 rsrc3, rsrc1, rsrc2;
  u16 properties, preload;
  u8 reserved2[4];
};
static_assert(sizeof(Descriptor) == 64);

void read_descriptor(const Descriptor& from, Kernel& kernel) {
  kernel.lds_bytes = from.lds_bytes;
  kernel.scratch_bytes = from.scratch_bytes;
  // The compiler does not know how deep calls go.
  if (from.properties & 0x800) kernel.scratch_bytes = std::max(kernel.scratch_bytes, kStackBytes);
  kernel.kernarg_bytes = from.kernarg_bytes;
  const u32 rsrc1 = from.rsrc1;
  kernel.mode.round_32 = rsrc1 >> 12 & 3;
  kernel.mode.round_16_64 = rsrc1 >> 14 & 3;
  kernel.mode.denormals_32 = (rsrc1 >> 16 & 3) == 3;
  kernel.mode.denormals_16_64 = (rsrc1 >> 18 & 3) == 3;
  kernel.mode.clamp_overflow = rsrc1 >> 26 & 1;
  kernel.vgprs = std::max(kernel.vgprs, ((rsrc1 & 63) + 1) * 8);
  if (from.properties & 1) throw Fault(kernel.name + " wants a private segment buffer, which gfx1201 does not have");
  kernel.dispatch_packet = from.properties & 2;
  kernel.queue = from.properties & 4;
  kernel.kernargs = from.properties & 8;
  kernel.dispatch_id = from.properties & 16;
  kernel.scratch_size = from.properties & 64;
  if (from.preload) throw Fault(kernel.name + " wants preloaded arguments, which the simulator does not do");
  if (!(from.properties & 0x400)) throw Fault(kernel.name + " is not for waves of 32");
}

}  // namespace

void CodeObject::Free::operator()(std::byte* p) const { std::free(p); }

CodeObject::CodeObject(std::span<const std::byte> file) {
  load(file);
  read_kernels(file);
}

void CodeObject::load(std::span<const std::byte> file) {
  const auto segments = segments_of(file);
  for (const Elf64_Phdr& segment : segments)
    if (segment.p_type == PT_LOAD) {
      if (segment.p_vaddr > kMaxImage || segment.p_memsz > kMaxImage) throw Fault("a segment of the code object is too large");
      image_bytes_ = std::max<std::size_t>(image_bytes_, segment.p_vaddr + segment.p_memsz);
    }
  image_bytes_ = (image_bytes_ + 4095) / 4096 * 4096;
  image_.reset(static_cast<std::byte*>(std::aligned_alloc(4096, std::max<std::size_t>(image_bytes_, 4096))));
  std::memset(image_.get(), 0, image_bytes_);
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_LOAD) {
      if (segment.p_offset > file.size() || file.size() - segment.p_offset < segment.p_filesz ||
          segment.p_filesz > segment.p_memsz)
        throw Fault("the code object ends in a segment");
      std::memcpy(image_.get() + segment.p_vaddr, file.data() + segment.p_offset, segment.p_filesz);
      segments_.push_back({image().subspan(segment.p_vaddr, segment.p_memsz), (segment.p_flags & PF_W) != 0});
    }
    if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X)) {
      Decoder decoder;
      program_ = decoder.decode(image().subspan(segment.p_vaddr, segment.p_filesz), u64(image_.get() + segment.p_vaddr));
    }
  }
  relocate(file);
}

/// Pointers to functions and variables in tables are relative to where the code object lies.
void CodeObject::relocate(std::span<const std::byte> file) {
  for (const Elf64_Shdr& section : sections_of(file)) {
    if (section.sh_size == 0 || (section.sh_type != SHT_RELA && section.sh_type != SHT_REL)) continue;
    for (u64 at = 0; at + sizeof(Elf64_Rela) <= section.sh_size; at += sizeof(Elf64_Rela)) {
      const auto entry = read<Elf64_Rela>(file, section.sh_offset + at, "relocations");
      if (section.sh_type != SHT_RELA || ELF64_R_TYPE(entry.r_info) != kRelative64)
        throw Fault("the code object has a kind of relocation that the simulator does not do");
      const u64 value = u64(image_.get()) + u64(entry.r_addend);
      if (entry.r_offset > image_bytes_ || image_bytes_ - entry.r_offset < sizeof(value))
        throw Fault("the code object has a relocation outside of it");
      std::memcpy(image_.get() + entry.r_offset, &value, sizeof(value));
    }
  }
}

void CodeObject::read_kernels(std::span<const std::byte> file) {
  auto metadata = read_metadata(file, segments_of(file));
  const auto sections = sections_of(file);
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_DYNSYM || section.sh_link >= sections.size()) continue;
    for (u64 at = 0; at + sizeof(Elf64_Sym) <= section.sh_size; at += sizeof(Elf64_Sym)) {
      const auto symbol = read<Elf64_Sym>(file, section.sh_offset + at, "symbols");
      const auto found = metadata.find(string_at(file, sections[section.sh_link], symbol.st_name));
      if (found == metadata.end()) continue;
      if (symbol.st_value + sizeof(Descriptor) > image_bytes_) throw Fault("a kernel descriptor lies outside of the code object");
      Descriptor descriptor;
      std::memcpy(&descriptor, image_.get() + symbol.st_value, sizeof(descriptor));
      Kernel kernel = found->second;
      read_descriptor(descriptor, kernel);
      kernel.entry = program_.index_at(u64(image_.get()) + symbol.st_value + u64(descriptor.entry));
      kernels_.emplace(kernel.name, kernel);
    }
  }
  if (kernels_.size() != metadata.size()) throw Fault("the code object has metadata of kernels that it does not have");
}

const Kernel* CodeObject::find(std::string_view name) const {
  const auto found = kernels_.find(name);
  return found == kernels_.end() ? nullptr : &found->second;
}

}  // namespace isotope::sim
