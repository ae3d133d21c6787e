// AMD's HIP runtime through our own declarations of the functions, types and constants used. Names
// and values are those of ROCm 6 and 7, which share them; earlier ones do not know gfx1201.
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/error.h"
#include "device/gpu_driver.h"

namespace isotope::device {
namespace {

constexpr unsigned kHostMallocPortable = 1, kHostMallocMapped = 2;
constexpr unsigned kStreamNonBlocking = 1;
/// Calls of this thread that could not be captured are errors; other threads go on as they like.
constexpr int kCaptureThreadLocal = 1;

/// hipDeviceProp_tR0600, of which we name what we read. "R0600" is the version of its layout: the
/// function of that name fills this one in every later ROCm too, which numbers of attributes do not
/// promise.
struct DeviceProperties {
  char name[256];
  char identifiers[32];
  std::size_t total_memory;
  std::size_t shared_per_block;
  char unread0[16];
  int max_threads_per_block;
  int max_threads_dim[3];
  int max_grid_size[3];
  char unread1[40];
  int multiprocessors;
  int kernel_timeout;
  int integrated;
  char unread2[216];
  int l2_bytes;
  char unread3[540];
  char gcn_arch_name[256];
  char unread4[56];
};
static_assert(offsetof(DeviceProperties, total_memory) == 288);
static_assert(offsetof(DeviceProperties, max_threads_per_block) == 320);
static_assert(offsetof(DeviceProperties, max_grid_size) == 336);
static_assert(offsetof(DeviceProperties, multiprocessors) == 388);
static_assert(offsetof(DeviceProperties, integrated) == 396);
static_assert(offsetof(DeviceProperties, l2_bytes) == 616);
static_assert(offsetof(DeviceProperties, gcn_arch_name) == 1160);
static_assert(sizeof(DeviceProperties) == 1472);

constexpr const char* kFiles[] = {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so",
                                  "/opt/rocm/lib/libamdhip64.so"};
constexpr DriverLibrary::Sought kSought = {
    "HIP", "ISOTOPE_HIP_LIBRARY", kFiles,
    "install ROCm's HIP runtime (ROCm 6.4 or later for RDNA4), or use --device cpu",
    "install ROCm 6.4 or later"};

/// The functions of the library, under the names of its documentation.
struct Functions {
  explicit Functions(const DriverLibrary& library);

