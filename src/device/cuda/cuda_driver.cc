// NVIDIA's driver library through our own declarations of the functions, types and constants used.
// Names and values are those of the CUDA driver API, version 12.0 and later.
#include <cstring>

#include "base/error.h"
#include "device/gpu_driver.h"

namespace isotope::device {
namespace {

using Address = unsigned long long;  // CUdeviceptr

// CUdevice_attribute
constexpr int kMaxThreadsPerBlock = 1;
constexpr int kMaxGridDimX = 5, kMaxGridDimY = 6, kMaxGridDimZ = 7;
constexpr int kMultiprocessorCount = 16;
constexpr int kIntegrated = 18;
constexpr int kL2CacheSize = 38;
constexpr int kComputeCapabilityMajor = 75, kComputeCapabilityMinor = 76;
constexpr int kMaxSharedMemoryPerMultiprocessor = 81;
constexpr int kMaxSharedMemoryPerBlockOptin = 97;

constexpr int kStubLibrary = 34;  // CUresult
constexpr unsigned kHostAllocPortable = 1, kHostAllocDeviceMap = 2;
constexpr unsigned kStreamNonBlocking = 1;
/// Calls of this thread that could not be captured are errors; other threads go on as they like.
constexpr int kCaptureThreadLocal = 1;
constexpr int kMaxDynamicSharedSize = 8;                  // CUfunction_attribute
constexpr unsigned kProgrammaticStreamSerialization = 6;  // CUlaunchAttributeID

struct LaunchAttribute {  // CUlaunchAttribute
  unsigned id;
  unsigned padding;
  union {
    alignas(8) char bytes[64];
    int allowed;
  } value;
};
static_assert(sizeof(LaunchAttribute) == 72);

struct LaunchConfig {  // CUlaunchConfig
  unsigned grid[3];
  unsigned block[3];
  unsigned shared_bytes;
  void* stream;
  LaunchAttribute* attributes;
  unsigned attribute_count;
};
static_assert(sizeof(LaunchConfig) == 56);

constexpr const char* kFiles[] = {"libcuda.so.1"};
constexpr DriverLibrary::Sought kSought = {"CUDA", "ISOTOPE_CUDA_LIBRARY", kFiles,
                                           "install NVIDIA's driver, or use --device cpu",
                                           "update NVIDIA's driver to one for CUDA 12.0 or later"};

Address address(const void* pointer) { return reinterpret_cast<Address>(pointer); }

/// The functions of the library, under the names of its documentation.
struct Functions {
  explicit Functions(const DriverLibrary& library);

