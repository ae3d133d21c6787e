// The record of an evaluation or of a tuning: JSON lines, of which the first says what was done and
// how.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace CLI {
class App;
}

namespace isotope::cli {

/// {"task", "settings", "settings_sha256"}
json::object log_head(std::string_view task, const json::object& settings);

/// Reads the lines of `path`: the head, then each other with its name for errors ("FILE:17").
/// Errors name file and line. Returns the length of all whole lines: a last line that was cut when
/// its writer was killed is left out.
using LogLine = std::function<void(const json::value&, const std::string& where)>;
std::uintmax_t read_log(const std::filesystem::path& path, const LogLine& head,
                        const LogLine& line);

/// Where a record goes, and whether it goes on with one that is there.
struct LogFlags {
  std::filesystem::path output;  ///< empty: nowhere
  bool resume = false;

  /// --output, --resume. `unit` is what a line stands for: "question".
  void add_to(CLI::App& command, const std::string& unit);
  /// Errors: invalid_argument for --resume without --output.
  void check() const;
};

class ResultLog {
 public:
  /// A log that is written nowhere.
  ResultLog() = default;
  /// Begins a new file. Errors: invalid_argument if it is there already.
  ResultLog(const std::filesystem::path& path, const json::object& head);
  /// Goes on after the first `length` bytes of a file.
  ResultLog(const std::filesystem::path& path, std::uintmax_t length);

  /// Adds a line, which survives the end of this process.
  void add(const json::object& line);

 private:
  std::filesystem::path path_;
  std::ofstream file_;
};

/// Begins a record; or, if it is to be resumed and is there, tells `line` what it holds and goes on
/// after that. Errors: invalid_argument if it was made with other settings than those of `head`.
ResultLog open_log(const LogFlags& flags, const json::object& head, const LogLine& line);

}  // namespace isotope::cli
