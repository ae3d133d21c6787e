// Log lines to standard error: "12:34:56.789 I engine: message", or a JSON object each; where that
// is systemd's journal, "<6>engine: message". Standard output belongs to answers.
#pragma once

#include <fmt/core.h>

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace isotope {

enum class LogLevel { debug, info, warning, error, off };

void set_log_level(LogLevel level);
LogLevel log_level();
enum class LogFormat { text, json };
void set_log_format(LogFormat format);
void log_line(LogLevel level, std::string_view room, const std::string& message);
/// A line for people and programs: "message key=value key=value", or as JSON with the fields beside
/// "time", "level", "room" and "message".
void log_event(LogLevel level, std::string_view room, std::string_view message,
               const boost::json::object& fields);

template <typename... Args>
void log_debug(std::string_view room, fmt::format_string<Args...> format, Args&&... args) {
  if (log_level() <= LogLevel::debug)
    log_line(LogLevel::debug, room, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_info(std::string_view room, fmt::format_string<Args...> format, Args&&... args) {
  if (log_level() <= LogLevel::info)
    log_line(LogLevel::info, room, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(std::string_view room, fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::warning, room, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_error(std::string_view room, fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::error, room, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace isotope
