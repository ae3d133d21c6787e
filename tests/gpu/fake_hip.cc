// The functions of libamdhip64 that the program uses, for one GPU of architecture gfx1201 that is emulated
// or simulated.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/gpu/emulated_device.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace emulated = isotope::emulated;

namespace {

constexpr std::size_t kSharedLimit = 64 * 1024;
/// hipDeviceProp_tR0600 of ROCm 6 and 7: its size, and where in it the members lie that are filled
/// in.
constexpr std::size_t kPropertiesBytes = 1472;
enum Offset : std::size_t {
  kNameAt = 0,
  kTotalMemoryAt = 288,
  kSharedPerBlockAt = 296,
  kRegistersPerBlockAt = 304,
  kWarpSizeAt = 308,
  kMaxThreadsPerBlockAt = 320,
  kMaxThreadsDimAt = 324,
  kMaxGridSizeAt = 336,
  kMajorAt = 360,
  kMinorAt = 364,
  kMultiprocessorsAt = 388,
  kL2BytesAt = 616,
  kArchNameAt = 1160,
};

template <typename T>
void put(void* properties, Offset at, T value) {
  std::memcpy(static_cast<char*>(properties) + at, &value, sizeof(value));
}

}  // namespace

EXPORTED int hipInit(unsigned flags) { return flags ? emulated::kInvalidValue : emulated::kOk; }
EXPORTED int hipDriverGetVersion(int* version) {
  *version = 70000000;
  return emulated::kOk;
}
EXPORTED int hipRuntimeGetVersion(int* version) { return hipDriverGetVersion(version); }
EXPORTED const char* hipGetErrorName(int code) {
  const char* name = emulated::code_name(code, true);
  return name ? name : "hipErrorUnknown";
}
EXPORTED const char* hipGetErrorString(int code) {
  const char* text = emulated::code_text(code);
  return text ? text : "unknown error";
}
EXPORTED int hipGetDeviceCount(int* count) {
  *count = 1;
  return emulated::kOk;
}
EXPORTED int hipSetDevice(int device) { return device ? emulated::kInvalidDevice : emulated::kOk; }
EXPORTED int hipGetDevicePropertiesR0600(void* properties, int device) {
  if (device != 0) return emulated::kInvalidDevice;
  std::memset(properties, 0, kPropertiesBytes);
  std::strcpy(static_cast<char*>(properties) + kNameAt, emulated::executor().card());
  put(properties, kTotalMemoryAt, emulated::memory_total());
  put(properties, kSharedPerBlockAt, kSharedLimit);
  put(properties, kRegistersPerBlockAt, 65536);
  put(properties, kWarpSizeAt, 32);
  put(properties, kMaxThreadsPerBlockAt, 1024);
  for (int i = 0; i < 3; ++i) {
    put(properties, Offset(kMaxThreadsDimAt + i * sizeof(int)), 1024);
    put(properties, Offset(kMaxGridSizeAt + i * sizeof(int)), i == 0 ? 0x7fffffff : 65535);
  }
  put(properties, kMajorAt, 12);
  put(properties, kMinorAt, 0);
  put(properties, kMultiprocessorsAt, emulated::executor().multiprocessors());
  put(properties, kL2BytesAt, 8 << 20);
  std::strcpy(static_cast<char*>(properties) + kArchNameAt, "gfx1201");
  return emulated::kOk;
}

EXPORTED int hipMemGetInfo(std::size_t* available, std::size_t* total) {
  *available = emulated::memory_free();
  *total = emulated::memory_total();
  return emulated::kOk;
}
EXPORTED int hipMalloc(void** data, std::size_t bytes) {
  return emulated::allocate(data, bytes, false);
}
EXPORTED int hipFree(void* data) { return emulated::free_memory(data, false); }
EXPORTED int hipHostMalloc(void** data, std::size_t bytes, unsigned) {
  return emulated::allocate(data, bytes, true);
}
EXPORTED int hipHostFree(void* data) { return emulated::free_memory(data, true); }
EXPORTED int hipMemcpyHtoDAsync(void* target, const void* source, std::size_t bytes, void* stream) {
  return emulated::copy_to_device(target, source, bytes, stream);
}
EXPORTED int hipMemcpyDtoHAsync(void* target, void* source, std::size_t bytes, void* stream) {
  return emulated::copy_to_host(target, source, bytes, stream);
}
EXPORTED int hipMemcpyDtoDAsync(void* target, void* source, std::size_t bytes, void* stream) {
  return emulated::copy_on_device(target, source, bytes, stream);
}
EXPORTED int hipMemsetD8Async(void* target, unsigned char value, std::size_t bytes, void* stream) {
  return emulated::fill(target, value, bytes, stream);
}

EXPORTED int hipStreamCreateWithFlags(void** stream, unsigned) {
  return emulated::create_stream(stream);
}
EXPORTED int hipStreamDestroy(void* stream) { return emulated::destroy_stream(stream); }
EXPORTED int hipStreamSynchronize(void* stream) { return emulated::synchronize(stream); }
EXPORTED int hipStreamBeginCapture(void* stream, int mode) {
  return emulated::begin_capture(stream, mode);
}
EXPORTED int hipStreamEndCapture(void* stream, void** graph) {
  return emulated::end_capture(stream, graph);
}
EXPORTED int hipGraphInstantiate(void** executable, void* graph, void**, char*, std::size_t) {
  return emulated::instantiate(executable, graph);
}
EXPORTED int hipGraphExecDestroy(void* executable) {
  return emulated::destroy_executable(executable);
}
EXPORTED int hipGraphDestroy(void* graph) { return emulated::destroy_graph(graph); }
EXPORTED int hipGraphLaunch(void* executable, void* stream) {
  return emulated::launch_graph(executable, stream);
}

EXPORTED int hipEventCreateWithFlags(void** event, unsigned) {
  return emulated::create_event(event);
}
EXPORTED int hipEventCreate(void** event) { return emulated::create_event(event); }
EXPORTED int hipEventRecord(void* event, void* stream) {
  return emulated::record_event(event, stream);
}
EXPORTED int hipEventSynchronize(void* event) { return emulated::wait_event(event); }
EXPORTED int hipEventElapsedTime(float* ms, void* begin, void* end) {
  return emulated::elapsed_ms(ms, begin, end);
}
EXPORTED int hipEventDestroy(void* event) { return emulated::destroy_event(event); }

EXPORTED int hipModuleLoadData(void** module, const void* code) {
  return emulated::load_module(module, code);
}
EXPORTED int hipModuleUnload(void* module) { return emulated::unload_module(module); }
EXPORTED int hipModuleGetFunction(void** function, void* module, const char* name) {
  return emulated::find_function(function, module, name);
}
EXPORTED int hipModuleLaunchKernel(void* function, unsigned grid_x, unsigned grid_y,
                                   unsigned grid_z, unsigned threads, unsigned block_y,
                                   unsigned block_z, unsigned shared_bytes, void* stream,
                                   void** params, void** extra) {
  const void* first = params ? params[0] : nullptr;
  // The other way of passing parameters: {1, the bytes, 2, pointer to their number, 3}.
  if (!params && extra && extra[0] == reinterpret_cast<void*>(1)) first = extra[1];
  if (!first || block_y != 1 || block_z != 1) return emulated::kInvalidValue;
  return emulated::launch(function, {{grid_x, grid_y, grid_z}, threads, shared_bytes}, first,
                          kSharedLimit, stream);
}
