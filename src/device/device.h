// One small interface in front of every kind of device. Rooms above ask for memory and order work;
// only src/ops and src/jit know what a device executes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace isotope::device {

enum class Kind { cpu, cuda, hip };
std::string_view name_of(Kind kind);

class Device;

/// Device memory with one owner, freed on destruction. The device must outlive it.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device* device, void* data, std::size_t size)
      : device_(device), data_(data), size_(size) {}
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  std::size_t size() const { return size_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  Device* device_ = nullptr;
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// An in-order queue of work. On the CPU work is done when the call returns; on a GPU it is queued,
/// and host memory that a copy reads or writes must stay as it is until synchronize().
class Stream {
 public:
  virtual ~Stream() = default;
  virtual void copy_to_device(void* target, const void* source, std::size_t bytes) = 0;
  virtual void copy_to_host(void* target, const void* source, std::size_t bytes) = 0;
  virtual void fill(void* target, std::uint8_t value, std::size_t bytes) = 0;
  /// Returns when everything queued so far is done. Never called inside a captured step.
  virtual void synchronize() = 0;
};

struct MemoryInfo {
  std::size_t total = 0;
  std::size_t available = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual Kind kind() const = 0;
  /// For people: "AMD EPYC, 2 threads, avx512_bf16".
  virtual std::string name() const = 0;
  virtual MemoryInfo memory() const = 0;
  /// 64-byte aligned (more for large blocks), zeroed. Errors: out_of_memory naming `what` and the
  /// size.
  virtual Buffer allocate(std::size_t bytes, std::string_view what) = 0;
  virtual Stream& stream() = 0;

 protected:
  friend class Buffer;
  virtual void release(void* data, std::size_t bytes) noexcept = 0;
};

/// `name` as on the command line: "cpu", "cuda[:N]", "hip[:N]", or "auto": the best usable discrete
/// GPU, else the CPU, told in the log with the reason. `threads` of the CPU ≤ 0: all available.
/// Errors: invalid_argument for a name or number that is none; not_found without a driver;
/// unsupported for a device that cannot be used. Each says the next step.
std::unique_ptr<Device> open_device(std::string_view name, int threads = 0);

}  // namespace isotope::device
