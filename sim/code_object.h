// An ELF code object for amdgcn-amd-amdhsa--gfx1201, loaded: its segments in memory, its kernels with what their descriptors
// and the metadata say. https://llvm.org/docs/AMDGPUUsage.html#code-object-format
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sim/instruction.h"
#include "sim/wave.h"

namespace isotope::sim {

class Decoder;

/// A hidden argument: where in the kernel arguments it lies and what belongs there ("hidden_block_count_x").
struct HiddenArgument {
  u32 offset, bytes;
  std::string kind;
};

struct Kernel {
  std::string name;
  u32 entry = 0;                 ///< index into the program's instructions
  u32 lds_bytes = 0, scratch_bytes = 0, kernarg_bytes = 0;
  u32 explicit_bytes = 0;        ///< of the kernel arguments: what the caller gives
  u32 max_threads = 1024;
  u32 vgprs = 0, sgprs = 0;
  FloatMode mode;
  // Which scalar registers are set at the beginning, in the order of the registers.
  bool dispatch_packet = false, queue = false, kernargs = false, dispatch_id = false, scratch_size = false;
  std::vector<HiddenArgument> hidden;
};

class CodeObject {
 public:
  /// Errors: Fault naming the part of the file.
  explicit CodeObject(std::span<const std::byte> file);
  /// Null if there is none.
  const Kernel* find(std::string_view name) const;
  const std::map<std::string, Kernel, std::less<>>& kernels() const { return kernels_; }
  const Program& program() const { return program_; }
  /// The loaded image: constants and zero-initialised variables are there too.
  std::span<std::byte> image() { return {image_.get(), image_bytes_}; }
  /// Its parts, which kernels may read and, some, write.
  struct Segment {
    std::span<std::byte> bytes;
    bool writable;
  };
  const std::vector<Segment>& segments() const { return segments_; }

 private:
  void load(std::span<const std::byte> file);
  void relocate(std::span<const std::byte> file);
  void read_kernels(std::span<const std::byte> file);

  struct Free { void operator()(std::byte* p) const; };
  std::unique_ptr<std::byte[], Free> image_;
  std::size_t image_bytes_ = 0;
  std::vector<Segment> segments_;
  std::map<std::string, Kernel, std::less<>> kernels_;
  Program program_;
};

}  // namespace isotope::sim
