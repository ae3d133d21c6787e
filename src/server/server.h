// The HTTP server: OpenAI's protocol on Boost.Asio coroutines.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/admission.h"
#include "server/cors.h"
#include "server/generation.h"

namespace isotope::server {

struct ServerOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8000;          ///< 0: any free one
  std::vector<std::string> api_keys;  ///< empty: no authorization
  CorsOptions cors;
  std::string root_path;  ///< what a proxy puts in front of all paths
  std::string version;
  bool web_page = true;  ///< the chat page at "/"
  std::size_t max_body_bytes = std::size_t(32) << 20;
  std::int64_t max_connections = 4096;  ///< at a time, if there are that many file descriptors
  QueueLimits queue;
  double request_timeout = 0;  ///< seconds for a request, at most; 0: no limit
  /// Bytes of one stream that its client has not taken yet; more, and the stream ends.
  std::size_t max_stream_buffer = std::size_t(8) << 20;
  int header_seconds = 20;    ///< for a request's header, from its first byte
  int shutdown_seconds = 10;  ///< how long running requests may take to finish after SIGTERM
};

class Server {
 public:
  /// Binds at once. Errors: invalid_argument naming host and port.
  Server(ServedModel& model, ServerOptions options);
  ~Server();
  std::uint16_t port() const;
  /// Serves until SIGINT or SIGTERM (or stop()), then finishes or cancels what runs, and returns.
  void run();
  /// From any thread.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace isotope::server
