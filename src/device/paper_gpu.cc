// Cards that are not there: what a plan and the list of needed kernels depend on, without the card.
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <unordered_map>

#include "base/checked.h"
#include "base/error.h"
#include "device/gpu_driver.h"

namespace isotope::device {
namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB;

struct Card {
  std::string_view arch, name;
  int multiprocessors;
  std::size_t shared_per_block, shared_per_multiprocessor, l2_bytes;
  std::size_t
      memory_bytes;  // what the driver offers, a little less than what is printed on the box
};

constexpr std::array kCards = {
    Card{"gfx1201", "AMD Radeon RX 9070 XT", 32, 64 * kKiB, 128 * kKiB, 8 * kMiB, 16304 * kMiB},
    Card{"sm_80", "NVIDIA A100 80GB", 108, 163 * kKiB, 164 * kKiB, 40 * kMiB, 79 * kGiB},
    Card{"sm_86", "NVIDIA GeForce RTX 3090", 82, 99 * kKiB, 100 * kKiB, 6 * kMiB,
         23 * kGiB + 512 * kMiB},
    Card{"sm_89", "NVIDIA GeForce RTX 4090", 128, 99 * kKiB, 100 * kKiB, 72 * kMiB,
         23 * kGiB + 512 * kMiB},
    Card{"sm_90a", "NVIDIA H100 80GB", 132, 227 * kKiB, 228 * kKiB, 50 * kMiB, 79 * kGiB},
};

const Card& find_card(std::string_view arch) {
  std::string known;
  for (const Card& card : kCards) {
    if (card.arch == arch) return card;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", card.arch);
  }
  fail(ErrorCode::unsupported, "--arch {}: known are {}", arch, known);
}

/// Addresses that no program has: a mistaken access faults at once.
constexpr std::uintptr_t kFirstAddress = std::uintptr_t(1) << 52;
constexpr std::size_t kAlignment = 256;

class PaperModule final : public Module {
 public:
  explicit PaperModule(std::string_view name) : name_(name) {}
  Kernel kernel(const std::string& function) override {
    std::string& known = functions_[function];
    if (known.empty()) known = name_ + "/" + function;
    return {&known};
  }

 private:
  std::string name_;
  std::map<std::string, std::string> functions_;  // a handle is the full name
};

class PaperGpu final : public Gpu, private Stream {
 public:
  PaperGpu(const Card& card, std::size_t memory_bytes) {
    const bool amd = card.arch.starts_with("gfx");
    kind_ = amd ? Kind::hip : Kind::cuda;
    properties_.name = card.name;
    properties_.arch = card.arch;
    properties_.multiprocessors = card.multiprocessors;
    properties_.shared_per_block = card.shared_per_block;
    properties_.shared_per_multiprocessor = card.shared_per_multiprocessor;
    properties_.l2_bytes = card.l2_bytes;
    properties_.memory_bytes = memory_bytes ? memory_bytes : card.memory_bytes;
    properties_.overlapped_launch = card.arch == "sm_90a";
    properties_.paper = true;
    limits_.threads = 1024;
    limits_.grid = {0x7fffffff, 65535, 65535};
    limits_.grid_threads = amd ? 0xffffffffu : std::uint64_t(limits_.grid[0]) * limits_.threads;
  }

  Kind kind() const override { return kind_; }
  std::string name() const override {
    return fmt::format("{}, on paper, {}", properties_.name, properties_.arch);
  }
  MemoryInfo memory() const override {
    const std::lock_guard lock(mutex_);
    return {properties_.memory_bytes, properties_.memory_bytes - used_};
  }

  Buffer allocate(std::size_t bytes, std::string_view what) override {
    if (bytes == 0) return {};
    refuse_in_capture("allocating");
    const std::lock_guard lock(mutex_);
    const std::size_t available = properties_.memory_bytes - used_;
    if (bytes > available)
      fail(ErrorCode::out_of_memory,
           "cannot allocate {} bytes for {} on {}: {} of {} bytes are free; plan for less, or for "
           "a card with more "
           "(--device-memory)",
           bytes, what, name(), available, properties_.memory_bytes);
    used_ += bytes;
    void* data = reinterpret_cast<void*>(next_);
    next_ += round_up(bytes, kAlignment);
    return Buffer(this, data, bytes);
  }
  /// Real memory, which takes room only where it is written to: programs fill it themselves.
  Buffer allocate_pinned(std::size_t bytes, std::string_view what) override {
    if (bytes == 0) return {};
    refuse_in_capture("allocating");
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED)
      fail(ErrorCode::out_of_memory, "cannot allocate {} bytes of host memory for {}: {}", bytes,
           what, std::strerror(errno));
    return Buffer(this, data, bytes);
  }
  Stream& stream() override { return *this; }

  const GpuProperties& properties() const override { return properties_; }
  std::unique_ptr<Module> load_module(std::span<const std::byte>,
                                      std::string_view module_name) override {
    return std::make_unique<PaperModule>(module_name);
  }
  void launch(Kernel kernel, const Launch& launch, const void*, std::size_t params_bytes) override {
    ISOTOPE_ASSERT(kernel);
    check_launch(*static_cast<const std::string*>(kernel.handle), launch, params_bytes, properties_,
                 limits_);
  }

  void begin_capture() override {
    refuse_in_capture("beginning another capture");
    capturing_ = true;
  }
  std::unique_ptr<Graph> end_capture() override {
    if (!capturing_) fail(ErrorCode::internal, "{}: no capture to end", name());
    capturing_ = false;
    return std::make_unique<Graph>();
  }
  void launch(Graph&) override { refuse_in_capture("launching a captured step"); }

  std::unique_ptr<Event> create_event() override { return std::make_unique<Event>(); }
  void record(Event&) override { refuse_in_capture("recording an event"); }
  float elapsed_ms(const Event&, const Event&) override { return 0; }

 private:
  void copy_to_device(void*, const void*, std::size_t) override {}
  void copy_to_host(void*, const void*, std::size_t bytes) override {
    if (bytes == 0) return;
    fail(ErrorCode::internal, "{}: {} bytes asked for from a card that is not there", name(),
         bytes);
  }
  void fill(void*, std::uint8_t, std::size_t) override {}
  void synchronize() override { refuse_in_capture("waiting for the device"); }

  void release(void* data, std::size_t bytes) noexcept override {
    if (reinterpret_cast<std::uintptr_t>(data) < kFirstAddress) {
      ::munmap(data, bytes);
      return;
    }
    const std::lock_guard lock(mutex_);
    used_ -= bytes;
  }
  void refuse_in_capture(std::string_view what) const {
    if (capturing_)
      isotope::fail(ErrorCode::internal, "{}: {} inside a captured step", name(), what);
  }

  Kind kind_;
  GpuProperties properties_;
  LaunchLimits limits_;
  bool capturing_ = false;
  mutable std::mutex mutex_;
  std::size_t used_ = 0;
  std::uintptr_t next_ = kFirstAddress;
};

}  // namespace

std::unique_ptr<Gpu> open_paper_gpu(std::string_view arch, std::size_t memory_bytes) {
  return std::make_unique<PaperGpu>(find_card(arch), memory_bytes);
}

}  // namespace isotope::device
