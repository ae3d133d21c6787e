#include "device/gpu_device.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <utility>

#include "base/error.h"

namespace isotope::device {
namespace {

double gib(std::size_t bytes) { return double(bytes) / double(std::size_t(1) << 30); }

std::uint64_t next_id() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

/// The GpuDevice whose context is current in this thread.
thread_local std::uint64_t current_id = 0;

/// What Kernel::handle points to.
struct Function {
  void* handle = nullptr;
  std::string name;
  std::uint32_t allowed_shared = 0;  ///< dynamic bytes that the driver was told of
};

class GpuModule final : public Module {
 public:
  GpuModule(GpuDevice& device, std::span<const std::byte> code, std::string_view name)
      : device_(device), name_(name), code_(code.begin(), code.end()) {
    device_.require();
    const DriverStatus status = device_.driver().load_module(code_.data(), &handle_);
    if (status.ok()) return;
    fail(ErrorCode::unsupported,
         "cannot load the kernels {} ({} bytes for {}) on {}: {} failed with {} ({}); remove the "
         "kernel cache if it "
         "came from another machine, and check that the driver is not older than the compiler",
         name, code.size(), device_.properties().arch, device_.name(), status.call,
         device_.driver().error_name(status.code), device_.driver().error_text(status.code));
  }
  ~GpuModule() override {
    if (device_.enter()) device_.driver().unload_module(handle_);
  }
  GpuModule(const GpuModule&) = delete;
  GpuModule& operator=(const GpuModule&) = delete;

  Kernel kernel(const std::string& function) override {
    const auto known = functions_.find(function);
    if (known != functions_.end()) return {known->second.get()};
    device_.require();
    auto found = std::make_unique<Function>();
    found->name = name_ + "/" + function;
    const DriverStatus status =
        device_.driver().find_function(handle_, function.c_str(), &found->handle);
    if (status.not_found())
      fail(ErrorCode::not_found, "the kernels {} have no function {}", name_, function);
    if (!status.ok())
      device_.fail_call(status, fmt::format("looking for {} in the kernels {}", function, name_));
    return {functions_.emplace(function, std::move(found)).first->second.get()};
  }

 private:
  GpuDevice& device_;
  std::string name_;
  std::vector<std::byte> code_;  // drivers may load functions from it as late as their first launch
  void* handle_ = nullptr;
  std::map<std::string, std::unique_ptr<Function>> functions_;
};

class GpuGraph final : public Graph {
 public:
  explicit GpuGraph(GpuDevice& device) : device_(device) {}
  ~GpuGraph() override {
    if (!device_.enter()) return;
    if (executable) device_.driver().destroy_executable(executable);
    if (graph) device_.driver().destroy_graph(graph);
  }
  GpuGraph(const GpuGraph&) = delete;
  GpuGraph& operator=(const GpuGraph&) = delete;

  void* graph = nullptr;
  void* executable = nullptr;

 private:
  GpuDevice& device_;
};

class GpuEvent final : public Event {
 public:
  explicit GpuEvent(GpuDevice& device) : device_(device) {}
  ~GpuEvent() override {
    if (handle && device_.enter()) device_.driver().destroy_event(handle);
  }
  GpuEvent(const GpuEvent&) = delete;
  GpuEvent& operator=(const GpuEvent&) = delete;

  void* handle = nullptr;
  bool recorded = false;

 private:
  GpuDevice& device_;
};

}  // namespace

class GpuDevice::WorkQueue final : public Stream {
 public:
  explicit WorkQueue(GpuDevice& device) : device_(device) {}

