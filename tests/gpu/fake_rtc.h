// What the fake NVRTC and the fake hipRTC have in common: a program, compiled with the host's
// compiler.
#pragma once

#include <cstring>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include "tests/gpu/emulated_code.h"

namespace isotope::emulated {

struct RtcProgram {
  std::string name, text;
  std::map<std::string, std::string> headers;
  Compiled made;
};

// Results that both have: 0 success, 3 invalid input, 4 invalid program, 6 compilation failed.
inline int rtc_create(RtcProgram** program, const char* text, const char* name, int count,
                      const char* const* texts, const char* const* names) {
  if (!program || !text || count < 0) return 3;
  auto* made = new RtcProgram();
  made->text = text;
  made->name = name ? name : "default_program";
  for (int i = 0; i < count; ++i) made->headers[names[i]] = texts[i];
  *program = made;
  return 0;
}
inline int rtc_compile(RtcProgram* program, int count, const char* const* options) {
  if (!program) return 4;
  try {
    program->made = compile(program->name, program->text, program->headers,
                            std::vector<std::string>(options, options + count));
  } catch (const std::exception& error) {
    program->made = {false, error.what(), {}};
  }
  return program->made.ok ? 0 : 6;
}
inline int rtc_code_size(RtcProgram* program, std::size_t* bytes) {
  if (!program || !program->made.ok) return 4;
  *bytes = program->made.code.size();
  return 0;
}
inline int rtc_code(RtcProgram* program, char* code) {
  if (!program || !program->made.ok) return 4;
  std::memcpy(code, program->made.code.data(), program->made.code.size());
  return 0;
}
inline int rtc_log_size(RtcProgram* program, std::size_t* bytes) {
  if (!program) return 4;
  *bytes = program->made.log.size() + 1;
  return 0;
}
inline int rtc_log(RtcProgram* program, char* text) {
  if (!program) return 4;
  std::memcpy(text, program->made.log.c_str(), program->made.log.size() + 1);
  return 0;
}
inline int rtc_destroy(RtcProgram** program) {
  if (!program || !*program) return 4;
  delete *program;
  *program = nullptr;
  return 0;
}
inline const char* rtc_text(int result, const char* prefix) {
  static thread_local std::string text;
  const char* what = result == 0   ? "SUCCESS"
                     : result == 3 ? "ERROR_INVALID_INPUT"
                     : result == 4 ? "ERROR_INVALID_PROGRAM"
                     : result == 6 ? "ERROR_COMPILATION"
                                   : "ERROR unknown";
  return (text = std::string(prefix) + what).c_str();
}

}  // namespace isotope::emulated
