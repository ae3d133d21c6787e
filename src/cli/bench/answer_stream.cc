#include "cli/bench/answer_stream.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/beast/core/string.hpp>

#include "base/error.h"
#include "cli/bench/answer_event.h"

namespace isotope::cli {
namespace {

constexpr std::size_t kMaxRefusal = 64 << 10;
// A stream without an end must not take all memory.
constexpr std::size_t kMaxEvents = 1 << 20, kMaxText = 64 << 20;

template <typename T>
void keep_newer(const std::optional<T>& newer, std::optional<T>& value) {
  if (newer) value = newer;
}

}  // namespace

AnswerStream::AnswerStream(LoadRecord& record, Clock::time_point began, const LoadOptions& options,
                           std::int64_t& tokens)
    : record_(record), began_(began), options_(options), tokens_(tokens) {}

void AnswerStream::head(int status, std::string_view reason, std::string_view content_type) {
  status_ = status;
  reason_ = printable_line(reason);
  content_type_ = content_type.substr(0, content_type.find(';'));
  is_stream_ = status == 200 && boost::beast::iequals(content_type_, "text/event-stream");
}

void AnswerStream::body(std::string_view bytes, Clock::time_point read_at) {
  last_read_ = std::chrono::duration<double>(read_at - began_).count();
  if (is_stream_)
    parser_.feed(bytes, [this](std::string_view data) { take(data, last_read_); });
  else
    refusal_ += bytes.substr(0, kMaxRefusal - std::min(kMaxRefusal, refusal_.size()));
}

void AnswerStream::take(std::string_view data, double time) {
  if (done_ || !record_.error.empty()) return;
  AnswerEvent event = parse_answer_event(data);
  done_ = event.done;
  finished_ = finished_ || event.finished;
  if (!event.error.empty()) record_.error = "error event: " + event.error;
  keep_newer(event.prompt_tokens, record_.prompt_tokens);
  keep_newer(event.completion_tokens, record_.completion_tokens);
  keep_newer(event.cached_tokens, record_.cached_tokens);
  keep_newer(event.server_ttft_ms, record_.server_ttft_ms);
  keep_newer(event.server_tpot_ms, record_.server_tpot_ms);
  if (!event.has_choice) return;
  if (record_.events.size() == kMaxEvents || record_.text.size() > kMaxText)
    fail(ErrorCode::corrupt_data, "the stream has more than {} token events, or {} MiB of text",
         kMaxEvents, kMaxText >> 20);
  if (!event.text.empty() && !record_.first_text) record_.first_text = time;
  if (options_.keep_text) record_.text += event.text;
  if (options_.token_events == TokenEvents::text && event.text.empty()) return;
  record_.events.push_back(time);
  ++tokens_;
}

/// What is wrong with an answer that came as a whole.
std::string AnswerStream::verdict() const {
  if (status_ != 200) {
    const std::string message = error_message(refusal_);
    return fmt::format("HTTP {} {}{}{}", status_, reason_, message.empty() ? "" : ": ", message);
  }
  if (!is_stream_)
    return fmt::format("the server does not stream: its answer is {}",
                       content_type_.empty() ? "of no stated type" : printable_line(content_type_));
  if (record_.events.empty()) return "the stream ended without a token";
  if (!done_ && !finished_) return "the stream ended without finish_reason or [DONE]";
  return {};
}

void AnswerStream::finish(const std::string& wrong) {
  std::string error = wrong;
  try {
    if (error.empty() && is_stream_)
      parser_.finish([this](std::string_view data) { take(data, last_read_); });
  } catch (const Error& failure) {
    error = failure.what();
  }
  // A refusal whose body is cut is still that refusal.
  if (error.empty() || (status_ != 0 && status_ != 200)) error = verdict();
  if (record_.error.empty()) record_.error = std::move(error);
}

}  // namespace isotope::cli
