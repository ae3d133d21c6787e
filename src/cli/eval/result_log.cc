#include "cli/eval/result_log.h"

#include <CLI/CLI.hpp>
#include <boost/json/serialize.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"

namespace isotope::cli {

json::object log_head(std::string_view task, const json::object& settings) {
  Sha256 hash;
  hash.update(json::serialize(settings));
  return {{"task", task}, {"settings", settings}, {"settings_sha256", hex(hash.finish())}};
}

std::uintmax_t read_log(const std::filesystem::path& path, const LogLine& head,
                        const LogLine& line) {
  const std::string text = read_file(path);
  std::size_t begin = 0;
  for (std::size_t number = 1;; ++number) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) {
      if (number == 1)
        fail(ErrorCode::corrupt_data, "{}: not a record of results: it has no line",
             path.string());
      return begin;
    }
    const std::string where = fmt::format("{}:{}", path.string(), number);
    const json::value value = parse_json(std::string_view(text).substr(begin, end - begin), where);
    (number == 1 ? head : line)(value, where);
    begin = end + 1;
  }
}

void LogFlags::add_to(CLI::App& command, const std::string& unit) {
  command
      .add_option("--output", output,
                  fmt::format("File for each {}'s results, as JSON lines", unit))
      ->type_name("FILE");
  command.add_flag("--resume", resume,
                   "Go on with the run in --output; its settings must be the same");
}

void LogFlags::check() const {
  if (resume && output.empty())
    fail(ErrorCode::invalid_argument, "--resume: which run? Name its file by --output FILE");
}

ResultLog::ResultLog(const std::filesystem::path& path, const json::object& head) : path_(path) {
  if (std::filesystem::exists(path))
    fail(ErrorCode::invalid_argument,
         "--output {}: is there already; remove it, choose another name, or go on by --resume",
         path.string());
  file_.open(path);
  add(head);
}

ResultLog::ResultLog(const std::filesystem::path& path, std::uintmax_t length) : path_(path) {
  std::filesystem::resize_file(path, length);
  file_.open(path, std::ios::app);
}

void ResultLog::add(const json::object& line) {
  if (path_.empty()) return;
  file_ << json::serialize(line) << "\n";
  file_.flush();
  if (!file_) fail(ErrorCode::invalid_argument, "--output {}: cannot be written", path_.string());
}

ResultLog open_log(const LogFlags& flags, const json::object& head, const LogLine& line) {
  if (flags.output.empty()) return {};
  if (!flags.resume || !std::filesystem::exists(flags.output)) return ResultLog(flags.output, head);
  const auto check_head = [&head](const json::value& value, const std::string& where) {
    const std::string before = JsonFields(value, where).string("settings_sha256");
    if (before != JsonFields(head, "").string("settings_sha256"))
      fail(ErrorCode::invalid_argument,
           "--resume: {} was made with other settings; compare its \"settings\" with {}, or "
           "choose another --output",
           where, brief(head));
  };
  const std::uintmax_t length = read_log(flags.output, check_head, line);
  return ResultLog(flags.output, length);
}

}  // namespace isotope::cli
