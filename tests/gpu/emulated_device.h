// What the fake drivers of both vendors do: memory, streams, graphs, events, modules. Numbers of
// errors are those of the CUDA driver, which HIP shares.
//
// Work queued on a stream happens as late as it may: when somebody waits for it, frees memory or
// copies from the device to ordinary memory. So a buffer that is changed before its copy was waited
// for shows, as it may on hardware.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/gpu/executor.h"

namespace isotope::emulated {

enum Code : int {
  kOk = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kNotInitialized = 3,
  kInvalidDevice = 101,
  kInvalidImage = 200,
  kInvalidContext = 201,
  kInvalidHandle = 400,
  kIllegalState = 401,
  kNotFound = 500,
  kNotReady = 600,
  kIllegalAddress = 700,
  kLaunchFailed = 719,
  kNotSupported = 801,
  kCaptureUnsupported = 900,
  kCaptureInvalidated = 901,
  kCapturedEvent = 907,
  kCaptureWrongThread = 908,
};

/// Reports an error: on stderr, and to whoever asks for the text of `code` next.
int report(Code code, const std::string& why);
/// The vendor's name ("CUDA_ERROR_…" or "hipError…") and, if there is one, the latest report of
/// `code`. Null: no such code.
const char* code_name(int code, bool hip);
const char* code_text(int code);

// Memory. Addresses are the host's; allocations lie between closed pages and known bytes, and are
// full of 0xff.
std::size_t memory_total();  // ISOTOPE_EMULATED_MEMORY: other MiB than those of the card
std::size_t memory_free();
int allocate(void** data, std::size_t bytes, bool pinned);
int free_memory(void* data, bool pinned);
/// Where an address lies (", byte 12 of an allocation of 8 bytes") or nothing; for the executor while it runs a kernel.
std::string describe(const void* address);

// Streams and captures. A handle is an object's address; anything else is kInvalidHandle.
int create_stream(void** stream);
int destroy_stream(void* stream);
int synchronize(void* stream);
int copy_to_device(void* target, const void* source, std::size_t bytes, void* stream);
int copy_to_host(void* target, const void* source, std::size_t bytes, void* stream);
int copy_on_device(void* target, const void* source, std::size_t bytes, void* stream);
int fill(void* target, std::uint8_t value, std::size_t bytes, void* stream);
int begin_capture(void* stream, int mode);
int end_capture(void* stream, void** graph);
int instantiate(void** executable, void* graph);
int launch_graph(void* executable, void* stream);
int destroy_graph(void* graph);
int destroy_executable(void* executable);

int create_event(void** event);
int destroy_event(void* event);
int record_event(void* event, void* stream);
int wait_event(void* event);
int elapsed_ms(float* ms, void* begin, void* end);

int load_module(void** module, const void* code);
int unload_module(void* module);
int find_function(void** function, void* module, const char* name);
/// How much dynamic shared memory a launch of `function` may ask for.
int allow_shared(void* function, std::size_t bytes, std::size_t limit);
/// `shared_limit`: what functions may use that nobody allowed more.
int launch(void* function, const LaunchShape& shape, const void* params, std::size_t shared_limit,
           void* stream);

}  // namespace isotope::emulated