  int (*hipInit)(unsigned);
  int (*hipRuntimeGetVersion)(int*);
  const char* (*hipGetErrorName)(int);
  const char* (*hipGetErrorString)(int);
  int (*hipGetDeviceCount)(int*);
  int (*hipGetDeviceProperties)(DeviceProperties*, int);
  int (*hipSetDevice)(int);
  int (*hipMemGetInfo)(std::size_t*, std::size_t*);
  int (*hipMalloc)(void**, std::size_t);
  int (*hipFree)(void*);
  int (*hipHostMalloc)(void**, std::size_t, unsigned);
  int (*hipHostFree)(void*);
  int (*hipMemcpyHtoDAsync)(void*, const void*, std::size_t, void*);
  int (*hipMemcpyDtoHAsync)(void*, void*, std::size_t, void*);
  int (*hipMemsetD8Async)(void*, unsigned char, std::size_t, void*);
  int (*hipStreamCreateWithFlags)(void**, unsigned);
  int (*hipStreamDestroy)(void*);
  int (*hipStreamSynchronize)(void*);
  int (*hipStreamBeginCapture)(void*, int);
  int (*hipStreamEndCapture)(void*, void**);
  int (*hipGraphInstantiate)(void**, void*, void**, char*, std::size_t);
  int (*hipGraphExecDestroy)(void*);
  int (*hipGraphDestroy)(void*);
  int (*hipGraphLaunch)(void*, void*);
  int (*hipEventCreateWithFlags)(void**, unsigned);
  int (*hipEventRecord)(void*, void*);
  int (*hipEventSynchronize)(void*);
  int (*hipEventElapsedTime)(float*, void*, void*);
  int (*hipEventDestroy)(void*);
  int (*hipModuleLoadData)(void**, const void*);
  int (*hipModuleUnload)(void*);
  int (*hipModuleGetFunction)(void**, void*, const char*);
  int (*hipModuleLaunchKernel)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                               unsigned, void*, void**, void**);
  /// Not HIP's: a simulated card's count of bytes that launches have loaded; nullptr elsewhere.
  unsigned long long (*isotopeSimulatedTraffic)();
  unsigned long long (*isotopeSimulatedInstructions)();
};

Functions::Functions(const DriverLibrary& library) {
  library.find(hipInit, "hipInit");
  library.find(hipRuntimeGetVersion, "hipRuntimeGetVersion");
  library.find(hipGetErrorName, "hipGetErrorName");
  library.find(hipGetErrorString, "hipGetErrorString");
  library.find(hipGetDeviceCount, "hipGetDeviceCount");
  library.find(hipGetDeviceProperties, "hipGetDevicePropertiesR0600");
  library.find(hipSetDevice, "hipSetDevice");
  library.find(hipMemGetInfo, "hipMemGetInfo");
  library.find(hipMalloc, "hipMalloc");
  library.find(hipFree, "hipFree");
  library.find(hipHostMalloc, "hipHostMalloc");
  library.find(hipHostFree, "hipHostFree");
  library.find(hipMemcpyHtoDAsync, "hipMemcpyHtoDAsync");
  library.find(hipMemcpyDtoHAsync, "hipMemcpyDtoHAsync");
  library.find(hipMemsetD8Async, "hipMemsetD8Async");
  library.find(hipStreamCreateWithFlags, "hipStreamCreateWithFlags");
  library.find(hipStreamDestroy, "hipStreamDestroy");
  library.find(hipStreamSynchronize, "hipStreamSynchronize");
  library.find(hipStreamBeginCapture, "hipStreamBeginCapture");
  library.find(hipStreamEndCapture, "hipStreamEndCapture");
  library.find(hipGraphInstantiate, "hipGraphInstantiate");
  library.find(hipGraphExecDestroy, "hipGraphExecDestroy");
  library.find(hipGraphDestroy, "hipGraphDestroy");
  library.find(hipGraphLaunch, "hipGraphLaunch");
  library.find(hipEventCreateWithFlags, "hipEventCreateWithFlags");
  library.find(hipEventRecord, "hipEventRecord");
  library.find(hipEventSynchronize, "hipEventSynchronize");
  library.find(hipEventElapsedTime, "hipEventElapsedTime");
  library.find(hipEventDestroy, "hipEventDestroy");
  library.find(hipModuleLoadData, "hipModuleLoadData");
  library.find(hipModuleUnload, "hipModuleUnload");
  library.find(hipModuleGetFunction, "hipModuleGetFunction");
  library.find(hipModuleLaunchKernel, "hipModuleLaunchKernel");
  library.find_if_there(isotopeSimulatedTraffic, "isotopeSimulatedTraffic");
  library.find_if_there(isotopeSimulatedInstructions, "isotopeSimulatedInstructions");
}

class HipDriver final : public GpuDriver {
 public:
  HipDriver() : library_(kSought), f_(library_) {
    const DriverStatus status{f_.hipInit(0), "hipInit"};
    int version = 0;
    f_.hipRuntimeGetVersion(&version);
    identity_ = fmt::format("HIP runtime {}.{} ({})", version / 10'000'000, version / 100'000 % 100,
                            library_.file());
    if (!status.ok() && !status.no_device())
      fail(ErrorCode::unsupported,
           "{} does not start: {} ({}); see what rocminfo says and whether this user may open "
           "/dev/kfd "
           "(group render), or use --device cpu",
           identity_, error_name(status.code), error_text(status.code));
    no_device_ = status.no_device();
  }

  Kind kind() const override { return Kind::hip; }
  const std::string& identity() const override { return identity_; }
  std::string error_name(int code) const override {
    const char* name = f_.hipGetErrorName(code);
    return name ? name : fmt::format("error {}", code);
  }
  std::string error_text(int code) const override {
    const char* text = f_.hipGetErrorString(code);
    return text ? text : "unknown error";
  }

