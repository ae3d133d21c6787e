// The GPU that tests run on: named by ISOTOPE_TEST_DEVICE ("cuda", "hip:0"), real or emulated. Without it tests are skipped.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "device/gpu.h"
#include "ops/context.h"
#include "ops/gpu/kernel_library.h"

namespace isotope::ops::testing {

/// One device and one kernel library for the whole process; memory of a test is freed with its GpuMachine.
class GpuMachine {
 public:
  explicit GpuMachine(std::size_t workspace = std::size_t(64) << 20, bool batch_invariant = true)
      : context_(device(), workspace, Path::fast, batch_invariant, library()) {}

  static bool available() { return std::getenv("ISOTOPE_TEST_DEVICE") != nullptr; }
  static device::Gpu& device() {
    static const std::unique_ptr<device::Device> opened =
        device::open_device(std::getenv("ISOTOPE_TEST_DEVICE"));
    return static_cast<device::Gpu&>(*opened);
  }
  /// May be replaced for a while (planted_fault.h).
  static std::shared_ptr<gpu::KernelLibrary>& library() {
    static auto made = gpu::make_kernel_library(device());
    return made;
  }
  Context& context() { return context_; }

  /// A copy of a host tensor (rows made dense) with guard bytes behind it.
  TensorView upload(const TensorView& host) {
    const std::size_t row = host.shape.rank() < 2
                                ? std::size_t(host.bytes())
                                : std::size_t(host.bytes() / std::max<std::int64_t>(1, host.shape[0]));
    std::vector<std::byte> dense(std::size_t(host.bytes()));
    for (std::size_t i = 0; row > 0 && i < dense.size() / row; ++i)
      std::memcpy(dense.data() + i * row,
                  static_cast<const std::byte*>(host.data) +
                      (host.shape.rank() < 2 ? 0 : i * std::size_t(host.row_stride) * size_of(host.dtype)),
                  row);
    const TensorView view = allocate(host.dtype, host.shape);
    copy(view.data, dense);
    return view;
  }
  template <typename T>
  TensorView upload(const std::vector<T>& values, const Shape& shape) {
    return upload(TensorView(DTypeOf<T>::value, shape, values.data()));
  }
  /// Device memory full of 0xff bytes (NaN in every float format) with guard bytes behind it.
  TensorView allocate(DType dtype, const Shape& shape) {
    const std::size_t bytes = std::size_t(shape.elements()) * size_of(dtype);
    buffers_.push_back(device().allocate(bytes + kGuard, "a test tensor"));
    device().stream().fill(buffers_.back().data(), 0xff, bytes);
    device().stream().fill(buffers_.back().as<std::byte>() + bytes, kSentinel, kGuard);
    sizes_.push_back(bytes);
    return TensorView(dtype, shape, buffers_.back().data());
  }
  std::vector<std::byte> download(const TensorView& view) {
    std::vector<std::byte> bytes(std::size_t(view.bytes()));
    device().stream().copy_to_host(bytes.data(), view.data, bytes.size());
    device().stream().synchronize();
    return bytes;
  }
  /// Whether no kernel wrote behind a tensor.
  bool intact() {
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
      std::vector<std::uint8_t> guard(kGuard);
      device().stream().copy_to_host(guard.data(), buffers_[i].as<std::byte>() + sizes_[i], kGuard);
      device().stream().synchronize();
      for (const std::uint8_t byte : guard)
        if (byte != kSentinel) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t kGuard = 256;
  static constexpr std::uint8_t kSentinel = 0xa5;
  void copy(void* target, const std::vector<std::byte>& bytes) {
    device().stream().copy_to_device(target, bytes.data(), bytes.size());
    device().stream().synchronize();
  }

  Context context_;
  std::vector<device::Buffer> buffers_;
  std::vector<std::size_t> sizes_;
};

}  // namespace isotope::ops::testing

#define ISOTOPE_REQUIRE_GPU()                                   \
  if (!::isotope::ops::testing::GpuMachine::available())        \
  GTEST_SKIP() << "set ISOTOPE_TEST_DEVICE to cuda or hip"
