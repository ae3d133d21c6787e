// Many HTTP/1.1 exchanges with one server at a time, on one thread; each piece of an answer comes
// with the time at which it was read from the socket.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "cli/bench/url.h"

namespace isotope::cli {

namespace asio = boost::asio;

/// What an exchange tells of its answer while it comes.
class ResponseSink {
 public:
  using Clock = std::chrono::steady_clock;
  virtual ~ResponseSink() = default;
  virtual void head(int status, std::string_view reason, std::string_view content_type) = 0;
  /// Part of the body, without HTTP's framing. An Error thrown here ends the exchange.
  virtual void body(std::string_view bytes, Clock::time_point read_at) = 0;
};

class HttpClient {
 public:
  struct Options {
    std::string api_key;              ///< empty: no Authorization header
    std::chrono::seconds silence{0};  ///< an exchange without a byte for so long fails; 0: never
  };

  /// Resolves the host. Errors: not_found naming it; invalid_argument for a key that no header can
  /// hold.
  HttpClient(asio::io_context& io, Url url, Options options);
  ~HttpClient();

  /// One request on a connection that is free, or else on a new one. Returns what went wrong, in a
  /// few words; empty if the answer is complete. The arguments must outlive it, and be no
  /// temporaries with a destructor: GCC 12 frees those of a co_await's arguments twice.
  asio::awaitable<std::string> exchange(std::string_view method, std::string_view target,
                                        std::string_view body, ResponseSink& sink);

  /// Ends all exchanges under way; they return "interrupted".
  void interrupt();
  /// Ends those that are silent for too long; runs until the next stop_watching().
  asio::awaitable<void> watch();
  void stop_watching();

 private:
  class Connection;

  asio::awaitable<void> watch_until_stopped();
  std::unique_ptr<Connection> take_idle();
  asio::awaitable<std::string> connect(Connection& connection);
  asio::awaitable<std::string> send_and_read(Connection& connection, std::string_view request,
                                             ResponseSink& sink);
  std::string request_text(std::string_view method, std::string_view target,
                           std::string_view body) const;

  asio::io_context& io_;
  Url url_;
  Options options_;
  asio::ip::tcp::resolver::results_type endpoints_;
  std::vector<std::unique_ptr<Connection>> idle_;
  std::unordered_set<Connection*> active_;
  asio::steady_timer watch_timer_;
  bool watch_stopped_ = false;
};

}  // namespace isotope::cli