  int (*cuInit)(unsigned);
  int (*cuDriverGetVersion)(int*);
  int (*cuGetErrorName)(int, const char**);
  int (*cuGetErrorString)(int, const char**);
  int (*cuDeviceGetCount)(int*);
  int (*cuDeviceGet)(int*, int);
  int (*cuDeviceGetName)(char*, int, int);
  int (*cuDeviceGetAttribute)(int*, int, int);
  int (*cuDeviceTotalMem)(std::size_t*, int);
  int (*cuDevicePrimaryCtxRetain)(void**, int);
  int (*cuDevicePrimaryCtxRelease)(int);
  int (*cuCtxSetCurrent)(void*);
  int (*cuMemGetInfo)(std::size_t*, std::size_t*);
  int (*cuMemAlloc)(Address*, std::size_t);
  int (*cuMemFree)(Address);
  int (*cuMemHostAlloc)(void**, std::size_t, unsigned);
  int (*cuMemFreeHost)(void*);
  int (*cuMemcpyHtoDAsync)(Address, const void*, std::size_t, void*);
  int (*cuMemcpyDtoHAsync)(void*, Address, std::size_t, void*);
  int (*cuMemsetD8Async)(Address, unsigned char, std::size_t, void*);
  int (*cuStreamCreate)(void**, unsigned);
  int (*cuStreamDestroy)(void*);
  int (*cuStreamSynchronize)(void*);
  int (*cuStreamBeginCapture)(void*, int);
  int (*cuStreamEndCapture)(void*, void**);
  int (*cuGraphInstantiateWithFlags)(void**, void*, unsigned long long);
  int (*cuGraphExecDestroy)(void*);
  int (*cuGraphDestroy)(void*);
  int (*cuGraphLaunch)(void*, void*);
  int (*cuEventCreate)(void**, unsigned);
  int (*cuEventRecord)(void*, void*);
  int (*cuEventSynchronize)(void*);
  int (*cuEventElapsedTime)(float*, void*, void*);
  int (*cuEventDestroy)(void*);
  int (*cuModuleLoadData)(void**, const void*);
  int (*cuModuleUnload)(void*);
  int (*cuModuleGetFunction)(void**, void*, const char*);
  int (*cuFuncSetAttribute)(void*, int, int);
  int (*cuLaunchKernelEx)(const LaunchConfig*, void*, void**, void**);
};

// The suffix is the version of the binary interface: each is the current one of a 64-bit program.
Functions::Functions(const DriverLibrary& library) {
  library.find(cuInit, "cuInit");
  library.find(cuDriverGetVersion, "cuDriverGetVersion");
  library.find(cuGetErrorName, "cuGetErrorName");
  library.find(cuGetErrorString, "cuGetErrorString");
  library.find(cuDeviceGetCount, "cuDeviceGetCount");
  library.find(cuDeviceGet, "cuDeviceGet");
  library.find(cuDeviceGetName, "cuDeviceGetName");
  library.find(cuDeviceGetAttribute, "cuDeviceGetAttribute");
  library.find(cuDeviceTotalMem, "cuDeviceTotalMem_v2");
  library.find(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain");
  library.find(cuDevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2");
  library.find(cuCtxSetCurrent, "cuCtxSetCurrent");
  library.find(cuMemGetInfo, "cuMemGetInfo_v2");
  library.find(cuMemAlloc, "cuMemAlloc_v2");
  library.find(cuMemFree, "cuMemFree_v2");
  library.find(cuMemHostAlloc, "cuMemHostAlloc");
  library.find(cuMemFreeHost, "cuMemFreeHost");
  library.find(cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2");
  library.find(cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2");
  library.find(cuMemsetD8Async, "cuMemsetD8Async");
  library.find(cuStreamCreate, "cuStreamCreate");
  library.find(cuStreamDestroy, "cuStreamDestroy_v2");
  library.find(cuStreamSynchronize, "cuStreamSynchronize");
  library.find(cuStreamBeginCapture, "cuStreamBeginCapture_v2");
  library.find(cuStreamEndCapture, "cuStreamEndCapture");
  library.find(cuGraphInstantiateWithFlags, "cuGraphInstantiateWithFlags");
  library.find(cuGraphExecDestroy, "cuGraphExecDestroy");
  library.find(cuGraphDestroy, "cuGraphDestroy");
  library.find(cuGraphLaunch, "cuGraphLaunch");
  library.find(cuEventCreate, "cuEventCreate");
  library.find(cuEventRecord, "cuEventRecord");
  library.find(cuEventSynchronize, "cuEventSynchronize");
  library.find(cuEventElapsedTime, "cuEventElapsedTime");
  library.find(cuEventDestroy, "cuEventDestroy_v2");
  library.find(cuModuleLoadData, "cuModuleLoadData");
  library.find(cuModuleUnload, "cuModuleUnload");
  library.find(cuModuleGetFunction, "cuModuleGetFunction");
  library.find(cuFuncSetAttribute, "cuFuncSetAttribute");
  library.find(cuLaunchKernelEx, "cuLaunchKernelEx");
}

class CudaDriver final : public GpuDriver {
 public:
  CudaDriver() : library_(kSought), f_(library_) {
    const DriverStatus status{f_.cuInit(0), "cuInit"};
    int version = 0;
    f_.cuDriverGetVersion(&version);
    identity_ = version == 0 ? fmt::format("CUDA driver ({})", library_.file())
                             : fmt::format("CUDA driver {}.{} ({})", version / 1000,
                                           version % 1000 / 10, library_.file());
    if (status.code == kStubLibrary)
      fail(ErrorCode::unsupported,
           "{} is the stub that programs are linked with; name NVIDIA's own libcuda.so.1, or use "
           "--device cpu",
           library_.file());
    if (!status.ok() && !status.no_device())
      fail(ErrorCode::unsupported,
           "{} does not start: {} ({}); see what nvidia-smi says, or use --device cpu", identity_,
           error_name(status.code), error_text(status.code));
    no_device_ = status.no_device();
  }

  Kind kind() const override { return Kind::cuda; }
  const std::string& identity() const override { return identity_; }
  std::string error_name(int code) const override {
    const char* name = nullptr;
    return f_.cuGetErrorName(code, &name) == 0 && name ? name : fmt::format("error {}", code);
  }
  std::string error_text(int code) const override {
    const char* text = nullptr;
    return f_.cuGetErrorString(code, &text) == 0 && text ? text : "unknown error";
  }

  DriverStatus device_count(int* count) const override {
    *count = 0;
    if (no_device_) return {};
    const DriverStatus status{f_.cuDeviceGetCount(count), "cuDeviceGetCount"};
    return status.no_device() ? DriverStatus{} : status;
  }
  DriverStatus facts(int ordinal, GpuFacts* facts) const override;

  DriverStatus attach(int ordinal, void** context) const override {
    int device = 0;
    if (const int code = f_.cuDeviceGet(&device, ordinal)) return {code, "cuDeviceGet"};
    return {f_.cuDevicePrimaryCtxRetain(context, device), "cuDevicePrimaryCtxRetain"};
  }
  DriverStatus detach(int ordinal) const override {
    int device = 0;
    if (const int code = f_.cuDeviceGet(&device, ordinal)) return {code, "cuDeviceGet"};
    return {f_.cuDevicePrimaryCtxRelease(device), "cuDevicePrimaryCtxRelease"};
  }
  DriverStatus make_current(int, void* context) const override {
    return {f_.cuCtxSetCurrent(context), "cuCtxSetCurrent"};
  }

  DriverStatus memory_info(std::size_t* available, std::size_t* total) const override {
    return {f_.cuMemGetInfo(available, total), "cuMemGetInfo"};
  }
  DriverStatus allocate(void** data, std::size_t bytes) const override {
    Address found = 0;
    const int code = f_.cuMemAlloc(&found, bytes);
    *data = reinterpret_cast<void*>(found);
    return {code, "cuMemAlloc"};
  }
  DriverStatus free(void* data) const override {
    return {f_.cuMemFree(address(data)), "cuMemFree"};
  }
  DriverStatus allocate_pinned(void** data, std::size_t bytes) const override {
    // Under unified addressing, which every 64-bit Linux has, kernels use the same address.
    return {f_.cuMemHostAlloc(data, bytes, kHostAllocPortable | kHostAllocDeviceMap),
            "cuMemHostAlloc"};
  }
  DriverStatus free_pinned(void* data) const override {
    return {f_.cuMemFreeHost(data), "cuMemFreeHost"};
  }

  DriverStatus create_stream(void** stream) const override {
    return {f_.cuStreamCreate(stream, kStreamNonBlocking), "cuStreamCreate"};
  }
  DriverStatus destroy_stream(void* stream) const override {
    return {f_.cuStreamDestroy(stream), "cuStreamDestroy"};
  }
  DriverStatus synchronize(void* stream) const override {
    return {f_.cuStreamSynchronize(stream), "cuStreamSynchronize"};
  }
  DriverStatus copy_to_device(void* target, const void* source, std::size_t bytes,
                              void* stream) const override {
    return {f_.cuMemcpyHtoDAsync(address(target), source, bytes, stream), "cuMemcpyHtoDAsync"};
  }
  DriverStatus copy_to_host(void* target, const void* source, std::size_t bytes,
                            void* stream) const override {
    return {f_.cuMemcpyDtoHAsync(target, address(source), bytes, stream), "cuMemcpyDtoHAsync"};
  }
  DriverStatus fill(void* target, std::uint8_t value, std::size_t bytes,
                    void* stream) const override {
    return {f_.cuMemsetD8Async(address(target), value, bytes, stream), "cuMemsetD8Async"};
  }

  DriverStatus begin_capture(void* stream) const override {
    return {f_.cuStreamBeginCapture(stream, kCaptureThreadLocal), "cuStreamBeginCapture"};
  }
  DriverStatus end_capture(void* stream, void** graph) const override {
    return {f_.cuStreamEndCapture(stream, graph), "cuStreamEndCapture"};
  }
  DriverStatus instantiate(void* graph, void** executable) const override {
    return {f_.cuGraphInstantiateWithFlags(executable, graph, 0), "cuGraphInstantiateWithFlags"};
  }
  DriverStatus launch_graph(void* executable, void* stream) const override {
    return {f_.cuGraphLaunch(executable, stream), "cuGraphLaunch"};
  }
  DriverStatus destroy_graph(void* graph) const override {
    return {f_.cuGraphDestroy(graph), "cuGraphDestroy"};
  }
  DriverStatus destroy_executable(void* executable) const override {
    return {f_.cuGraphExecDestroy(executable), "cuGraphExecDestroy"};
  }

  DriverStatus create_event(void** event) const override {
    return {f_.cuEventCreate(event, 0), "cuEventCreate"};
  }
  DriverStatus destroy_event(void* event) const override {
    return {f_.cuEventDestroy(event), "cuEventDestroy"};
  }
  DriverStatus record(void* event, void* stream) const override {
    return {f_.cuEventRecord(event, stream), "cuEventRecord"};
  }
  DriverStatus wait(void* event) const override {
    return {f_.cuEventSynchronize(event), "cuEventSynchronize"};
  }
  DriverStatus elapsed_ms(void* begin, void* end, float* ms) const override {
    return {f_.cuEventElapsedTime(ms, begin, end), "cuEventElapsedTime"};
  }

  DriverStatus load_module(const void* code, void** module) const override {
    return {f_.cuModuleLoadData(module, code), "cuModuleLoadData"};
  }
  DriverStatus unload_module(void* module) const override {
    return {f_.cuModuleUnload(module), "cuModuleUnload"};
  }
  DriverStatus find_function(void* module, const char* name, void** function) const override {
    return {f_.cuModuleGetFunction(function, module, name), "cuModuleGetFunction"};
  }
  DriverStatus allow_shared(void* function, std::uint32_t bytes) const override {
    return {f_.cuFuncSetAttribute(function, kMaxDynamicSharedSize, int(bytes)),
            "cuFuncSetAttribute"};
  }
  DriverStatus launch(void* function, const Launch& launch, const void* params, bool overlap,
                      void* stream) const override {
    LaunchAttribute attribute{};
    attribute.id = kProgrammaticStreamSerialization;
    attribute.value.allowed = 1;
    const LaunchConfig config = {{launch.grid[0], launch.grid[1], launch.grid[2]},
                                 {launch.threads, 1, 1},
                                 launch.shared_bytes,
                                 stream,
                                 overlap ? &attribute : nullptr,
                                 overlap ? 1u : 0u};
    void* parameters[] = {const_cast<void*>(params)};
    return {f_.cuLaunchKernelEx(&config, function, parameters, nullptr), "cuLaunchKernelEx"};
  }

 private:
  DriverLibrary library_;
  Functions f_;
  std::string identity_;
  bool no_device_ = false;
};

DriverStatus CudaDriver::facts(int ordinal, GpuFacts* facts) const {
  int device = 0;
  if (const int code = f_.cuDeviceGet(&device, ordinal)) return {code, "cuDeviceGet"};
  char name[256] = {};
  if (const int code = f_.cuDeviceGetName(name, sizeof(name), device))
    return {code, "cuDeviceGetName"};
  GpuProperties& properties = facts->properties;
  properties.name = name;
  if (const int code = f_.cuDeviceTotalMem(&properties.memory_bytes, device))
    return {code, "cuDeviceTotalMem"};

  DriverStatus status;
  const auto attribute = [&](int which) {
    int value = 0;
    const int code = f_.cuDeviceGetAttribute(&value, which, device);
    if (code && status.ok()) status = {code, "cuDeviceGetAttribute"};
    return value;
  };
  const int major = attribute(kComputeCapabilityMajor), minor = attribute(kComputeCapabilityMinor);
  // The suffix "a" gives access to the instructions that only this generation has (wgmma, bulk
  // copies).
  properties.arch = fmt::format("sm_{}{}{}", major, minor, major == 9 && minor == 0 ? "a" : "");
  properties.multiprocessors = attribute(kMultiprocessorCount);
  properties.shared_per_block = std::size_t(attribute(kMaxSharedMemoryPerBlockOptin));
  properties.shared_per_multiprocessor = std::size_t(attribute(kMaxSharedMemoryPerMultiprocessor));
  properties.l2_bytes = std::size_t(attribute(kL2CacheSize));
  properties.integrated = attribute(kIntegrated) != 0;
  properties.overlapped_launch = major >= 9;
  facts->limits.threads = unsigned(attribute(kMaxThreadsPerBlock));
  facts->limits.grid = {unsigned(attribute(kMaxGridDimX)), unsigned(attribute(kMaxGridDimY)),
                        unsigned(attribute(kMaxGridDimZ))};
  facts->limits.grid_threads = std::uint64_t(facts->limits.grid[0]) * facts->limits.threads;
  if (major < 8)
    facts->unusable = fmt::format(
        "its architecture {} is older than sm_80 (Ampere), the oldest that the "
        "kernels are written for",
        properties.arch);
  return status;
}

}  // namespace

std::shared_ptr<const GpuDriver> open_cuda_driver() { return std::make_shared<CudaDriver>(); }

}  // namespace isotope::device
