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
  double ping_seconds = 15;   ///< of silence before a stream tells that it lives; 0: it never does
  int header_seconds = 20;    ///< for a request's header, from its first byte
  int shutdown_seconds = 10;  ///< how long running requests may take to finish after SIGTERM
};

class Server {
 public:
  /// Listens from now on, so that it can be asked whether it lives while the model is loaded; all
  /// other requests are told to come later. Errors: invalid_argument naming host and port.
  explicit Server(ServerOptions options);
  /// Ends at once what is left.
  ~Server();
  std::uint16_t port() const;
  /// From the return of this on, requests are taken, and SIGINT and SIGTERM end run(). Once; the
  /// model must outlive this.
  void begin(ServedModel& model);
  /// Serves until one of these signals (or stop()), then finishes or cancels what runs, and
  /// returns.
  void run();
  /// From any thread.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace isotope::server
