#include "base/log.h"

// The only file that pays for spdlog's headers.
#define SPDLOG_FMT_EXTERNAL
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <fmt/chrono.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "base/json.h"

namespace isotope {
namespace {

std::atomic<LogLevel> current_level{LogLevel::info};
std::atomic<LogFormat> current_format{LogFormat::text};

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto created = std::make_shared<spdlog::logger>(
        "isotope", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    created->set_pattern("%H:%M:%S.%e %^%L%$ %v");
    created->set_level(spdlog::level::trace);
    return created;
  }();
  return *instance;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::off:
      break;
  }
  return spdlog::level::off;
}

/// Whether standard error is systemd's journal, as systemd.exec(5) tells: it keeps the time, and
/// takes a number in angle brackets before a line for its level.
bool goes_to_journal() {
  static const bool result = [] {
    const char* stream = std::getenv("JOURNAL_STREAM");
    struct stat file = {};
    return stream && fstat(STDERR_FILENO, &file) == 0 &&
           fmt::format("{}:{}", file.st_dev, file.st_ino) == stream;
  }();
  return result;
}

/// In one piece, so that lines of several threads do not mix.
void write_line(const std::string& line) { std::fwrite(line.data(), 1, line.size(), stderr); }

/// Levels are those of syslog(3).
void write_to_journal(LogLevel level, std::string_view room, const std::string& message) {
  constexpr int kDebug = 7, kInfo = 6, kWarning = 4, kError = 3;
  const int number = level == LogLevel::debug     ? kDebug
                     : level == LogLevel::info    ? kInfo
                     : level == LogLevel::warning ? kWarning
                                                  : kError;
  write_line(fmt::format("<{}>{}: {}\n", number, room, message));
}

/// RFC 3339 in UTC, to the millisecond.
std::string timestamp() {
  const auto now = std::chrono::system_clock::now();
  const auto whole = std::chrono::floor<std::chrono::seconds>(now);
  const auto part = std::chrono::duration_cast<std::chrono::milliseconds>(now - whole).count();
  const auto seconds = std::chrono::system_clock::to_time_t(whole);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(seconds), part);
}

void write_json(LogLevel level, std::string_view room, std::string_view message,
                const json::object& fields) {
  const auto name = spdlog::level::to_string_view(to_spdlog(level));
  json::object line{{"time", timestamp()},
                    {"level", std::string_view(name.data(), name.size())},
                    {"room", room},
                    {"message", message}};
  for (const auto& [key, value] : fields) line.emplace(key, value);
  write_line(json::serialize(line) + "\n");
}

/// Words as they are, numbers short, everything else as JSON.
std::string shown(const json::value& value) {
  if (value.is_double()) return fmt::format("{:.2f}", value.get_double());
  if (value.is_string()) {
    const std::string_view text = value.get_string();
    if (!text.empty() && text.find_first_of(" \"=\n\t") == std::string_view::npos)
      return std::string(text);
  }
  return json::serialize(value);
}

}  // namespace

void set_log_level(LogLevel level) { current_level = level; }
LogLevel log_level() { return current_level.load(std::memory_order_relaxed); }

void set_log_format(LogFormat format) { current_format = format; }

void log_line(LogLevel level, std::string_view room, const std::string& message) {
  if (level < log_level()) return;
  if (current_format == LogFormat::json) return write_json(level, room, message, {});
  if (goes_to_journal()) return write_to_journal(level, room, message);
  logger().log(to_spdlog(level), "{}: {}", room, message);
}

void log_event(LogLevel level, std::string_view room, std::string_view message,
               const json::object& fields) {
  if (level < log_level()) return;
  if (current_format == LogFormat::json) return write_json(level, room, message, fields);
  std::string text(message);
  for (const auto& [key, value] : fields)
    text += fmt::format(" {}={}", std::string_view(key), shown(value));
  log_line(level, room, text);
}

}  // namespace isotope
