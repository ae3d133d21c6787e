// The vendors' code objects. Internal to inspect.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "jit/inspect/kernel_facts.h"

namespace isotope::jit {

/// Kernels of an AMD code object, of an NVIDIA cubin; without what only a disassembly tells.
/// Errors: corrupt_data naming `unit`.
std::vector<KernelFacts> read_amd_code(std::span<const std::byte> code, std::string_view unit);
std::vector<KernelFacts> read_cubin(std::span<const std::byte> code, std::string_view unit);

}  // namespace isotope::jit
