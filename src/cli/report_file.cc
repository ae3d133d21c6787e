#include "cli/report_file.h"

#include <CLI/CLI.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <iostream>

#include "base/error.h"

namespace isotope::cli {

void write_file(const std::string& path, std::string_view text, std::string_view flag) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) fail(ErrorCode::invalid_argument, "{} {}: cannot be written", flag, path);
}

void add_report_flag(CLI::App& command, std::string& path, const std::string& names) {
  command
      .add_option(names, path,
                  "Also write the figures to a file (-: to standard output instead of tables)")
      ->type_name("FILE");
}

void write_report(const json::value& report, const std::string& path) {
  if (path.empty()) return;
  const std::string text = json::serialize(report) + "\n";
  if (path == "-")
    std::cout << text;
  else
    write_file(path, text, "--json");
}

}  // namespace isotope::cli
