// What a graphics card can do beyond a Device: run code objects, capture a step as a graph, time itself.
// One implementation (gpu_device.cc) drives CUDA and HIP through a table of driver functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "device/device.h"

namespace isotope::device {

/// Limits and sizes that kernels and plans depend on.
struct GpuProperties {
  std::string name;       ///< "NVIDIA H100 80GB HBM3"
  std::string arch;       ///< as compilers spell it: "sm_90a", "gfx1201"
  int multiprocessors = 0;  ///< SMs; on AMD work-group processors (WGP), two compute units each
  std::size_t shared_per_block = 0;           ///< largest that a launch may ask for (LDS on AMD)
  std::size_t shared_per_multiprocessor = 0;
  std::size_t l2_bytes = 0;
  std::size_t memory_bytes = 0;
  bool integrated = false;
  /// A launch may begin while its predecessor drains (CUDA's programmatic dependent launch).
  bool overlapped_launch = false;
  /// There is no card behind this device (open_paper_gpu): nothing is compiled or launched for it.
  bool paper = false;
};

/// A function of a loaded module. Valid as long as the module.
struct Kernel {
  void* handle = nullptr;
  explicit operator bool() const { return handle != nullptr; }
};

/// Loaded machine code; unloaded on destruction. The device must outlive it.
class Module {
 public:
  virtual ~Module() = default;
  /// Errors: not_found naming module and function.
  virtual Kernel kernel(const std::string& function) = 0;
};

/// A captured sequence of launches and copies.
class Graph {
 public:
  virtual ~Graph() = default;
};

/// A point in a stream, with the time at which it was reached.
class Event {
 public:
  virtual ~Event() = default;
};

struct Launch {
  std::array<std::uint32_t, 3> grid{1, 1, 1};  ///< blocks
  std::uint32_t threads = 256;                 ///< per block, one-dimensional
  std::uint32_t shared_bytes = 0;              ///< dynamic shared memory
  /// The kernel calls wait_for_predecessor() before it reads what earlier launches wrote, so it may start early.
  /// Ignored where the device cannot.
  bool overlaps_predecessor = false;
};

/// What all launches so far have done.
struct CountedWork {
  std::uint64_t loaded_bytes = 0;  ///< lines of memory that each launch loaded, each once
  std::uint64_t instructions = 0;  ///< of waves
};

class Gpu : public Device {
 public:
  virtual const GpuProperties& properties() const = 0;

  /// Errors: unsupported, naming the module, the arch and the driver's reason.
  virtual std::unique_ptr<Module> load_module(std::span<const std::byte> code,
                                              std::string_view name) = 0;
  /// Queues a kernel on stream(). Every kernel takes one parameter: a struct of `params_bytes` by value.
  /// Limits are checked before the driver sees them; an Error names what is exceeded.
  virtual void launch(Kernel kernel, const Launch& launch, const void* params,
                      std::size_t params_bytes) = 0;

  /// Page-locked host memory that kernels may read at the address of the buffer (embedding tables, staging).
  virtual Buffer allocate_pinned(std::size_t bytes, std::string_view what) = 0;

  /// Between these, work queued on stream() is recorded instead of done. Anything that would synchronise or allocate
  /// is an Error (internal).
  virtual void begin_capture() = 0;
  virtual std::unique_ptr<Graph> end_capture() = 0;
  virtual void launch(Graph& graph) = 0;

  virtual std::unique_ptr<Event> create_event() = 0;
  virtual void record(Event& event) = 0;
  /// Milliseconds from one recorded event to another, after waiting for the second.
  virtual float elapsed_ms(const Event& begin, const Event& end) = 0;

  /// On a card that counts it, which is a simulated one.
  virtual std::optional<CountedWork> counted_work() const { return std::nullopt; }
};

/// A card that is not there: properties of `arch`, memory that is only counted, launches that do nothing. For plans, and
/// for learning which kernels a model needs. `memory_bytes` 0: what the usual card of that arch has.
/// Errors: unsupported, listing the known archs.
std::unique_ptr<Gpu> open_paper_gpu(std::string_view arch, std::size_t memory_bytes = 0);

}  // namespace isotope::device
