#include "tests/gpu/emulated_device.h"

#include <elf.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "tests/gpu/emulated_memory.h"
#include "tests/gpu/executor.h"

namespace isotope::emulated {
namespace {

using Work = std::function<int()>;
using WorkList = std::vector<Work>;

struct Stream {
  WorkList queued;
  bool capturing = false, invalid = false;
  int mode =
      0;  // of the capture: 0 any thread, 1 the capturing thread, 2 nobody is forbidden anything
  std::thread::id capturer;
  WorkList captured;
};
struct Graph {
  std::shared_ptr<WorkList> work;
};
struct Executable {
  std::shared_ptr<WorkList> work;
};
struct Times {
  bool done = false;
  std::chrono::steady_clock::time_point at;
};
struct Event {
  std::shared_ptr<Times> times;  // of the latest record
  Stream* stream = nullptr;
  bool captured = false;
};
struct LoadedFunction {
  const ExecutableKernel* kernel = nullptr;
  std::size_t shared_allowed = 0;
};
struct LoadedModule {
  std::unique_ptr<ExecutableCode> code;
  std::map<std::string, LoadedFunction> functions;
};

/// Objects that the program has handles of.
template <typename T>
class Handles {
 public:
  T* make() {
    T* object = new T();
    known_.insert(object);
    return object;
  }
  T* find(void* handle) const {
    return known_.count(static_cast<T*>(handle)) ? static_cast<T*>(handle) : nullptr;
  }
  bool destroy(void* handle) {
    T* object = find(handle);
    if (object) known_.erase(object);
    delete object;
    return object != nullptr;
  }
  const std::set<T*>& all() const { return known_; }

