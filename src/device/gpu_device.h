// A real card, through the driver of its vendor.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "device/gpu.h"
#include "device/gpu_driver.h"

namespace isotope::device {

/// One thread at a time orders work on a GpuDevice; it need not be the thread that opened it.
class GpuDevice final : public Gpu {
 public:
  /// Errors: unsupported if the card cannot be used, saying why.
  GpuDevice(std::shared_ptr<const GpuDriver> driver, int ordinal);
  ~GpuDevice() override;
  GpuDevice(const GpuDevice&) = delete;
  GpuDevice& operator=(const GpuDevice&) = delete;

  Kind kind() const override { return driver_->kind(); }
  std::string name() const override;
  MemoryInfo memory() const override;
  Buffer allocate(std::size_t bytes, std::string_view what) override;
  Stream& stream() override;

  const GpuProperties& properties() const override { return facts_.properties; }
  std::unique_ptr<Module> load_module(std::span<const std::byte> code,
                                      std::string_view name) override;
  void launch(Kernel kernel, const Launch& launch, const void* params,
              std::size_t params_bytes) override;
  Buffer allocate_pinned(std::size_t bytes, std::string_view what) override;
  void begin_capture() override;
  std::unique_ptr<Graph> end_capture() override;
  void launch(Graph& graph) override;
  std::unique_ptr<Event> create_event() override;
  void record(Event& event) override;
  float elapsed_ms(const Event& begin, const Event& end) override;
  std::optional<CountedWork> counted_work() const override {
    return driver_->counted_work();
  }

  // For the parts of this device: stream, modules, graphs, events.
  const GpuDriver& driver() const { return *driver_; }
  void* queue() const { return queue_; }
  /// Makes the card's context current in this thread; false if the driver refuses.
  bool enter() const noexcept;
  /// As enter(), or an Error.
  void require() const;
  /// Throws the Error for a failed call: what was done, where, what the driver says, what to do
  /// next.
  [[noreturn]] void fail_call(const DriverStatus& status, const std::string& doing) const;
  /// Error (internal) while a step is captured: `what` would break the graph.
  void refuse_in_capture(std::string_view what) const;

 private:
  class WorkQueue;
  void release(void* data, std::size_t bytes) noexcept override;
  void free_now(void* data) noexcept;
  void shut_down() noexcept;
  std::string label() const;
  [[noreturn]] void fail_allocation(const DriverStatus& status, std::size_t bytes,
                                    std::string_view what, std::string_view where) const;

  std::shared_ptr<const GpuDriver> driver_;
  int ordinal_;
  std::uint64_t id_;  // of this object within the process, never used again
  GpuFacts facts_;
  void* context_ = nullptr;
  bool attached_ = false;
  void* queue_ = nullptr;
  std::unique_ptr<Stream> stream_;
  bool capturing_ = false;

  std::mutex memory_mutex_;
  std::vector<void*> pinned_;  // which releases are of host memory
  std::vector<void*>
      freed_in_capture_;  // freeing synchronises, so it waits for the end of the capture
};

}  // namespace isotope::device
