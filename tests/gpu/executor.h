// What a fake driver needs of whatever executes its kernels: lanes as fibers of the host (host_executor.cc) or the simulated
// gfx1201 (simulated_executor.cc). A library links one of them.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace isotope::emulated {

struct LaunchShape {
  std::array<unsigned, 3> grid{1, 1, 1};
  unsigned threads = 1;
  unsigned shared_bytes = 0;
};

class ExecutableKernel {
 public:
  virtual ~ExecutableKernel() = default;
  /// Runs a launch to its end; `params` are params_bytes. kOk, or the code under which it was reported what went wrong.
  virtual int run(const LaunchShape& shape, const void* params) const = 0;

  std::string name;
  std::size_t params_bytes = 0;
  unsigned max_threads = 0;
};

/// Loaded code; its kernels are valid as long as it.
class ExecutableCode {
 public:
  virtual ~ExecutableCode() = default;
  /// Null if there is no such kernel.
  virtual const ExecutableKernel* find_or_null(const std::string& name) = 0;
};

/// One call at a time: the device holds its lock.
class Executor {
 public:
  virtual ~Executor() = default;
  /// Of the card, as HIP tells it, and at the head of reports.
  virtual const char* card() const = 0;
  virtual const char* reports_as() const = 0;
  virtual int multiprocessors() const = 0;
  virtual std::size_t memory_bytes() const = 0;
  /// Errors: std::exception with what is wrong with the code.
  virtual std::unique_ptr<ExecutableCode> load(std::span<const std::byte> code) = 0;

  // What happens to memory besides kernels.
  virtual void allocated(const void*, std::size_t /*bytes*/, bool /*pinned*/) {}
  virtual void freed(const void*) {}
  virtual void written(const void*, std::size_t /*bytes*/) {}
  virtual void copied(const void* /*target*/, const void* /*source*/, std::size_t /*bytes*/) {}
};
/// The one of this library.
Executor& executor();

}  // namespace isotope::emulated
