// What the program asks of a GPU driver: one interface that the CUDA and the HIP driver fill. The
// driver libraries are loaded at run time through our own declarations, so neither SDK nor driver
// is needed to build or start the program.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "device/gpu.h"

namespace isotope::device {

/// How a driver call ended. Nothing is thrown here: whoever called knows what it was for.
struct DriverStatus {
  int code = 0;
  const char* call = "";  ///< the driver's own name of the function
  bool ok() const { return code == 0; }
  // Codes that mean the same to both vendors.
  bool out_of_memory() const { return code == 2; }
  bool no_device() const { return code == 100; }
  bool not_found() const { return code == 500; }
  /// A kernel broke its context: every later call fails too.
  bool context_lost() const { return (code >= 700 && code <= 719) || code == 214; }
};

/// What a launch must keep to.
struct LaunchLimits {
  std::array<std::uint32_t, 3> grid{};
  std::uint32_t threads = 0;
  std::uint64_t grid_threads = 0;  ///< blocks × threads in the first dimension
};

/// A card as its driver describes it.
struct GpuFacts {
  GpuProperties properties;
  LaunchLimits limits;
  std::string unusable;  ///< why our kernels cannot run on it; empty if they can
};

class GpuDriver {
 public:
  virtual ~GpuDriver() = default;
  virtual Kind kind() const = 0;
  /// "CUDA driver 13.0 (libcuda.so.1)"
  virtual const std::string& identity() const = 0;
  virtual std::string error_name(int code) const = 0;
  virtual std::string error_text(int code) const = 0;

  virtual DriverStatus device_count(int* count) const = 0;
  virtual DriverStatus facts(int ordinal, GpuFacts* facts) const = 0;

  /// A card's context, shared by all users within the process.
  virtual DriverStatus attach(int ordinal, void** context) const = 0;
  virtual DriverStatus detach(int ordinal) const = 0;
  /// The calls below act on the context that is current in the calling thread.
  virtual DriverStatus make_current(int ordinal, void* context) const = 0;

  virtual DriverStatus memory_info(std::size_t* available, std::size_t* total) const = 0;
  virtual DriverStatus allocate(void** data, std::size_t bytes) const = 0;
  virtual DriverStatus free(void* data) const = 0;
  virtual DriverStatus allocate_pinned(void** data, std::size_t bytes) const = 0;
  virtual DriverStatus free_pinned(void* data) const = 0;

  virtual DriverStatus create_stream(void** stream) const = 0;
  virtual DriverStatus destroy_stream(void* stream) const = 0;
  virtual DriverStatus synchronize(void* stream) const = 0;
  virtual DriverStatus copy_to_device(void* target, const void* source, std::size_t bytes,
                                      void* stream) const = 0;
  virtual DriverStatus copy_to_host(void* target, const void* source, std::size_t bytes,
                                    void* stream) const = 0;
  virtual DriverStatus fill(void* target, std::uint8_t value, std::size_t bytes,
                            void* stream) const = 0;

  virtual DriverStatus begin_capture(void* stream) const = 0;
  virtual DriverStatus end_capture(void* stream, void** graph) const = 0;
  virtual DriverStatus instantiate(void* graph, void** executable) const = 0;
  virtual DriverStatus launch_graph(void* executable, void* stream) const = 0;
  virtual DriverStatus destroy_graph(void* graph) const = 0;
  virtual DriverStatus destroy_executable(void* executable) const = 0;

  virtual DriverStatus create_event(void** event) const = 0;
  virtual DriverStatus destroy_event(void* event) const = 0;
  virtual DriverStatus record(void* event, void* stream) const = 0;
  virtual DriverStatus wait(void* event) const = 0;
  virtual DriverStatus elapsed_ms(void* begin, void* end, float* ms) const = 0;

  virtual DriverStatus load_module(const void* code, void** module) const = 0;
  virtual DriverStatus unload_module(void* module) const = 0;
  virtual DriverStatus find_function(void* module, const char* name, void** function) const = 0;
  /// As Gpu::counted_work().
  virtual std::optional<CountedWork> counted_work() const { return std::nullopt; }
  /// Lets a function use this much dynamic shared memory.
  virtual DriverStatus allow_shared(void* function, std::uint32_t bytes) const = 0;
  /// `params`: the one parameter of the kernel; copied before the call returns, in a capture too.
  virtual DriverStatus launch(void* function, const Launch& launch, const void* params,
                              bool overlap, void* stream) const = 0;
};

/// Errors: not_found if no driver is installed; unsupported if it cannot be used. They say what was
/// looked for, what came of it and what to do.
std::shared_ptr<const GpuDriver> open_cuda_driver();
std::shared_ptr<const GpuDriver> open_hip_driver();

/// A shared library that was found at run time. It stays loaded: drivers do not survive being
/// unloaded.
class DriverLibrary {
 public:
  struct Sought {
    const char* vendor;                  ///< "CUDA"
    const char* variable;                ///< environment variable that names another file
    std::span<const char* const> files;  ///< tried in this order
    const char* if_missing;              ///< what to do when there is none
    const char* if_old;                  ///< what to do when it lacks a function
  };
  /// Errors: not_found if there is none; unsupported if the one that the environment names cannot
  /// be loaded.
  explicit DriverLibrary(const Sought& sought);

  const std::string& file() const { return file_; }

  /// Errors: unsupported, naming the function and the file.
  template <typename Function>
  void find(Function& function, const char* name) const {
    function = reinterpret_cast<Function>(symbol(name));
  }
  /// nullptr if the library has no such function.
  template <typename Function>
  void find_if_there(Function& function, const char* name) const {
    function = reinterpret_cast<Function>(symbol_or_null(name));
  }

 private:
  void* symbol(const char* name) const;
  void* symbol_or_null(const char* name) const;

  Sought sought_;
  std::string file_;
  void* handle_ = nullptr;
};

/// Errors: internal, naming kernel and what is exceeded: a launch must never reach a driver that
/// refuses it.
void check_launch(std::string_view kernel, const Launch& launch, std::size_t params_bytes,
                  const GpuProperties& properties, const LaunchLimits& limits);

}  // namespace isotope::device