 private:
  std::set<T*> known_;
};

/// Everything below; one call at a time. Never destroyed: programs may call until their very end.
struct State {
  std::mutex mutex;
  Memory memory;
  Handles<Stream> streams;
  Handles<Graph> graphs;
  Handles<Executable> executables;
  Handles<Event> events;
  Handles<LoadedModule> modules;
};
State& state() {
  static State& made = *new State();
  return made;
}
using Lock = std::lock_guard<std::mutex>;

constexpr std::size_t kMostQueued = 1024;

/// Does what is queued; the first error stops the stream and is returned.
int drain(Stream& stream) {
  WorkList work;
  work.swap(stream.queued);
  for (const Work& item : work)
    if (const int code = item()) return code;
  return kOk;
}
int drain_all() {
  int first = kOk;
  for (Stream* stream : state().streams.all())
    if (const int code = drain(*stream); code && !first) first = code;
  return first;
}

/// Records work in a capture or queues it.
int enqueue(void* handle, Work work) {
  Stream* stream = state().streams.find(handle);
  if (!stream) return report(kInvalidHandle, "work on something that is no stream");
  if (stream->capturing) {
    if (stream->invalid) return kCaptureInvalidated;
    stream->captured.push_back(std::move(work));
    return kOk;
  }
  stream->queued.push_back(std::move(work));
  return stream->queued.size() < kMostQueued ? int(kOk) : drain(*stream);
}
bool capturing(void* handle) {
  const Stream* stream = state().streams.find(handle);
  return stream && stream->capturing;
}

/// Whether a capture forbids this thread what would synchronise or allocate; such a call ruins the
/// capture.
bool forbidden(const char* what) {
  bool found = false;
  for (Stream* stream : state().streams.all()) {
    if (!stream->capturing || stream->mode == 2) continue;
    if (stream->mode == 1 && stream->capturer != std::this_thread::get_id()) continue;
    stream->invalid = found = true;
  }
  if (found) report(kCaptureUnsupported, std::string(what) + " during a capture");
  return found;
}

std::string range_text(const void* data, std::size_t bytes) {
  char text[96];
  std::snprintf(text, sizeof(text), "%zu bytes at %p", bytes, data);
  return text + state().memory.describe(data);
}
int check_device_range(const char* what, const void* data, std::size_t bytes) {
  if (state().memory.inside(data, bytes, false) || state().memory.inside(data, bytes, true))
    return kOk;
  return report(kInvalidValue, std::string(what) + " of device memory: " + range_text(data, bytes) +
                                   " are not inside an allocation");
}
/// Ordinary memory may be anywhere; pinned memory has bounds.
int check_host_range(const char* what, const void* data, std::size_t bytes) {
  if (data &&
      (!state().memory.begins_inside(data, true) || state().memory.inside(data, bytes, true)))
    return kOk;
  return report(kInvalidValue, std::string(what) + ": " + range_text(data, bytes) +
                                   " leave their page-locked memory");
}

/// Bytes of a code object, which is given without its size: the section headers end an ELF file.
std::size_t code_size(const void* code) {
  Elf64_Ehdr header;
  std::memcpy(&header, code, SELFMAG);
  if (std::memcmp(&header, ELFMAG, SELFMAG) != 0) return 0;
  std::memcpy(&header, code, sizeof(header));
  return header.e_shoff + std::size_t(header.e_shnum) * header.e_shentsize;
}

LoadedFunction* find_loaded(void* handle) {
  for (LoadedModule* module : state().modules.all())
    for (auto& [name, function] : module->functions)
      if (&function == handle) return &function;
  return nullptr;
}

}  // namespace

std::size_t memory_total() { return state().memory.total(); }
std::size_t memory_free() {
  const Lock lock(state().mutex);
  return state().memory.total() - state().memory.used();
}
int allocate(void** data, std::size_t bytes, bool pinned) {
  const Lock lock(state().mutex);
  if (!data || bytes == 0) return kInvalidValue;
  if (forbidden("allocating memory")) return kCaptureUnsupported;
  *data = state().memory.allocate(bytes, pinned);
  if (!*data) return kOutOfMemory;
  executor().allocated(*data, bytes, pinned);
  return kOk;
}
int free_memory(void* data, bool pinned) {
  const Lock lock(state().mutex);
  if (!data) return kOk;
  if (forbidden("freeing memory")) return kCaptureUnsupported;
  const int code = drain_all();
  if (state().memory.inside(data, 0, pinned)) executor().freed(data);
  const std::string wrong = state().memory.free(data, pinned);
  if (!wrong.empty()) return report(kInvalidValue, wrong);
  return code;
}
std::string describe(const void* address) { return state().memory.describe(address); }

int create_stream(void** stream) {
  const Lock lock(state().mutex);
  if (!stream) return kInvalidValue;
  *stream = state().streams.make();
  return kOk;
}
int destroy_stream(void* handle) {
  const Lock lock(state().mutex);
  Stream* stream = state().streams.find(handle);
  if (!stream) return kInvalidHandle;
  const int code = drain(*stream);
  for (Event* event : state().events.all())
    if (event->stream == stream) event->stream = nullptr;
  state().streams.destroy(handle);
  return code;
}
int synchronize(void* handle) {
  const Lock lock(state().mutex);
  Stream* stream = state().streams.find(handle);
  if (!stream) return kInvalidHandle;
  if (stream->capturing) {
    stream->invalid = true;
    return report(kCaptureUnsupported, "waiting for a stream that is capturing");
  }
  return drain(*stream);
}

int copy_to_device(void* target, const void* source, std::size_t bytes, void* stream) {
  const Lock lock(state().mutex);
  if (bytes == 0) return kOk;
  if (const int code = check_device_range("copying to", target, bytes)) return code;
  if (const int code = check_host_range("copying from host memory", source, bytes)) return code;
  if (capturing(stream) || state().memory.begins_inside(source, true))
    return enqueue(stream, [=] {
      std::memcpy(target, source, bytes);
      executor().written(target, bytes);
      return int(kOk);
    });
  const auto* first = static_cast<const unsigned char*>(source);
  return enqueue(stream, [target, staged = std::vector<unsigned char>(first, first + bytes)] {
    std::memcpy(target, staged.data(), staged.size());
    executor().written(target, staged.size());
    return int(kOk);
  });
}
int copy_to_host(void* target, const void* source, std::size_t bytes, void* stream) {
  const Lock lock(state().mutex);
  if (bytes == 0) return kOk;
  if (const int code = check_device_range("copying from", source, bytes)) return code;
  if (const int code = check_host_range("copying to host memory", target, bytes)) return code;
  const int code = enqueue(stream, [=] {
    std::memcpy(target, source, bytes);
    return int(kOk);
  });
  if (code || capturing(stream) || state().memory.begins_inside(target, true)) return code;
  return drain(*state().streams.find(stream));
}
int copy_on_device(void* target, const void* source, std::size_t bytes, void* stream) {
  const Lock lock(state().mutex);
  if (bytes == 0) return kOk;
  if (const int code = check_device_range("copying to", target, bytes)) return code;
  if (const int code = check_device_range("copying from", source, bytes)) return code;
  return enqueue(stream, [=] {
    std::memmove(target, source, bytes);
    executor().copied(target, source, bytes);
    return int(kOk);
  });
}
int fill(void* target, std::uint8_t value, std::size_t bytes, void* stream) {
  const Lock lock(state().mutex);
  if (bytes == 0) return kOk;
  if (const int code = check_device_range("filling", target, bytes)) return code;
  return enqueue(stream, [=] {
    fill_bytes(target, value, bytes);
    executor().written(target, bytes);
    return int(kOk);
  });
}

int begin_capture(void* handle, int mode) {
  const Lock lock(state().mutex);
  Stream* stream = state().streams.find(handle);
  if (!stream) return kInvalidHandle;
  if (mode < 0 || mode > 2) return kInvalidValue;
  if (stream->capturing) return report(kIllegalState, "the stream is capturing already");
  stream->capturing = true;
  stream->invalid = false;
  stream->mode = mode;
  stream->capturer = std::this_thread::get_id();
  stream->captured.clear();
  return kOk;
}
int end_capture(void* handle, void** graph) {
  const Lock lock(state().mutex);
  Stream* stream = state().streams.find(handle);
  if (!stream) return kInvalidHandle;
  if (!stream->capturing) return report(kIllegalState, "the stream is not capturing");
  if (stream->mode != 2 && stream->capturer != std::this_thread::get_id())
    return kCaptureWrongThread;
  stream->capturing = false;
  WorkList work;
  work.swap(stream->captured);
  if (graph) *graph = nullptr;
  if (stream->invalid) return kCaptureInvalidated;
  if (!graph) return kInvalidValue;
  Graph* made = state().graphs.make();
  made->work = std::make_shared<WorkList>(std::move(work));
  *graph = made;
  return kOk;
}
int instantiate(void** executable, void* handle) {
  const Lock lock(state().mutex);
  const Graph* graph = state().graphs.find(handle);
  if (!graph || !executable) return kInvalidValue;
  Executable* made = state().executables.make();
  made->work = graph->work;
  *executable = made;
  return kOk;
}
int launch_graph(void* handle, void* stream) {
  const Lock lock(state().mutex);
  const Executable* executable = state().executables.find(handle);
  if (!executable) return kInvalidHandle;
  return enqueue(stream, [work = executable->work] {
    for (const Work& item : *work)
      if (const int code = item()) return code;
    return int(kOk);
  });
}
int destroy_graph(void* graph) {
  const Lock lock(state().mutex);
  return state().graphs.destroy(graph) ? kOk : kInvalidValue;
}
int destroy_executable(void* executable) {
  const Lock lock(state().mutex);
  return state().executables.destroy(executable) ? kOk : kInvalidValue;
}

int create_event(void** event) {
  const Lock lock(state().mutex);
  if (!event) return kInvalidValue;
  *event = state().events.make();
  return kOk;
}
int destroy_event(void* event) {
  const Lock lock(state().mutex);
  return state().events.destroy(event) ? kOk : kInvalidHandle;
}
int record_event(void* handle, void* stream) {
  const Lock lock(state().mutex);
  Event* event = state().events.find(handle);
  if (!event) return kInvalidHandle;
  event->captured = capturing(stream);
  if (event->captured) return kOk;
  event->times = std::make_shared<Times>();
  event->stream = state().streams.find(stream);
  return enqueue(stream, [times = event->times] {
    times->done = true;
    times->at = std::chrono::steady_clock::now();
    return int(kOk);
  });
}
int wait_event(void* handle) {
  const Lock lock(state().mutex);
  const Event* event = state().events.find(handle);
  if (!event) return kInvalidHandle;
  if (event->captured) return kCapturedEvent;
  return event->stream && !event->times->done ? drain(*event->stream) : int(kOk);
}
int elapsed_ms(float* ms, void* begin_handle, void* end_handle) {
  const Lock lock(state().mutex);
  const Event *begin = state().events.find(begin_handle), *end = state().events.find(end_handle);
  if (!ms) return kInvalidValue;
  if (!begin || !end || !begin->times || !end->times || begin->captured || end->captured)
    return kInvalidHandle;
  if (!begin->times->done || !end->times->done) return kNotReady;
  *ms = std::chrono::duration<float, std::milli>(end->times->at - begin->times->at).count();
  return kOk;
}

int load_module(void** module, const void* code) {
  const Lock lock(state().mutex);
  if (!module || !code) return kInvalidValue;
  if (forbidden("loading a module")) return kCaptureUnsupported;
  try {
    auto loaded = executor().load(std::span(static_cast<const std::byte*>(code), code_size(code)));
    LoadedModule* made = state().modules.make();
    made->code = std::move(loaded);
    *module = made;
    return kOk;
  } catch (const std::exception& error) {
    return report(kInvalidImage, error.what());
  }
}
int unload_module(void* module) {
  const Lock lock(state().mutex);
  if (!state().modules.find(module)) return kInvalidHandle;
  const int code = drain_all();
  state().modules.destroy(module);
  return code;
}
int find_function(void** function, void* handle, const char* name) {
  const Lock lock(state().mutex);
  LoadedModule* module = state().modules.find(handle);
  if (!module) return kInvalidHandle;
  if (!function || !name) return kInvalidValue;
  const ExecutableKernel* found = module->code->find_or_null(name);
  if (!found) return kNotFound;
  LoadedFunction& loaded = module->functions[name];
  loaded.kernel = found;
  *function = &loaded;
  return kOk;
}
int allow_shared(void* handle, std::size_t bytes, std::size_t limit) {
  const Lock lock(state().mutex);
  LoadedFunction* loaded = find_loaded(handle);
  if (!loaded) return kInvalidHandle;
  if (bytes > limit)
    return report(kInvalidValue, "more dynamic shared memory than a block can have");
  loaded->shared_allowed = bytes;
  return kOk;
}
int launch(void* handle, const LaunchShape& shape, const void* params, std::size_t shared_limit,
           void* stream) {
  const Lock lock(state().mutex);
  const LoadedFunction* loaded = find_loaded(handle);
  if (!loaded) return kInvalidHandle;
  const ExecutableKernel& kernel = *loaded->kernel;
  const auto refuse = [&](const char* why) {
    return report(kInvalidValue, "kernel " + kernel.name + ": " + why);
  };
  if (!params) return refuse("no parameters");
  if (shape.threads == 0 || shape.threads > 1024)
    return refuse("0 or more than 1024 threads a block");
  if (shape.threads > kernel.max_threads)
    return refuse("more threads a block than it was built for");
  if (shape.grid[0] == 0 || shape.grid[1] == 0 || shape.grid[2] == 0)
    return refuse("an empty grid");
  if (shape.grid[0] > 0x7fffffffu || shape.grid[1] > 65535 || shape.grid[2] > 65535)
    return refuse("a grid beyond 2^31 - 1, 65535, 65535 blocks");
  if (shape.shared_bytes > std::max(shared_limit, loaded->shared_allowed))
    return refuse("more dynamic shared memory than allowed");
  const auto* bytes = static_cast<const unsigned char*>(params);
  std::vector<unsigned char> copy(bytes, bytes + kernel.params_bytes);
  return enqueue(stream, [&kernel, shape, params_copy = std::move(copy)] {
    return kernel.run(shape, params_copy.data());
  });
}

}  // namespace isotope::emulated
