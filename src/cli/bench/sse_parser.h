// Server-sent events, from bytes as they come.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace isotope::cli {

/// Follows the HTML standard's event-stream rules: lines end with LF, CR or CRLF, the space after
/// the colon is optional, lines of data are joined, comments and other fields are skipped. Bytes
/// may be cut anywhere.
class SseParser {
 public:
  using OnData = std::function<void(std::string_view)>;

  /// Errors of feed: corrupt_data if an event is longer than `max_event_bytes`.
  explicit SseParser(std::size_t max_event_bytes = std::size_t(16) << 20)
      : max_event_bytes_(max_event_bytes) {}

  /// Calls `on_data` with the data of each event that `bytes` completes.
  void feed(std::string_view bytes, const OnData& on_data);
  /// The stream has ended. The standard drops an event without its blank line; servers that forget
  /// it after their last one exist, so it counts here.
  void finish(const OnData& on_data);

 private:
  void end_line(const OnData& on_data);
  void dispatch(const OnData& on_data);

  std::size_t max_event_bytes_;
  std::string line_, data_;
  bool has_data_ = false, after_cr_ = false, first_line_ = true;
};

}  // namespace isotope::cli
