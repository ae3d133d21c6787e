#include "device/cpu/cpu_device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/checked.h"
#include "base/error.h"

namespace isotope::device {
namespace {

constexpr std::size_t kHugePage = std::size_t(2) << 20;

class CpuStream final : public Stream {
 public:
  void copy_to_device(void* target, const void* source, std::size_t bytes) override {
    std::memcpy(target, source, bytes);
  }
  void copy_to_host(void* target, const void* source, std::size_t bytes) override {
    std::memcpy(target, source, bytes);
  }
  void fill(void* target, std::uint8_t value, std::size_t bytes) override {
    std::memset(target, value, bytes);
  }
  void synchronize() override {}
};

std::string cpu_model_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

/// Mapped size: whole huge pages once there is at least one.
std::size_t mapped_bytes(std::size_t bytes) {
  return round_up(bytes, bytes >= kHugePage ? kHugePage : std::size_t(::sysconf(_SC_PAGESIZE)));
}

}  // namespace

CpuDevice::CpuDevice(int threads) : CpuDevice(threads, detect_isa()) {}

CpuDevice::CpuDevice(int threads, Isa isa)
    : pool_(threads), isa_(isa), stream_(std::make_unique<CpuStream>()) {}

CpuDevice::~CpuDevice() = default;

std::string CpuDevice::name() const {
  return fmt::format("{}, {} thread{}, {}", cpu_model_name(), pool_.size(),
                     pool_.size() == 1 ? "" : "s", name_of(isa_));
}

MemoryInfo CpuDevice::memory() const {
  MemoryInfo info;
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string key;
    std::size_t kib = 0;
    fields >> key >> kib;
    if (key == "MemTotal:") info.total = kib << 10;
    if (key == "MemAvailable:") info.available = kib << 10;
  }
  return info;
}

Buffer CpuDevice::allocate(std::size_t bytes, std::string_view what) {
  if (bytes == 0) return {};
  const std::size_t size = mapped_bytes(bytes);
  // Anonymous memory is zeroed and becomes resident only when touched, so a large KV cache costs
  // what is used of it.
  void* data = size < bytes ? MAP_FAILED
                            : ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED)
    fail(ErrorCode::out_of_memory, "cannot allocate {} bytes for {}: {}", bytes, what,
         std::strerror(errno));
  if (size >= kHugePage) ::madvise(data, size, MADV_HUGEPAGE);
  return Buffer(this, data, bytes);
}

void CpuDevice::release(void* data, std::size_t bytes) noexcept {
  ::munmap(data, mapped_bytes(bytes));
}

Stream& CpuDevice::stream() { return *stream_; }

}  // namespace isotope::device
