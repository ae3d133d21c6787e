#include "ops/context.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "device/cpu/cpu_device.h"
#include "ops/gpu/kernel_library.h"
#include "ops/profiler.h"

namespace isotope::ops {
namespace {

constexpr std::size_t kAlignment = 64;

Path usable_path(device::Device& device, Path wanted) {
  if (device.kind() != device::Kind::cpu) return wanted;
  const device::Isa isa = static_cast<device::CpuDevice&>(device).isa();
  return isa == device::Isa::scalar ? Path::oracle : wanted;
}

}  // namespace

Workspace::Workspace(device::Device& device, std::size_t bytes)
    : buffer_(device.allocate(bytes, "the workspace")) {}

void* Workspace::take(std::size_t bytes) {
  const std::size_t size = round_up(bytes, kAlignment);
  if (size < bytes || size > buffer_.size() - used_)
    fail(ErrorCode::internal, "the workspace of {} bytes is too small: {} in use, {} more needed",
         buffer_.size(), used_, bytes);
  void* data = buffer_.as<std::byte>() + used_;
  used_ += size;
  peak_ = std::max(peak_, used_);
  return data;
}

TensorView Workspace::take(DType dtype, const Shape& shape) {
  return TensorView(dtype, shape, take(std::size_t(shape.elements()) * size_of(dtype)));
}

Context::Context(device::Device& device, std::size_t workspace_bytes, Path path,
                 bool batch_invariant, std::shared_ptr<gpu::KernelLibrary> kernels)
    : device_(&device),
      workspace_(device, workspace_bytes),
      path_(usable_path(device, path)),
      batch_invariant_(batch_invariant),
      kernels_(std::move(kernels)) {
  if (device.kind() != device::Kind::cpu && !kernels_)
    kernels_ = gpu::make_kernel_library(static_cast<device::Gpu&>(device));
}

void Context::mark_profile(std::string_view part) { profiler->mark(part); }

std::byte* Context::staging(int piece, std::size_t bytes) {
  device::Buffer& buffer = staging_.at(std::size_t(piece));
  if (buffer.size() < bytes) {
    buffer = {};
    buffer = static_cast<device::Gpu&>(*device_).allocate_pinned(bytes, "staging of weights");
  }
  return buffer.as<std::byte>();
}

}  // namespace isotope::ops
