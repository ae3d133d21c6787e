#include "cli/eval/result_log.h"

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
        fail(ErrorCode::corrupt_data, "{}: not the output of `isotope eval`: it has no line",
             path.string());
      return begin;
    }
    const std::string where = fmt::format("{}:{}", path.string(), number);
    const json::value value = parse_json(std::string_view(text).substr(begin, end - begin), where);
    (number == 1 ? head : line)(value, where);
    begin = end + 1;
  }
}

ResultLog::ResultLog(const std::filesystem::path& path, const json::object& head) : path_(path) {
  if (std::filesystem::exists(path))
    fail(ErrorCode::invalid_argument,
         "--output {}: is there already; remove it or choose another name", path.string());
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

}  // namespace isotope::cli
