// Runs kernels of the emulated GPU: block by block, the threads of a block as fibers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/gpu/executor.h"

namespace isotope::emulated {

/// A kernel of loaded code.
struct Function {
  std::string name;
  void (*entry)(const void* params) = nullptr;
  std::size_t params_bytes = 0;
  unsigned max_threads = 0;
  /// Of the loaded code: static shared memory of the calling OS thread.
  void* (*shared_memory)(const void* code) = nullptr;
  std::size_t shared_memory_bytes = 0;
  const void* code = nullptr;
};

/// Runs a launch to its end. `params` are params_bytes of the function's struct. Empty, or what
/// went wrong: a deadlock, a wild address, a misaligned access, with kernel, block and thread. May
/// be called from any thread.
std::string run(const Function& function, const LaunchShape& shape, const void* params);

/// Tells about an address of device memory, for messages; set by whoever allocates.
extern std::string (*describe_address)(const void* address);

}  // namespace isotope::emulated
