// Programs run without a shell, and folders that only we can read. Internal to jit and to what
// reads its results.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace isotope::jit {

/// A folder of mode 0700 below the system's temporary folder, removed with all that is in it on
/// destruction.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  /// Writes a file, making the folders of its name. Errors: internal.
  void write(const std::filesystem::path& name, std::string_view content) const;

 private:
  std::filesystem::path path_;
};

struct ProcessResult {
  int exit_code = 0;   ///< 128 + n after signal n, 127 if the program does not start
  std::string output;  ///< standard output and standard error, as they came
  bool succeeded() const { return exit_code == 0; }
};

/// Runs `arguments[0]` (looked for in PATH if it has no slash) and waits for its end.
ProcessResult run_process(const std::vector<std::string>& arguments);

}  // namespace isotope::jit
