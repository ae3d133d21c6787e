#include "device/device.h"

#include <utility>

#include "base/error.h"

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

}  // namespace isotope::device
