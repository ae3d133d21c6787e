// Compiles kernel text for the emulated GPU and loads it: a "code object" is a shared library of
// the host.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tests/gpu/fibers.h"

namespace isotope::emulated {

struct Compiled {
  bool ok = false;
  std::string log;  ///< what the compiler said
  std::vector<std::byte> code;
};

/// Compiles `text`, a file called `name`, which may include `headers` (by the names that #include
/// gives them) and the emulation's own. Of `options` the macro definitions count (-DX=1), the rest
/// is ignored.
Compiled compile(const std::string& name, const std::string& text,
                 const std::map<std::string, std::string>& headers,
                 const std::vector<std::string>& options);
/// The same for a file of the source tree ("src/ops/…/x.cu"), with all files below src/ for
/// headers.
Compiled compile_file(const std::filesystem::path& file, const std::vector<std::string>& options);

/// Code in memory, ready to run; functions are valid as long as it.
class LoadedCode {
 public:
  /// Errors: std::runtime_error with the loader's words.
  explicit LoadedCode(std::span<const std::byte> code);
  ~LoadedCode();
  LoadedCode(const LoadedCode&) = delete;
  LoadedCode& operator=(const LoadedCode&) = delete;
  /// Null if there is no such kernel.
  const Function* find_or_null(const std::string& name) const;
  /// Errors: std::runtime_error.
  const Function& find(const std::string& name) const;

 private:
  static void* shared_memory(const void* code);
  int file_ = -1;
  void* library_ = nullptr;
  void* (*touch_)() = nullptr;
  std::size_t shared_memory_bytes_ = 0;
  mutable std::map<std::string, Function> functions_;
};

}  // namespace isotope::emulated