  DriverStatus device_count(int* count) const override {
    *count = 0;
    if (no_device_) return {};
    const DriverStatus status{f_.hipGetDeviceCount(count), "hipGetDeviceCount"};
    return status.no_device() ? DriverStatus{} : status;
  }
  DriverStatus facts(int ordinal, GpuFacts* facts) const override;

  // HIP has a context a device and process, made by the first use.
  DriverStatus attach(int ordinal, void** context) const override {
    *context = nullptr;
    return make_current(ordinal, nullptr);
  }
  DriverStatus detach(int) const override { return {}; }
  DriverStatus make_current(int ordinal, void*) const override {
    return {f_.hipSetDevice(ordinal), "hipSetDevice"};
  }

  DriverStatus memory_info(std::size_t* available, std::size_t* total) const override {
    return {f_.hipMemGetInfo(available, total), "hipMemGetInfo"};
  }
  DriverStatus allocate(void** data, std::size_t bytes) const override {
    return {f_.hipMalloc(data, bytes), "hipMalloc"};
  }
  DriverStatus free(void* data) const override { return {f_.hipFree(data), "hipFree"}; }
  DriverStatus allocate_pinned(void** data, std::size_t bytes) const override {
    return {f_.hipHostMalloc(data, bytes, kHostMallocPortable | kHostMallocMapped),
            "hipHostMalloc"};
  }
  DriverStatus free_pinned(void* data) const override {
    return {f_.hipHostFree(data), "hipHostFree"};
  }

  DriverStatus create_stream(void** stream) const override {
    return {f_.hipStreamCreateWithFlags(stream, kStreamNonBlocking), "hipStreamCreateWithFlags"};
  }
  DriverStatus destroy_stream(void* stream) const override {
    return {f_.hipStreamDestroy(stream), "hipStreamDestroy"};
  }
  DriverStatus synchronize(void* stream) const override {
    return {f_.hipStreamSynchronize(stream), "hipStreamSynchronize"};
  }
  DriverStatus copy_to_device(void* target, const void* source, std::size_t bytes,
                              void* stream) const override {
    return {f_.hipMemcpyHtoDAsync(target, source, bytes, stream), "hipMemcpyHtoDAsync"};
  }
  DriverStatus copy_to_host(void* target, const void* source, std::size_t bytes,
                            void* stream) const override {
    return {f_.hipMemcpyDtoHAsync(target, const_cast<void*>(source), bytes, stream),
            "hipMemcpyDtoHAsync"};
  }
  DriverStatus fill(void* target, std::uint8_t value, std::size_t bytes,
                    void* stream) const override {
    return {f_.hipMemsetD8Async(target, value, bytes, stream), "hipMemsetD8Async"};
  }

  DriverStatus begin_capture(void* stream) const override {
    return {f_.hipStreamBeginCapture(stream, kCaptureThreadLocal), "hipStreamBeginCapture"};
  }
  DriverStatus end_capture(void* stream, void** graph) const override {
    return {f_.hipStreamEndCapture(stream, graph), "hipStreamEndCapture"};
  }
  DriverStatus instantiate(void* graph, void** executable) const override {
    return {f_.hipGraphInstantiate(executable, graph, nullptr, nullptr, 0), "hipGraphInstantiate"};
  }
  DriverStatus launch_graph(void* executable, void* stream) const override {
    return {f_.hipGraphLaunch(executable, stream), "hipGraphLaunch"};
  }
  DriverStatus destroy_graph(void* graph) const override {
    return {f_.hipGraphDestroy(graph), "hipGraphDestroy"};
  }
  DriverStatus destroy_executable(void* executable) const override {
    return {f_.hipGraphExecDestroy(executable), "hipGraphExecDestroy"};
  }

