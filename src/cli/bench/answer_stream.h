// Turns the bytes of one streamed answer into a LoadRecord.
#pragma once

#include <string>
#include <string_view>

#include "cli/bench/load_run.h"
#include "cli/bench/sse_parser.h"

namespace isotope::cli {

class AnswerStream final : public ResponseSink {
 public:
  /// `record` must outlive this; `began`: what its times count from; `tokens` is counted up.
  AnswerStream(LoadRecord& record, Clock::time_point began, const LoadOptions& options,
               std::int64_t& tokens);

  void head(int status, std::string_view reason, std::string_view content_type) override;
  void body(std::string_view bytes, Clock::time_point read_at) override;
  /// The exchange is over; `wrong` is what HttpClient::exchange returned.
  void finish(const std::string& wrong);

 private:
  void take(std::string_view data, double time);
  std::string verdict() const;

  LoadRecord& record_;
  Clock::time_point began_;
  const LoadOptions& options_;
  std::int64_t& tokens_;
  SseParser parser_;
  int status_ = 0;
  std::string reason_, refusal_;  ///< refusal_: the body of an answer that is no stream
  std::string content_type_;
  bool is_stream_ = false, done_ = false, finished_ = false;
  double last_read_ = 0;
};

}  // namespace isotope::cli
