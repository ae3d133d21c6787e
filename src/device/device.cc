#include "device/device.h"

#include <utility>

#include "base/error.h"
#include "device/cpu/cpu_device.h"

namespace isotope::device {

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::cpu:
      return "cpu";
    case Kind::cuda:
      return "cuda";
    case Kind::hip:
      return "hip";
  }
  assertion_failed("known device kind", __FILE__, __LINE__);
}

Buffer::~Buffer() {
  if (data_) device_->release(data_, size_);
}

Buffer::Buffer(Buffer&& other) noexcept
    : device_(other.device_),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

std::unique_ptr<Device> open_device(std::string_view name, int threads) {
  if (name == "auto" || name == "cpu") return std::make_unique<CpuDevice>(threads);
  if (name.starts_with("cuda") || name.starts_with("hip"))
    fail(ErrorCode::unsupported, "--device {}: this version runs on the CPU only; use --device cpu",
         name);
  fail(ErrorCode::invalid_argument, "--device {}: expected auto, cpu, cuda[:N] or hip[:N]", name);
}

}  // namespace isotope::device
