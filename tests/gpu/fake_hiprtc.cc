// hipRTC 7.0, as far as the program uses it, for the emulated GPU.
#include "tests/gpu/fake_rtc.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace emulated = isotope::emulated;
using Program = emulated::RtcProgram*;

EXPORTED int hiprtcVersion(int* major, int* minor) {
  *major = 7;
  *minor = 0;
  return 0;
}
EXPORTED const char* hiprtcGetErrorString(int result) {
  return emulated::rtc_text(result, "HIPRTC_");
}
EXPORTED int hiprtcCreateProgram(Program* program, const char* text, const char* name, int count,
                                 const char* const* headers, const char* const* include_names) {
  return emulated::rtc_create(program, text, name, count, headers, include_names);
}
EXPORTED int hiprtcDestroyProgram(Program* program) { return emulated::rtc_destroy(program); }
EXPORTED int hiprtcCompileProgram(Program program, int count, const char* const* options) {
  return emulated::rtc_compile(program, count, options);
}
EXPORTED int hiprtcGetCodeSize(Program program, std::size_t* bytes) {
  return emulated::rtc_code_size(program, bytes);
}
EXPORTED int hiprtcGetCode(Program program, char* code) {
  return emulated::rtc_code(program, code);
}
EXPORTED int hiprtcGetProgramLogSize(Program program, std::size_t* bytes) {
  return emulated::rtc_log_size(program, bytes);
}
EXPORTED int hiprtcGetProgramLog(Program program, char* text) {
  return emulated::rtc_log(program, text);
}
