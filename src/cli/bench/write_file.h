#pragma once

#include <string>
#include <string_view>

namespace isotope::cli {

/// Replaces the file's content. Errors: invalid_argument naming the flag and the file.
void write_file(const std::string& path, std::string_view text, std::string_view flag);

}  // namespace isotope::cli
