#include "device/gpu_driver.h"

#include <dlfcn.h>

#include <cstdlib>

#include "base/error.h"

namespace isotope::device {
namespace {

/// dlopen's reason, which only exists as the latest error of the thread.
std::string loader_error() {
  const char* text = ::dlerror();
  return text ? text : "no reason given";
}

const char* named_library(const char* variable) {
  const char* file = std::getenv(variable);
  return file && *file ? file : nullptr;
}

/// A kernel's parameters must fit the 4 KiB that every driver offers.
constexpr std::size_t kMaxParams = 4096;

}  // namespace

DriverLibrary::DriverLibrary(const Sought& sought) : sought_(sought) {
  if (const char* file = named_library(sought.variable)) {
    handle_ = ::dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!handle_)
      fail(ErrorCode::unsupported,
           "{}={}: cannot load this library: {}; unset {} to use the installed driver",
           sought.variable, file, loader_error(), sought.variable);
    file_ = file;
    return;
  }
  std::string first_reason;
  for (const char* file : sought.files) {
    handle_ = ::dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (handle_) {
      file_ = file;
      return;
    }
    const std::string reason = loader_error();
    if (first_reason.empty()) first_reason = reason;
  }
  fail(ErrorCode::not_found, "no {} driver: {}; {}", sought.vendor, first_reason,
       sought.if_missing);
}

void* DriverLibrary::symbol_or_null(const char* name) const { return ::dlsym(handle_, name); }

void* DriverLibrary::symbol(const char* name) const {
  if (void* found = symbol_or_null(name)) return found;
  fail(ErrorCode::unsupported, "{} has no {}: {}", file_, name, sought_.if_old);
}

void check_launch(std::string_view kernel, const Launch& launch, std::size_t params_bytes,
                  const GpuProperties& properties, const LaunchLimits& limits) {
  if (launch.threads == 0 || launch.threads > limits.threads)
    fail(ErrorCode::internal, "kernel {}: {} threads a block; {} takes 1 to {}", kernel,
         launch.threads, properties.name, limits.threads);
  for (std::size_t i = 0; i < 3; ++i)
    if (launch.grid[i] == 0 || launch.grid[i] > limits.grid[i])
      fail(ErrorCode::internal, "kernel {}: a grid of {}×{}×{} blocks; {} takes 1 to {}×{}×{}",
           kernel, launch.grid[0], launch.grid[1], launch.grid[2], properties.name, limits.grid[0],
           limits.grid[1], limits.grid[2]);
  if (std::uint64_t(launch.grid[0]) * launch.threads > limits.grid_threads)
    fail(ErrorCode::internal, "kernel {}: {} blocks of {} threads; {} takes {} threads in a row",
         kernel, launch.grid[0], launch.threads, properties.name, limits.grid_threads);
  if (launch.shared_bytes > properties.shared_per_block)
    fail(ErrorCode::internal, "kernel {}: {} bytes of shared memory a block; {} has {}", kernel,
         launch.shared_bytes, properties.name, properties.shared_per_block);
  if (params_bytes > kMaxParams)
    fail(ErrorCode::internal, "kernel {}: {} bytes of parameters; at most {} can be passed", kernel,
         params_bytes, kMaxParams);
}

}  // namespace isotope::device
