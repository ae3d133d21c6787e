// What commands write beside, or instead of, their tables.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace CLI {
class App;
}

namespace isotope::cli {

/// Replaces the file's content. Errors: invalid_argument naming the flag and the file.
void write_file(const std::string& path, std::string_view text, std::string_view flag);

/// The flag of a command that can give its figures as JSON.
void add_report_flag(CLI::App& command, std::string& path, const std::string& names = "--json");
/// Writes where that flag says: nowhere (empty), to standard output (-), or to a file.
void write_report(const json::value& report, const std::string& path);

}  // namespace isotope::cli