  DriverStatus create_event(void** event) const override {
    return {f_.hipEventCreateWithFlags(event, 0), "hipEventCreateWithFlags"};
  }
  DriverStatus destroy_event(void* event) const override {
    return {f_.hipEventDestroy(event), "hipEventDestroy"};
  }
  DriverStatus record(void* event, void* stream) const override {
    return {f_.hipEventRecord(event, stream), "hipEventRecord"};
  }
  DriverStatus wait(void* event) const override {
    return {f_.hipEventSynchronize(event), "hipEventSynchronize"};
  }
  DriverStatus elapsed_ms(void* begin, void* end, float* ms) const override {
    return {f_.hipEventElapsedTime(ms, begin, end), "hipEventElapsedTime"};
  }

  DriverStatus load_module(const void* code, void** module) const override {
    return {f_.hipModuleLoadData(module, code), "hipModuleLoadData"};
  }
  DriverStatus unload_module(void* module) const override {
    return {f_.hipModuleUnload(module), "hipModuleUnload"};
  }
  DriverStatus find_function(void* module, const char* name, void** function) const override {
    return {f_.hipModuleGetFunction(function, module, name), "hipModuleGetFunction"};
  }
  /// LDS up to the limit of a work-group needs no permission.
  DriverStatus allow_shared(void*, std::uint32_t) const override { return {}; }
  std::optional<CountedWork> counted_work() const override {
    if (!f_.isotopeSimulatedTraffic || !f_.isotopeSimulatedInstructions) return std::nullopt;
    return CountedWork{f_.isotopeSimulatedTraffic(), f_.isotopeSimulatedInstructions()};
  }
  DriverStatus launch(void* function, const Launch& launch, const void* params, bool,
                      void* stream) const override {
    // Sizes of parameters come from the code object's metadata; the runtime copies them, for a
    // graph too.
    void* parameters[] = {const_cast<void*>(params)};
    return {f_.hipModuleLaunchKernel(function, launch.grid[0], launch.grid[1], launch.grid[2],
                                     launch.threads, 1, 1, launch.shared_bytes, stream, parameters,
                                     nullptr),
            "hipModuleLaunchKernel"};
  }

 private:
  DriverLibrary library_;
  Functions f_;
  std::string identity_;
  bool no_device_ = false;
};

/// The runtime counts work-group processors as multiprocessors unless it is told to run without
/// them.
bool counts_compute_units() {
  const char* mode = std::getenv("GPU_ENABLE_WGP_MODE");
  return mode && (std::string_view(mode) == "0" || std::string_view(mode) == "false");
}

DriverStatus HipDriver::facts(int ordinal, GpuFacts* facts) const {
  DeviceProperties reported{};
  if (const int code = f_.hipGetDeviceProperties(&reported, ordinal))
    return {code, "hipGetDeviceProperties"};
  reported.name[sizeof(reported.name) - 1] = 0;
  reported.gcn_arch_name[sizeof(reported.gcn_arch_name) - 1] = 0;
  GpuProperties& properties = facts->properties;
  properties.name = reported.name;
  const std::string_view arch = reported.gcn_arch_name;  // "gfx1201:sramecc-:xnack-"
  properties.arch = arch.substr(0, arch.find(':'));
  properties.multiprocessors = reported.multiprocessors / (counts_compute_units() ? 2 : 1);
  properties.shared_per_block = reported.shared_per_block;
  // A work-group processor joins the LDS of its two compute units; a work-group gets half of it at
  // most.
  properties.shared_per_multiprocessor = 2 * reported.shared_per_block;
  properties.l2_bytes = std::size_t(std::max(0, reported.l2_bytes));
  properties.memory_bytes = reported.total_memory;
  properties.integrated = reported.integrated != 0;
  facts->limits.threads = unsigned(reported.max_threads_per_block);
  for (std::size_t i = 0; i < 3; ++i) facts->limits.grid[i] = unsigned(reported.max_grid_size[i]);
  // A dispatch counts work-items, not blocks, in 32 bits.
  facts->limits.grid_threads = 0xffffffffu;
  if (!properties.arch.starts_with("gfx120"))
    facts->unusable = fmt::format(
        "its architecture {} is none that the kernels are written for (gfx1200, gfx1201: RDNA4)",
        properties.arch);
  return {};
}

}  // namespace

std::shared_ptr<const GpuDriver> open_hip_driver() { return std::make_shared<HipDriver>(); }

}  // namespace isotope::device
