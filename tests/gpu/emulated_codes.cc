// Errors of the emulated GPU: numbers, names, and the latest report of each.
#include <cstdio>
#include <map>
#include <mutex>
#include <set>

#include "tests/gpu/emulated_device.h"

namespace isotope::emulated {
namespace {

struct CodeName {
  int code;
  const char *cuda, *hip, *text;
};
constexpr CodeName kCodeNames[] = {
    {kOk, "CUDA_SUCCESS", "hipSuccess", "no error"},
    {kInvalidValue, "CUDA_ERROR_INVALID_VALUE", "hipErrorInvalidValue", "invalid argument"},
    {kOutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY", "hipErrorOutOfMemory", "out of memory"},
    {kNotInitialized, "CUDA_ERROR_NOT_INITIALIZED", "hipErrorNotInitialized",
     "initialization error"},
    {kInvalidDevice, "CUDA_ERROR_INVALID_DEVICE", "hipErrorInvalidDevice",
     "invalid device ordinal"},
    {kInvalidImage, "CUDA_ERROR_INVALID_IMAGE", "hipErrorInvalidImage",
     "device kernel image is invalid"},
    {kInvalidContext, "CUDA_ERROR_INVALID_CONTEXT", "hipErrorInvalidContext",
     "invalid device context"},
    {kInvalidHandle, "CUDA_ERROR_INVALID_HANDLE", "hipErrorInvalidHandle",
     "invalid resource handle"},
    {kIllegalState, "CUDA_ERROR_ILLEGAL_STATE", "hipErrorIllegalState",
     "the operation cannot be performed in the present state"},
    {kNotFound, "CUDA_ERROR_NOT_FOUND", "hipErrorNotFound", "named symbol not found"},
    {kNotReady, "CUDA_ERROR_NOT_READY", "hipErrorNotReady", "device not ready"},
    {kIllegalAddress, "CUDA_ERROR_ILLEGAL_ADDRESS", "hipErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {kLaunchFailed, "CUDA_ERROR_LAUNCH_FAILED", "hipErrorLaunchFailure",
     "unspecified launch failure"},
    {kNotSupported, "CUDA_ERROR_NOT_SUPPORTED", "hipErrorNotSupported", "operation not supported"},
    {kCaptureUnsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "hipErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"},
    {kCaptureInvalidated, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "hipErrorStreamCaptureInvalidated", "operation failed due to a previous error during capture"},
    {kCapturedEvent, "CUDA_ERROR_CAPTURED_EVENT", "hipErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {kCaptureWrongThread, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD",
     "hipErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
};

struct Reports {
  std::mutex mutex;
  std::map<int, std::string> latest;
  std::set<std::string> kept;  // whoever asked for a text keeps the pointer
};
Reports& reports() {
  static Reports& made = *new Reports();
  return made;
}

}  // namespace

int report(Code code, const std::string& why) {
  const std::lock_guard lock(reports().mutex);
  std::fprintf(stderr, "%s: %s\n", executor().reports_as(), why.c_str());
  reports().latest[code] = why;
  return code;
}
const char* code_name(int code, bool hip) {
  for (const CodeName& known : kCodeNames)
    if (known.code == code) return hip ? known.hip : known.cuda;
  return nullptr;
}
const char* code_text(int code) {
  const std::lock_guard lock(reports().mutex);
  for (const CodeName& known : kCodeNames) {
    if (known.code != code) continue;
    const auto found = reports().latest.find(code);
    if (found == reports().latest.end()) return known.text;
    const auto text = reports().kept.insert(std::string(known.text) + ": " + found->second).first;
    reports().latest.erase(found);
    return text->c_str();
  }
  return nullptr;
}

}  // namespace isotope::emulated
