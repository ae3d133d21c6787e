// One client's connection: requests in, answers out, one at a time, until either side closes.
//
// All of it runs on the server's one I/O thread. What may take long (parsing, tokenizing) runs on a
// worker; the engine calls from its own thread. Both only post a wake-up here.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "server/api_error.h"
#include "server/router.h"
#include "server/server.h"
#include "server/trace_context.h"

namespace isotope::server {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

class Connection;

/// What the connections of a server share. I/O thread only.
struct Host {
  const ServerState& state;
  const ServerOptions& options;
  asio::io_context& io;
  asio::thread_pool& workers;
  asio::thread_pool& large_body_workers;
  const Service* service = nullptr;  ///< while the model is loaded
  std::unordered_set<Connection*> connections;
  std::size_t body_bytes = 0;  ///< of the request bodies being read or parsed
  bool stopping = false;
  std::function<void()> on_connection_closed;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Host& host, asio::ip::tcp::socket socket);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Serves until the connection ends. The coroutine must hold a shared_ptr to this.
  asio::awaitable<void> run();

  /// Closes it if it waits for a request; otherwise it closes after the answer under way.
  void close_if_idle();
  /// Cancels what runs for the request under way; its answer says so.
  void cancel();
  void close();

 private:
  using Parser = http::request_parser<http::string_body>;
  /// The request under way, as far as answering and logging it need it.
  struct Current {
    std::string method, target, id, origin, if_none_match;
    ErrorForm error_form = ErrorForm::openai;
    std::optional<TraceContext> trace;
    bool keep_alive = false, chunked = true;
    bool probe = false;  ///< asked for time and again, of no interest in the log
    std::chrono::steady_clock::time_point begin;
  };
  class BodyShare;

  asio::awaitable<bool> wait_for_request();
  asio::awaitable<bool> serve_one();
  asio::awaitable<bool> serve(Parser& parser, Route route);
  asio::awaitable<bool> refuse_unreadable(boost::system::error_code error, const Parser& parser);
  asio::awaitable<bool> read_body(Parser& parser);
  asio::awaitable<bool> answer(const Route& route, std::string body);
  asio::awaitable<bool> exchange(Exchange& exchange);
  asio::awaitable<bool> send_stream(Exchange& exchange);
  asio::awaitable<bool> send(const Response& response, json::object log_fields = {});
  asio::awaitable<bool> send_error(ApiError error);
  asio::awaitable<bool> write(std::string_view bytes);
  asio::awaitable<void> linger();

  void begin(const Parser& parser);
  Route route_of(const Parser& parser);
  std::string head(int status, std::string_view content_type) const;
  void log(int status, const json::object& fields) const;

  std::function<void()> waker();
  void wake();
  asio::awaitable<void> wait();
  void watch_peer();
  asio::awaitable<void> stop_watching();
  void begin_silence();
  void watch_silence();
  void append_chunk(const StreamPart& part);
  void flush();
  asio::awaitable<void> stop_writing();

  Host& host_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  asio::steady_timer event_;  ///< never expires; cancelling it resumes wait()
  bool signalled_ = false, watching_ = false, peer_gone_ = false;
  /// Of a stream: what is being written, and what must wait for that.
  std::string sending_, unsent_;
  bool writing_ = false, write_failed_ = false;
  asio::steady_timer silence_;  ///< of a stream
  std::chrono::steady_clock::time_point last_bytes_;
  bool ping_due_ = false;
  bool idle_ = false, cancelled_ = false;
  Exchange* exchange_ = nullptr;
  Current current_;
};

}  // namespace isotope::server
