#include "cli/bench/http_client.h"

#include <fmt/core.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <cerrno>
#include <optional>

#include "base/error.h"
#include "cli/version.h"

namespace isotope::cli {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using Clock = ResponseSink::Clock;

// Failures are results here, not exceptions: a load test has many.
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::uint32_t kMaxHeadBytes = 64 << 10;
constexpr std::size_t kReadBytes = 64 << 10;

/// The part of a body that has come since it was last taken. Beast's string_body would reserve what
/// Content-Length promises, which is the server's word alone.
struct ArrivingBody {
  using value_type = std::string;
  class reader {
   public:
    template <bool isRequest, class Fields>
    reader(http::header<isRequest, Fields>&, value_type& body) : body_(body) {}
    void init(const boost::optional<std::uint64_t>&, error_code& error) { error = {}; }
    template <class Buffers>
    std::size_t put(const Buffers& buffers, error_code& error) {
      error = {};
      const std::size_t before = body_.size();
      for (const auto buffer : beast::buffers_range_ref(buffers))
        body_.append(static_cast<const char*>(buffer.data()), buffer.size());
      return body_.size() - before;
    }
    void finish(error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

using Parser = http::response_parser<ArrivingBody>;

/// Gives `bytes` to the parser and what comes out of it to the sink. Returns what is wrong.
std::string parse(Parser& parser, beast::flat_buffer& buffer, ResponseSink& sink, bool& head_seen,
                  Clock::time_point now) {
  error_code error;
  while (buffer.size() > 0 && !parser.is_done()) {
    const std::size_t used = parser.put(buffer.data(), error);
    buffer.consume(used);
    if (error == http::error::need_more) error = {};
    if (error) return fmt::format("malformed HTTP answer: {}", error.message());
    if (parser.is_header_done() && !std::exchange(head_seen, true)) {
      const auto& head = parser.get();
      sink.head(int(head.result_int()), std::string(head.reason()),
                std::string(head[http::field::content_type]));
    }
    std::string& body = parser.get().body();
    if (!body.empty()) {
      sink.body(body, now);
      body.clear();
    }
    if (used == 0) break;
  }
  return {};
}

}  // namespace

class HttpClient::Connection {
 public:
  explicit Connection(asio::io_context& io) : socket(io) {}

  asio::ip::tcp::socket socket;
  beast::flat_buffer buffer;
  Clock::time_point last_byte = Clock::now();
  std::string ended_by_us;  ///< why, if not by the server
  bool reused = false, answered = false;

