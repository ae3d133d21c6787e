// The functions of libcuda that the program uses, for one emulated GPU of compute capability 8.0.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/gpu/emulated_device.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace emulated = isotope::emulated;
using Address = unsigned long long;

namespace {

constexpr char kName[] = "Emulated GPU (sm_80)";
constexpr std::size_t kSharedWithoutAsking = 48 * 1024, kSharedLimit = 163 * 1024;
constexpr int kMaxDynamicSharedSize = 8;  // CUfunction_attribute
constexpr unsigned kProgrammaticStreamSerialization = 6;

bool initialized = false;
int retained = 0;
char context_of_device;
/// Each thread must choose its context.
thread_local void* current = nullptr;

void* pointer(Address address) { return reinterpret_cast<void*>(address); }

}  // namespace

#define NEEDS_INIT() \
  if (!initialized) return emulated::kNotInitialized
#define NEEDS_CONTEXT()              \
  NEEDS_INIT();                      \
  if (current != &context_of_device) \
  return emulated::report(emulated::kInvalidContext, "this thread has no current context")

EXPORTED int cuInit(unsigned flags) {
  if (flags != 0) return emulated::kInvalidValue;
  initialized = true;
  return emulated::kOk;
}
EXPORTED int cuDriverGetVersion(int* version) {
  *version = 12080;
  return emulated::kOk;
}
EXPORTED int cuGetErrorName(int code, const char** name) {
  *name = emulated::code_name(code, false);
  return *name ? emulated::kOk : emulated::kInvalidValue;
}
EXPORTED int cuGetErrorString(int code, const char** text) {
  *text = emulated::code_text(code);
  return *text ? emulated::kOk : emulated::kInvalidValue;
}

EXPORTED int cuDeviceGetCount(int* count) {
  NEEDS_INIT();
  *count = 1;
  return emulated::kOk;
}
EXPORTED int cuDeviceGet(int* device, int ordinal) {
  NEEDS_INIT();
  if (ordinal != 0) return emulated::kInvalidDevice;
  *device = 0;
  return emulated::kOk;
}
EXPORTED int cuDeviceGetName(char* name, int length, int device) {
  if (device != 0) return emulated::kInvalidDevice;
  if (length < 1) return emulated::kInvalidValue;
  std::strncpy(name, kName, std::size_t(length));
  name[length - 1] = 0;
  return emulated::kOk;
}
EXPORTED int cuDeviceGetAttribute(int* value, int attribute, int device) {
  if (device != 0) return emulated::kInvalidDevice;
  switch (attribute) {
    case 1:  // MAX_THREADS_PER_BLOCK
    case 2:  // MAX_BLOCK_DIM_X
      return *value = 1024, emulated::kOk;
    case 5:  // MAX_GRID_DIM_X
      return *value = 0x7fffffff, emulated::kOk;
    case 6:  // MAX_GRID_DIM_Y
    case 7:  // MAX_GRID_DIM_Z
      return *value = 65535, emulated::kOk;
    case 8:  // MAX_SHARED_MEMORY_PER_BLOCK
      return *value = int(kSharedWithoutAsking), emulated::kOk;
    case 10:  // WARP_SIZE
      return *value = 32, emulated::kOk;
    case 16:  // MULTIPROCESSOR_COUNT
      return *value = 4, emulated::kOk;
    case 18:  // INTEGRATED
      return *value = 0, emulated::kOk;
    case 38:  // L2_CACHE_SIZE
      return *value = 4 << 20, emulated::kOk;
    case 75:  // COMPUTE_CAPABILITY_MAJOR
      return *value = 8, emulated::kOk;
    case 76:  // COMPUTE_CAPABILITY_MINOR
      return *value = 0, emulated::kOk;
    case 81:  // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
      return *value = 164 * 1024, emulated::kOk;
    case 97:  // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
      return *value = int(kSharedLimit), emulated::kOk;
  }
  return emulated::report(emulated::kInvalidValue,
                          "unknown attribute " + std::to_string(attribute) + " of a device");
}
EXPORTED int cuDeviceTotalMem_v2(std::size_t* bytes, int device) {
  if (device != 0) return emulated::kInvalidDevice;
  *bytes = emulated::memory_total();
  return emulated::kOk;
}

EXPORTED int cuDevicePrimaryCtxRetain(void** context, int device) {
  NEEDS_INIT();
  if (device != 0) return emulated::kInvalidDevice;
  ++retained;
  *context = &context_of_device;
  return emulated::kOk;
}
EXPORTED int cuDevicePrimaryCtxRelease_v2(int device) {
  if (device != 0) return emulated::kInvalidDevice;
  if (retained == 0) return emulated::kInvalidContext;
  --retained;
  return emulated::kOk;
}
EXPORTED int cuCtxSetCurrent(void* context) {
  NEEDS_INIT();
  if (context && (context != &context_of_device || retained == 0)) return emulated::kInvalidContext;
  current = context;
  return emulated::kOk;
}

