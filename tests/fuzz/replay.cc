// Runs a fuzz target over files, without libFuzzer: those given, and those of folders given.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

#include "base/file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t kMaxBytes = std::size_t(64) << 20;

int replay(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) {
    const std::string bytes = isotope::read_file(path, kMaxBytes);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    return 1;
  }
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path)) count += replay(entry.path());
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  int count = 0;
  for (int i = 1; i < argc; ++i) count += replay(argv[i]);
  std::printf("%d inputs\n", count);
  return count > 0 ? 0 : 1;
}