  void end(std::string why) {
    if (ended_by_us.empty()) ended_by_us = std::move(why);
    error_code ignored;
    socket.close(ignored);
  }
  std::string explain(std::string_view what, error_code error) const {
    return ended_by_us.empty() ? fmt::format("{}: {}", what, error.message()) : ended_by_us;
  }
};

HttpClient::HttpClient(asio::io_context& io, Url url, Options options)
    : io_(io), url_(std::move(url)), options_(std::move(options)), watch_timer_(io) {
  if (std::any_of(options_.api_key.begin(), options_.api_key.end(),
                  [](char c) { return std::uint8_t(c) < 0x20 || c == 0x7f; }))
    fail(ErrorCode::invalid_argument, "the API key holds a control character");
  error_code error;
  endpoints_ = asio::ip::tcp::resolver(io_).resolve(url_.host, url_.port, error);
  if (error)
    fail(ErrorCode::not_found, "host {} cannot be resolved: {}", url_.authority(), error.message());
}

HttpClient::~HttpClient() = default;

/// One that the server has not closed meanwhile, as far as is known.
std::unique_ptr<HttpClient::Connection> HttpClient::take_idle() {
  while (!idle_.empty()) {
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    char byte = 0;
    const auto peeked =
        ::recv(connection->socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (peeked >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
      continue;  // closed, or not silent
    connection->reused = true;
    connection->answered = false;
    return connection;
  }
  return nullptr;
}

std::string HttpClient::request_text(std::string_view method, std::string_view target,
                                     std::string_view body) const {
  std::string text = fmt::format(
      "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: isotope/{}\r\nAccept-Encoding: identity\r\n"
      "Content-Type: application/json\r\nContent-Length: {}\r\n",
      method, target, url_.authority(), kVersion, body.size());
  if (!options_.api_key.empty()) text += "Authorization: Bearer " + options_.api_key + "\r\n";
  text += "\r\n";
  text += body;
  return text;
}

asio::awaitable<std::string> HttpClient::connect(Connection& connection) {
  const auto [error, endpoint] =
      co_await asio::async_connect(connection.socket, endpoints_, kTuple);
  if (error) co_return connection.explain("cannot connect", error);
  error_code ignored;
  connection.socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  co_return std::string();
}

asio::awaitable<std::string> HttpClient::send_and_read(Connection& connection,
                                                       std::string_view request,
                                                       ResponseSink& sink) {
  const auto [write_error, written] =
      co_await asio::async_write(connection.socket, asio::buffer(request), kTuple);
  if (write_error) co_return connection.explain("cannot send", write_error);
  Parser parser;
  parser.eager(true);
  parser.header_limit(kMaxHeadBytes);
  parser.body_limit(boost::none);
  bool head_seen = false;
  while (!parser.is_done()) {
    const auto [error, size] =
        co_await connection.socket.async_read_some(connection.buffer.prepare(kReadBytes), kTuple);
    const auto now = connection.last_byte = Clock::now();
    if (error == asio::error::eof && head_seen) {
      error_code end_error;
      parser.put_eof(end_error);  // an answer without a length ends so; any other is cut
      if (end_error) co_return std::string("connection closed in the middle of the answer");
      break;
    }
    if (error == asio::error::eof) co_return std::string("connection closed without an answer");
    if (error) co_return connection.explain("cannot read", error);
    connection.answered = true;
    connection.buffer.commit(size);
    std::string wrong = parse(parser, connection.buffer, sink, head_seen, now);
    if (!wrong.empty()) co_return wrong;
  }
  if (!parser.get().keep_alive()) connection.end({});
  co_return std::string();
}

asio::awaitable<std::string> HttpClient::exchange(std::string_view method, std::string_view target,
                                                  std::string_view body, ResponseSink& sink) {
  const std::string request = request_text(method, target, body);
  for (;;) {
    std::unique_ptr<Connection> connection = take_idle();
    if (!connection) connection = std::make_unique<Connection>(io_);
    connection->last_byte = Clock::now();
    active_.insert(connection.get());
    std::string wrong;
    try {
      if (!connection->reused) wrong = co_await connect(*connection);
      if (wrong.empty()) wrong = co_await send_and_read(*connection, request, sink);
    } catch (const Error& error) {
      wrong = error.what();
    }
    active_.erase(connection.get());
    // A server may close an idle connection in the moment in which it is used again.
    if (!wrong.empty() && connection->reused && !connection->answered &&
        connection->ended_by_us.empty())
      continue;
    if (wrong.empty() && connection->socket.is_open() && connection->buffer.size() == 0)
      idle_.push_back(std::move(connection));
    co_return wrong;
  }
}

void HttpClient::interrupt() {
  for (Connection* connection : active_) connection->end("interrupted");
}

asio::awaitable<void> HttpClient::watch() {
  watch_stopped_ = false;  // now, and not when it is its turn to run: it may be stopped before
  return watch_until_stopped();
}

asio::awaitable<void> HttpClient::watch_until_stopped() {
  while (!watch_stopped_ && options_.silence.count() > 0) {
    watch_timer_.expires_after(std::chrono::milliseconds(200));
    co_await watch_timer_.async_wait(kTuple);
    const auto now = Clock::now();
    for (Connection* connection : active_)
      if (now - connection->last_byte > options_.silence)
        connection->end(fmt::format("no byte for {} s", options_.silence.count()));
  }
}

void HttpClient::stop_watching() {
  watch_stopped_ = true;
  watch_timer_.cancel();
}

}  // namespace isotope::cli