EXPORTED int cuMemGetInfo_v2(std::size_t* available, std::size_t* total) {
  NEEDS_CONTEXT();
  *available = emulated::memory_free();
  *total = emulated::memory_total();
  return emulated::kOk;
}
EXPORTED int cuMemAlloc_v2(Address* address, std::size_t bytes) {
  NEEDS_CONTEXT();
  void* data = nullptr;
  const int code = emulated::allocate(&data, bytes, false);
  *address = reinterpret_cast<Address>(data);
  return code;
}
EXPORTED int cuMemFree_v2(Address address) {
  NEEDS_CONTEXT();
  return emulated::free_memory(pointer(address), false);
}
EXPORTED int cuMemHostAlloc(void** data, std::size_t bytes, unsigned) {
  NEEDS_CONTEXT();
  return emulated::allocate(data, bytes, true);
}
EXPORTED int cuMemFreeHost(void* data) {
  NEEDS_CONTEXT();
  return emulated::free_memory(data, true);
}
EXPORTED int cuMemcpyHtoDAsync_v2(Address target, const void* source, std::size_t bytes,
                                  void* stream) {
  NEEDS_CONTEXT();
  return emulated::copy_to_device(pointer(target), source, bytes, stream);
}
EXPORTED int cuMemcpyDtoHAsync_v2(void* target, Address source, std::size_t bytes, void* stream) {
  NEEDS_CONTEXT();
  return emulated::copy_to_host(target, pointer(source), bytes, stream);
}
EXPORTED int cuMemcpyDtoDAsync_v2(Address target, Address source, std::size_t bytes, void* stream) {
  NEEDS_CONTEXT();
  return emulated::copy_on_device(pointer(target), pointer(source), bytes, stream);
}
EXPORTED int cuMemsetD8Async(Address target, unsigned char value, std::size_t bytes, void* stream) {
  NEEDS_CONTEXT();
  return emulated::fill(pointer(target), value, bytes, stream);
}

EXPORTED int cuStreamCreate(void** stream, unsigned) {
  NEEDS_CONTEXT();
  return emulated::create_stream(stream);
}
EXPORTED int cuStreamDestroy_v2(void* stream) {
  NEEDS_CONTEXT();
  return emulated::destroy_stream(stream);
}
EXPORTED int cuStreamSynchronize(void* stream) {
  NEEDS_CONTEXT();
  return emulated::synchronize(stream);
}
EXPORTED int cuStreamBeginCapture_v2(void* stream, int mode) {
  NEEDS_CONTEXT();
  return emulated::begin_capture(stream, mode);
}
EXPORTED int cuStreamEndCapture(void* stream, void** graph) {
  NEEDS_CONTEXT();
  return emulated::end_capture(stream, graph);
}
EXPORTED int cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long) {
  NEEDS_CONTEXT();
  return emulated::instantiate(executable, graph);
}
EXPORTED int cuGraphExecDestroy(void* executable) {
  return emulated::destroy_executable(executable);
}
EXPORTED int cuGraphDestroy(void* graph) { return emulated::destroy_graph(graph); }
EXPORTED int cuGraphLaunch(void* executable, void* stream) {
  NEEDS_CONTEXT();
  return emulated::launch_graph(executable, stream);
}

EXPORTED int cuEventCreate(void** event, unsigned) {
  NEEDS_CONTEXT();
  return emulated::create_event(event);
}
EXPORTED int cuEventRecord(void* event, void* stream) {
  NEEDS_CONTEXT();
  return emulated::record_event(event, stream);
}
EXPORTED int cuEventSynchronize(void* event) {
  NEEDS_CONTEXT();
  return emulated::wait_event(event);
}
EXPORTED int cuEventElapsedTime(float* ms, void* begin, void* end) {
  NEEDS_CONTEXT();
  return emulated::elapsed_ms(ms, begin, end);
}
EXPORTED int cuEventDestroy_v2(void* event) {
  NEEDS_CONTEXT();
  return emulated::destroy_event(event);
}

EXPORTED int cuModuleLoadData(void** module, const void* code) {
  NEEDS_CONTEXT();
  return emulated::load_module(module, code);
}
EXPORTED int cuModuleUnload(void* module) {
  NEEDS_CONTEXT();
  return emulated::unload_module(module);
}
EXPORTED int cuModuleGetFunction(void** function, void* module, const char* name) {
  NEEDS_CONTEXT();
  return emulated::find_function(function, module, name);
}
EXPORTED int cuFuncSetAttribute(void* function, int attribute, int value) {
  NEEDS_CONTEXT();
  if (attribute != kMaxDynamicSharedSize || value < 0) return emulated::kInvalidValue;
  return emulated::allow_shared(function, std::size_t(value), kSharedLimit);
}

struct CudaLaunchAttribute {
  unsigned id;
  unsigned padding;
  unsigned long long value[8];
};
struct CudaLaunchConfig {
  unsigned grid[3];
  unsigned block[3];
  unsigned shared_bytes;
  void* stream;
  const CudaLaunchAttribute* attributes;
  unsigned attribute_count;
};
EXPORTED int cuLaunchKernelEx(const CudaLaunchConfig* config, void* function, void** params,
                              void** extra) {
  NEEDS_CONTEXT();
  if (!config || extra || !params || config->block[1] != 1 || config->block[2] != 1)
    return emulated::kInvalidValue;
  for (unsigned i = 0; i < config->attribute_count; ++i)
    if (config->attributes[i].id == kProgrammaticStreamSerialization)
      return emulated::report(emulated::kNotSupported,
                              "compute capability 8.0 cannot overlap launches");
  const emulated::LaunchShape shape = {
      {config->grid[0], config->grid[1], config->grid[2]}, config->block[0], config->shared_bytes};
  return emulated::launch(function, shape, params[0], kSharedWithoutAsking, config->stream);
}
