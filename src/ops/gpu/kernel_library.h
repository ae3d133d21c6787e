// The kernels of one GPU: built when first asked for, kept loaded.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "device/gpu.h"
#include "jit/jit.h"
#include "ops/tuning/tuning.h"

namespace isotope::ops::gpu {

/// All kernel text of the program, embedded at build time: every .cu and .cuh file below src/ops, and the parameter
/// headers (*_params.h) that host and device code share.
const jit::SourceMap& kernel_sources();

/// Which function of which unit.
struct KernelName {
  jit::Unit unit;
  std::string function;
};

/// A unit that was asked for while recording, and what its launches take.
struct NotedKernel {
  jit::Unit unit;
  struct Needs {
    std::uint32_t threads = 0, shared_bytes = 0;  ///< the most of any launch; shared_bytes: dynamic
  };
  std::map<std::string, Needs, std::less<>> functions;
};

class KernelLibrary {
 public:
  /// Without a builder nothing can be compiled: the library only notes what is asked for.
  KernelLibrary(device::Gpu& gpu, std::unique_ptr<jit::Builder> builder);

  /// While recording, kernels are noted, not compiled, and nothing is launched: forward() then tells what it needs.
  void start_recording();
  /// The units noted since, each once.
  std::vector<jit::Unit> stop_recording();
  /// The same with their launches, until the next recording.
  const std::vector<NotedKernel>& noted() const { return noted_; }
  /// Launches are noted instead of done.
  bool recording() const { return recording_ || !builder_; }

  /// Compiles and loads what is not loaded yet, in parallel.
  void build(const std::vector<jit::Unit>& units,
             const std::function<void(std::int64_t, std::int64_t, std::string_view)>& progress = {});

  /// Launches a kernel; compiles it first if it was never built (counted: this must not happen inside a request). Nothing
  /// happens for a grid without blocks.
  template <typename Params>
  void launch(const KernelName& name, const device::Launch& launch, const Params& params) {
    static_assert(std::is_trivially_copyable_v<Params>);
    launch_bytes(name, launch, &params, sizeof(Params));
  }
  std::int64_t late_builds() const { return late_builds_; }
  /// What was compiled and what came from the cache.
  jit::BuildStats build_stats() const { return builder_ ? builder_->stats() : jit::BuildStats{}; }

  device::Gpu& gpu() { return *gpu_; }
  const device::GpuProperties& properties() const { return gpu_->properties(); }
  /// The tables of this GPU's arch.
  const Tuning& tuning() const { return tuning_; }
  Tuning& tuning() { return tuning_; }

 private:
  void launch_bytes(const KernelName& name, const device::Launch& launch, const void* params,
                    std::size_t bytes);
  device::Kernel find(const KernelName& name);

  void note(const KernelName& name, const device::Launch& launch);

  struct Loaded {
    jit::Unit unit;
    std::unique_ptr<device::Module> module;
    std::map<std::string, device::Kernel, std::less<>> kernels;
  };
  device::Gpu* gpu_;
  std::unique_ptr<jit::Builder> builder_;
  Tuning tuning_;
  std::map<std::string, Loaded, std::less<>> loaded_;  // by Unit::name
  std::vector<NotedKernel> noted_;
  bool recording_ = false;
  std::int64_t late_builds_ = 0;
};

/// A library for `gpu` with the usual compiler and cache; for a card that is not there, one without a builder.
std::shared_ptr<KernelLibrary> make_kernel_library(device::Gpu& gpu);

}  // namespace isotope::ops::gpu
