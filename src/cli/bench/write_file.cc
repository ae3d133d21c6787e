#include "cli/bench/write_file.h"

#include <fstream>

#include "base/error.h"

namespace isotope::cli {

void write_file(const std::string& path, std::string_view text, std::string_view flag) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) fail(ErrorCode::invalid_argument, "{} {}: cannot be written", flag, path);
}

}  // namespace isotope::cli
