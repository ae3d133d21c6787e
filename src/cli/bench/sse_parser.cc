#include "cli/bench/sse_parser.h"

#include "base/error.h"

namespace isotope::cli {

void SseParser::feed(std::string_view bytes, const OnData& on_data) {
  while (!bytes.empty()) {
    if (after_cr_ && bytes.front() == '\n') bytes.remove_prefix(1);
    after_cr_ = false;
    const auto end = bytes.find_first_of("\r\n");
    line_ += bytes.substr(0, end);
    if (line_.size() + data_.size() > max_event_bytes_)
      fail(ErrorCode::corrupt_data, "an event of the stream is longer than {} bytes",
           max_event_bytes_);
    if (end == std::string_view::npos) return;
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    end_line(on_data);
  }
}

void SseParser::finish(const OnData& on_data) {
  if (!line_.empty()) end_line(on_data);
  dispatch(on_data);
}

void SseParser::end_line(const OnData& on_data) {
  std::string_view line = line_;
  if (first_line_ && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);  // byte order mark
  first_line_ = false;
  if (line.empty()) {
    dispatch(on_data);
  } else if (line == "data" || line.starts_with("data:")) {
    line.remove_prefix(std::min<std::size_t>(line.size(), 5));
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (has_data_) data_ += '\n';
    data_ += line;
    has_data_ = true;
  }
  line_.clear();
}

void SseParser::dispatch(const OnData& on_data) {
  if (has_data_ && !data_.empty()) on_data(data_);
  has_data_ = false;
  data_.clear();
}

}  // namespace isotope::cli