  void copy_to_device(void* target, const void* source, std::size_t bytes) override {
    if (bytes == 0) return;
    device_.require();
    const DriverStatus status =
        device_.driver().copy_to_device(target, source, bytes, device_.queue());
    if (!status.ok())
      device_.fail_call(status, fmt::format("copying {} bytes to the device", bytes));
  }
  void copy_to_host(void* target, const void* source, std::size_t bytes) override {
    if (bytes == 0) return;
    device_.require();
    const DriverStatus status =
        device_.driver().copy_to_host(target, source, bytes, device_.queue());
    if (!status.ok()) device_.fail_call(status, fmt::format("copying {} bytes to the host", bytes));
  }
  void fill(void* target, std::uint8_t value, std::size_t bytes) override {
    if (bytes == 0) return;
    device_.require();
    const DriverStatus status = device_.driver().fill(target, value, bytes, device_.queue());
    if (!status.ok()) device_.fail_call(status, fmt::format("filling {} bytes", bytes));
  }
  void synchronize() override {
    device_.refuse_in_capture("waiting for the device");
    device_.require();
    const DriverStatus status = device_.driver().synchronize(device_.queue());
    if (!status.ok()) device_.fail_call(status, "waiting for the device");
  }

 private:
  GpuDevice& device_;
};

GpuDevice::GpuDevice(std::shared_ptr<const GpuDriver> driver, int ordinal)
    : driver_(std::move(driver)), ordinal_(ordinal), id_(next_id()) {
  facts_.properties.name = driver_->identity();
  DriverStatus status = driver_->facts(ordinal_, &facts_);
  if (!status.ok()) fail_call(status, "asking for its properties");
  if (!facts_.unusable.empty())
    fail(ErrorCode::unsupported, "{} cannot be used: {}; use --device cpu", label(),
         facts_.unusable);
  status = driver_->attach(ordinal_, &context_);
  if (!status.ok()) fail_call(status, "opening it");
  attached_ = true;
  try {
    require();
    status = driver_->create_stream(&queue_);
    if (!status.ok()) fail_call(status, "making its stream");
    stream_ = std::make_unique<WorkQueue>(*this);
  } catch (...) {
    shut_down();
    throw;
  }
}

GpuDevice::~GpuDevice() { shut_down(); }

/// Gives everything back. What fails here fails because the driver is already gone, or the card is.
void GpuDevice::shut_down() noexcept {
  if (!attached_) return;
  if (enter()) {
    void* graph = nullptr;
    if (capturing_ && driver_->end_capture(queue_, &graph).ok() && graph)
      driver_->destroy_graph(graph);
    if (queue_) {
      driver_->synchronize(queue_);
      driver_->destroy_stream(queue_);
    }
    for (void* data : freed_in_capture_) free_now(data);
  }
  driver_->detach(ordinal_);
  attached_ = false;
}

std::string GpuDevice::label() const {
  return fmt::format("{}:{} ({})", name_of(kind()), ordinal_, facts_.properties.name);
}

std::string GpuDevice::name() const {
  return fmt::format("{}, {}:{}, {}", facts_.properties.name, name_of(kind()), ordinal_,
                     facts_.properties.arch);
}

bool GpuDevice::enter() const noexcept {
  if (current_id == id_) return true;
  if (!driver_->make_current(ordinal_, context_).ok()) return false;
  current_id = id_;
  return true;
}

void GpuDevice::require() const {
  if (current_id == id_) return;
  const DriverStatus status = driver_->make_current(ordinal_, context_);
  if (!status.ok()) fail_call(status, "making it current in a thread");
  current_id = id_;
}

void GpuDevice::fail_call(const DriverStatus& status, const std::string& doing) const {
  const bool cuda = kind() == Kind::cuda;
  const char* next = status.context_lost() ? (cuda ? "a kernel failed and everything on the card "
                                                     "is lost: restart, and run the same under "
                                                     "compute-sanitizer to find the kernel"
                                                   : "a kernel failed and everything on the card "
                                                     "is lost: restart, and see what dmesg says")
                     : status.out_of_memory() ? "free memory on the card, or ask for less"
                     : cuda                   ? "see what nvidia-smi says about the card"
                                              : "see what rocminfo and dmesg say about the card";
  fail(status.out_of_memory() ? ErrorCode::out_of_memory : ErrorCode::internal,
       "{}: {} failed while {}: {} ({}); {}", label(), status.call, doing,
       driver_->error_name(status.code), driver_->error_text(status.code), next);
}

void GpuDevice::refuse_in_capture(std::string_view what) const {
  if (capturing_)
    fail(ErrorCode::internal, "{}: {} inside a captured step; do it before the capture begins",
         label(), what);
}

MemoryInfo GpuDevice::memory() const {
  require();
  MemoryInfo info;
  const DriverStatus status = driver_->memory_info(&info.available, &info.total);
  if (!status.ok()) fail_call(status, "asking for its free memory");
  return info;
}

void GpuDevice::fail_allocation(const DriverStatus& status, std::size_t bytes,
                                std::string_view what, std::string_view where) const {
  const std::string doing = fmt::format("allocating {} bytes of {} for {}", bytes, where, what);
  MemoryInfo info;
  if (!status.out_of_memory() || !driver_->memory_info(&info.available, &info.total).ok())
    fail_call(status, doing);
  fail(ErrorCode::out_of_memory,
       "cannot allocate {} bytes ({:.2f} GiB) of {} for {} on {}: {:.2f} of {:.2f} GiB of the card "
       "are free; end other "
       "programs on it, or plan for less with --max-model-len, --max-num-seqs or "
       "--kv-cache-memory-bytes",
       bytes, gib(bytes), where, what, label(), gib(info.available), gib(info.total));
}

Buffer GpuDevice::allocate(std::size_t bytes, std::string_view what) {
  if (bytes == 0) return {};
  refuse_in_capture(fmt::format("allocating {} bytes for {}", bytes, what));
  require();
  void* data = nullptr;
  DriverStatus status = driver_->allocate(&data, bytes);
  if (!status.ok()) fail_allocation(status, bytes, what, "device memory");
  Buffer buffer(this, data, bytes);
  status = driver_->fill(data, 0, bytes, queue_);
  if (!status.ok()) fail_call(status, fmt::format("zeroing {} bytes for {}", bytes, what));
  return buffer;
}

Buffer GpuDevice::allocate_pinned(std::size_t bytes, std::string_view what) {
  if (bytes == 0) return {};
  refuse_in_capture(fmt::format("allocating {} bytes of host memory for {}", bytes, what));
  require();
  void* data = nullptr;
  const DriverStatus status = driver_->allocate_pinned(&data, bytes);
  if (!status.ok()) fail_allocation(status, bytes, what, "page-locked host memory");
  try {
    const std::lock_guard lock(memory_mutex_);
    pinned_.push_back(data);
  } catch (...) {
    driver_->free_pinned(data);
    throw;
  }
  std::memset(data, 0, bytes);
  return Buffer(this, data, bytes);
}

void GpuDevice::release(void* data, std::size_t) noexcept {
  if (capturing_) {
    const std::lock_guard lock(memory_mutex_);
    freed_in_capture_.push_back(data);
    return;
  }
  if (enter()) free_now(data);
}

void GpuDevice::free_now(void* data) noexcept {
  bool pinned = false;
  {
    const std::lock_guard lock(memory_mutex_);
    const auto found = std::find(pinned_.begin(), pinned_.end(), data);
    pinned = found != pinned_.end();
    if (pinned) pinned_.erase(found);
  }
  if (!pinned) {
    driver_->free(data);  // waits for work that may use it
    return;
  }
  driver_->synchronize(queue_);
  driver_->free_pinned(data);
}

Stream& GpuDevice::stream() { return *stream_; }

std::unique_ptr<Module> GpuDevice::load_module(std::span<const std::byte> code,
                                               std::string_view name) {
  refuse_in_capture(fmt::format("loading the kernels {}", name));
  return std::make_unique<GpuModule>(*this, code, name);
}

void GpuDevice::launch(Kernel kernel, const Launch& launch, const void* params,
                       std::size_t params_bytes) {
  ISOTOPE_ASSERT(kernel);
  Function& function = *static_cast<Function*>(kernel.handle);
  check_launch(function.name, launch, params_bytes, properties(), facts_.limits);
  require();
  if (launch.shared_bytes > function.allowed_shared) {
    const DriverStatus status = driver_->allow_shared(function.handle, launch.shared_bytes);
    if (!status.ok())
      fail_call(
          status,
          fmt::format("asking for {} bytes of dynamic shared memory for kernel {} (a block has {}, "
                      "static shared memory included)",
                      launch.shared_bytes, function.name, properties().shared_per_block));
    function.allowed_shared = launch.shared_bytes;
  }
  const bool overlap = launch.overlaps_predecessor && properties().overlapped_launch;
  const DriverStatus status = driver_->launch(function.handle, launch, params, overlap, queue_);
  if (!status.ok())
    fail_call(
        status,
        fmt::format("launching kernel {} on {}×{}×{} blocks of {} threads with {} bytes of shared "
                    "memory and {} of parameters",
                    function.name, launch.grid[0], launch.grid[1], launch.grid[2], launch.threads,
                    launch.shared_bytes, params_bytes));
}

void GpuDevice::begin_capture() {
  refuse_in_capture("beginning another capture");
  require();
  const DriverStatus status = driver_->begin_capture(queue_);
  if (!status.ok()) fail_call(status, "beginning to capture a step");
  capturing_ = true;
}

std::unique_ptr<Graph> GpuDevice::end_capture() {
  if (!capturing_) fail(ErrorCode::internal, "{}: no capture to end", label());
  require();
  auto captured = std::make_unique<GpuGraph>(*this);
  DriverStatus status = driver_->end_capture(queue_, &captured->graph);
  capturing_ = false;
  for (void* data : std::exchange(freed_in_capture_, {})) free_now(data);
  if (!status.ok()) fail_call(status, "ending the capture of a step");
  status = driver_->instantiate(captured->graph, &captured->executable);
  if (!status.ok()) fail_call(status, "making a captured step executable");
  return captured;
}

void GpuDevice::launch(Graph& graph) {
  refuse_in_capture("launching a captured step");
  require();
  const DriverStatus status =
      driver_->launch_graph(static_cast<GpuGraph&>(graph).executable, queue_);
  if (!status.ok()) fail_call(status, "launching a captured step");
}

std::unique_ptr<Event> GpuDevice::create_event() {
  refuse_in_capture("making an event");
  require();
  auto event = std::make_unique<GpuEvent>(*this);
  const DriverStatus status = driver_->create_event(&event->handle);
  if (!status.ok()) fail_call(status, "making an event");
  return event;
}

void GpuDevice::record(Event& event) {
  refuse_in_capture("recording an event");
  require();
  auto& own = static_cast<GpuEvent&>(event);
  const DriverStatus status = driver_->record(own.handle, queue_);
  if (!status.ok()) fail_call(status, "recording an event");
  own.recorded = true;
}

float GpuDevice::elapsed_ms(const Event& begin, const Event& end) {
  refuse_in_capture("waiting for an event");
  const auto& first = static_cast<const GpuEvent&>(begin);
  const auto& second = static_cast<const GpuEvent&>(end);
  if (!first.recorded || !second.recorded)
    fail(ErrorCode::internal, "{}: the time between events that were not both recorded", label());
  require();
  DriverStatus status = driver_->wait(second.handle);
  if (!status.ok()) fail_call(status, "waiting for an event");
  float ms = 0;
  status = driver_->elapsed_ms(first.handle, second.handle, &ms);
  if (!status.ok()) fail_call(status, "taking the time between two events");
  return ms;
}

}  // namespace isotope::device
