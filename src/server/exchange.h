// One request's way to its answer, as the HTTP side sees it: knows nothing of sockets.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace isotope::server {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  Headers headers;
};

struct StreamPart {
  std::string bytes;  ///< server-sent events; may be empty
  bool last = false;
};

/// Created (on a worker thread) once the request was read and accepted; then used by one thread.
/// Destroying it ends whatever still runs for it.
class Exchange {
 public:
  virtual ~Exchange() = default;

  /// Whether the answer is a stream of server-sent events: then next() is called, otherwise
  /// response().
  virtual bool streams() const { return false; }
  /// `wake` is called, from any thread, whenever there may be more to get.
  virtual void on_ready(std::function<void()> wake) = 0;
  /// The whole answer, or nullopt as long as it is not there. Errors: ApiError, Error.
  virtual std::optional<Response> response() = 0;
  /// What was added to the stream. After the last part nothing is asked any more.
  virtual StreamPart next() { return {.bytes = {}, .last = true}; }
  /// What a stream may say between events when there is nothing to say, so that proxies keep it.
  virtual std::string_view ping() const { return ": ping\n\n"; }
  /// Ends early what runs; the answer then says so.
  virtual void cancel() {}
  /// Counts and times for the log.
  virtual json::object log_fields() const { return {}; }
};

/// An answer that is there from the start.
class ReadyExchange final : public Exchange {
 public:
  explicit ReadyExchange(Response response) : response_(std::move(response)) {}
  void on_ready(std::function<void()> wake) override { wake(); }
  std::optional<Response> response() override { return std::move(response_); }

 private:
  Response response_;
};

}  // namespace isotope::server
