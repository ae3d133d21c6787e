// What every operation is called with: where it runs, and memory for its intermediate values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/tensor.h"
#include "device/device.h"

namespace isotope::ops {

namespace gpu {
class KernelLibrary;
}

/// A bump allocator over one planned buffer. An operation takes scratch inside a Scope and gives it
/// back at the end, so a step allocates nothing.
class Workspace {
 public:
  Workspace() = default;
  Workspace(device::Device& device, std::size_t bytes);

  /// 64-byte aligned. Running out is a bug in the plan (Error internal naming both sizes).
  void* take(std::size_t bytes);
  TensorView take(DType dtype, const Shape& shape);
  std::size_t capacity() const { return buffer_.size(); }
  std::size_t peak() const { return peak_; }
  /// For tests: overwrites all of it, so that a value read before it was written shows.
  void fill(device::Stream& stream, std::uint8_t value) {
    if (capacity() > 0) stream.fill(buffer_.data(), value, capacity());
  }

  /// Gives back what was taken since its construction.
  class Scope {
   public:
    explicit Scope(Workspace& workspace) : workspace_(workspace), mark_(workspace.used_) {}
    ~Scope() { workspace_.used_ = mark_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Workspace& workspace_;
    std::size_t mark_;
  };

 private:
  device::Buffer buffer_;
  std::size_t used_ = 0, peak_ = 0;
};

/// Which form of an operation runs. `oracle` is the plain FP32 definition that tests compare with.
enum class Path { oracle, fast };

/// Rows of a step by phase: rows [0, decode) continue an answer, rows [decode, total) read a
/// prompt. A row's phase is a property of its token (generated or prompt), not of how it was
/// scheduled, so kernels may differ by phase and a token still gets the same bits alone, in a
/// batch, and when recomputed after preemption.
struct Rows {
  std::int64_t decode = 0;
  std::int64_t total = 0;
};

class Profiler;

class Context {
 public:
  /// `kernels` is the library of a GPU, shared by all contexts on it; without one a GPU gets its
  /// own.
  Context(device::Device& device, std::size_t workspace_bytes, Path path = Path::fast,
          bool batch_invariant = true, std::shared_ptr<gpu::KernelLibrary> kernels = nullptr);

  device::Device& device() const { return *device_; }
  device::Stream& stream() const { return device_->stream(); }
  Workspace& workspace() { return workspace_; }
  /// `oracle` also where the device has no fast form (a CPU without AVX2).
  Path path() const { return path_; }
  /// Kernels and reduction orders depend on shape and phase only, never on how many rows there are.
  bool batch_invariant() const { return batch_invariant_; }
  bool on_gpu() const { return kernels_ != nullptr; }
  /// Only on a GPU.
  gpu::KernelLibrary& kernels() const { return *kernels_; }
  const std::shared_ptr<gpu::KernelLibrary>& shared_kernels() const { return kernels_; }

  /// On a GPU: page-locked memory of at least `bytes`, one of two pieces that uploads of weights
  /// take turns with. Kept, because locking pages takes longer than filling them.
  std::byte* staging(int piece, std::size_t bytes);

  /// What follows belongs to `part` of the step, a literal. Does nothing but while a step is profiled.
  void mark(std::string_view part) {
    if (profiler) mark_profile(part);
  }
  /// Set while a step is profiled.
  Profiler* profiler = nullptr;

  /// For tests of padded batches: rows from here on of the residual stream become NaN after the
  /// embedding; -1: none.
  std::int64_t poisoned_from = -1;

 private:
  void mark_profile(std::string_view part);

  device::Device* device_;
  Workspace workspace_;
  Path path_;
  bool batch_invariant_;
  std::shared_ptr<gpu::KernelLibrary> kernels_;
  std::array<device::Buffer, 2> staging_;
};

}  // namespace isotope::ops
