#include "server/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>
#include <chrono>

#include "base/log.h"
#include "server/access.h"
#include "server/web_page.h"

namespace isotope::server {
namespace {

using namespace std::chrono_literals;

// Completions arrive as (error, value) tuples: a client that goes away is no exception here.
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

constexpr std::uint32_t kMaxHeaderBytes = 64 << 10;
constexpr std::size_t kMaxBufferBytes = 128 << 10;
/// Requests that a client sends ahead of an answer are read up to here; then it has to wait.
constexpr std::size_t kMaxEarlyBytes = 64 << 10;
constexpr std::size_t kWriteBytes =
    256 << 10;                      // each part of an answer has the write timeout for itself
constexpr auto kIdleTimeout = 75s;  // between requests
constexpr auto kBodyTimeout = 120s;
constexpr auto kWriteTimeout = 30s;
constexpr auto kLingerTimeout = 3s;
/// Bodies up to this size need no share of the common memory.
constexpr std::size_t kSmallBody = 1 << 20;
/// Parsing and tokenizing larger ones takes more than some milliseconds.
constexpr std::size_t kLargeBody = 128 << 10;
constexpr std::size_t kBodyShares = 8;  // full-sized bodies at a time
constexpr int kLoadingRetrySeconds = 5;

/// Errors: ApiError 415.
void check_content_type(std::string_view type) {
  // Web pages of strangers can make a browser send anything but this without asking first.
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  if (!beast::iequals(type, "application/json"))
    throw ApiError(415, "send the request with the header \"Content-Type: application/json\"");
}

/// What a worker makes of a request. Written by the worker until `done`, then read by the I/O
/// thread.
struct Job {
  std::string body;
  std::unique_ptr<Exchange> exchange;
  std::exception_ptr error;
  std::atomic<bool> done = false;
};

/// Clients' text without what could forge log lines or drive a terminal.
std::string printable(std::string_view text, std::size_t limit) {
  std::string result(text.substr(0, limit));
  for (char& c : result)
    if (std::uint8_t(c) < 0x20 || c == 0x7f) c = ' ';
  return result;
}

/// Errors: ApiError 415.
void check_content_encoding(std::string_view encoding) {
  if (!encoding.empty() && !beast::iequals(encoding, "identity"))
    throw ApiError(415,
                   fmt::format("Content-Encoding '{}' is not understood; send the body as it is",
                               printable(encoding, 40)));
}

bool is_http_error(boost::system::error_code error) {
  return error.category() == http::make_error_code(http::error::bad_method).category();
}

/// The page's relative links need the slash that people leave out.
Route redirect(std::string location) {
  return {.tell =
              [location = std::move(location)](const ServerState&) {
                return Response{.status = 308,
                                .content_type = "text/plain",
                                .headers = {{"Location", location}}};
              },
          .open = true};
}

/// Whether the client has this response already, by its ETag.
bool is_known(const Response& response, std::string_view if_none_match) {
  if (if_none_match.empty() || response.status != 200) return false;
  return std::any_of(response.headers.begin(), response.headers.end(), [&](const auto& field) {
    return field.first == "ETag" && matches_etag(if_none_match, field.second);
  });
}

}  // namespace

/// Counts a body against what all bodies together may take.
class Connection::BodyShare {
 public:
  BodyShare(Host& host, std::size_t bytes) : host_(host), bytes_(bytes > kSmallBody ? bytes : 0) {
    if (bytes_ > 0 && host.body_bytes + bytes_ > kBodyShares * host.options.max_body_bytes)
      throw ApiError(503, "too many large requests at a time; try again later")
          .with_header("Retry-After", "1");
    host_.body_bytes += bytes_;
  }
  ~BodyShare() { host_.body_bytes -= bytes_; }
  BodyShare(const BodyShare&) = delete;
  BodyShare& operator=(const BodyShare&) = delete;

 private:
  Host& host_;
  std::size_t bytes_;
};

Connection::Connection(Host& host, asio::ip::tcp::socket socket)
    : host_(host),
      stream_(std::move(socket)),
      buffer_(kMaxBufferBytes),
      event_(host.io, asio::steady_timer::time_point::max()),
      silence_(host.io) {
  boost::system::error_code ignored;
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  host_.connections.insert(this);
}

Connection::~Connection() {
  host_.connections.erase(this);
  if (host_.on_connection_closed) host_.on_connection_closed();
}

asio::awaitable<void> Connection::run() {
  try {
    while (co_await serve_one()) {
    }
  } catch (const std::exception& error) {
    log_error("server", "a connection failed: {}", error.what());
  }
  co_await stop_watching();
  close();
}

void Connection::close_if_idle() {
  if (idle_) close();
}

void Connection::cancel() {
  cancelled_ = true;
  if (exchange_) exchange_->cancel();
}

void Connection::close() { stream_.close(); }

/// Until the first byte of the next request is there; false if none will come.
asio::awaitable<bool> Connection::wait_for_request() {
  if (buffer_.size() > 0) co_return true;
  stream_.expires_after(kIdleTimeout);
  idle_ = true;
  const auto [error, bytes] = co_await stream_.async_read_some(buffer_.prepare(4096), kTuple);
  idle_ = false;
  buffer_.commit(bytes);
  co_return !error;
}

asio::awaitable<bool> Connection::serve_one() {
  if (!co_await wait_for_request()) co_return false;
  Parser parser;
  parser.header_limit(kMaxHeaderBytes);
  parser.body_limit(host_.options.max_body_bytes);
  stream_.expires_after(std::chrono::seconds(host_.options.header_seconds));
  const auto [error, bytes] = co_await http::async_read_header(stream_, buffer_, parser, kTuple);
  begin(parser);
  if (error) co_return co_await refuse_unreadable(error, parser);
  std::optional<ApiError> refusal;
  Route route;
  try {
    route = route_of(parser);
  } catch (...) {
    refusal = to_api_error(std::current_exception());
  }
  if (refusal) {
    // The body is not read for this, so that nothing can follow.
    if (!parser.is_done()) current_.keep_alive = false;
    co_return co_await send_error(*refusal);
  }
  co_return co_await serve(parser, std::move(route));
}

asio::awaitable<bool> Connection::serve(Parser& parser, Route route) {
  std::optional<ApiError> refusal;
  std::optional<BodyShare> share;
  try {
    const auto length = parser.content_length();
    share.emplace(host_, length             ? std::size_t(*length)
                         : parser.chunked() ? host_.options.max_body_bytes
                                            : 0);
  } catch (...) {
    refusal = to_api_error(std::current_exception());
    current_.keep_alive = false;
  }
  if (refusal) co_return co_await send_error(*refusal);
  if (!parser.is_done() && !co_await read_body(parser)) co_return false;
  co_return co_await answer(route, std::move(parser.get().body()));
}

void Connection::begin(const Parser& parser) {
  current_ = {};
  current_.begin = std::chrono::steady_clock::now();
  const auto& request = parser.get();
  current_.method = std::string(request.method_string());
  current_.target = std::string(request.target());
  current_.id = request_id({});
  current_.origin = std::string(request[http::field::origin]);
  current_.if_none_match = std::string(request[http::field::if_none_match]);
  current_.trace = read_trace_context(request["traceparent"], request["tracestate"]);
  current_.error_form = error_form(without_root(current_.target, host_.options.root_path));
  current_.chunked = request.version() >= 11;
  current_.keep_alive = request.keep_alive() && !host_.stopping;
}

/// Where the request goes, if its header allows it. Errors: ApiError 400, 401, 403, 404, 405, 415,
/// 503 while the model is loaded.
Route Connection::route_of(const Parser& parser) {
  const auto& request = parser.get();
  current_.id = request_id(request["X-Request-Id"]);
  if (current_.method == "OPTIONS" && !current_.origin.empty()) {
    const Preflight preflight{.origin = current_.origin,
                              .method = request[http::field::access_control_request_method],
                              .headers = request[http::field::access_control_request_headers]};
    return {.tell = [response = answer_preflight(host_.options.cors, preflight)](
                        const ServerState&) { return response; }};
  }
  const std::string& root = host_.options.root_path;
  if (!root.empty() && current_.target == root) return redirect(root + "/");
  Route route = find_route(current_.method, without_root(current_.target, host_.options.root_path));
  current_.probe = route.open;
  if (!route.open)
    check_key(host_.options.api_keys, request[http::field::authorization], request["x-api-key"]);
  if (route.handle) {
    check_content_type(request[http::field::content_type]);
    check_content_encoding(request[http::field::content_encoding]);
  }
  if (!route.tell && !host_.service)
    throw ApiError(503, "the model is still loading; /ready tells when it is there", {},
                   "model_loading")
        .with_header("Retry-After", std::to_string(kLoadingRetrySeconds));
  return route;
}

/// The status line and the fields that every answer has.
std::string Connection::head(int status, std::string_view content_type) const {
  std::string text = fmt::format(
      "HTTP/1.1 {} {}\r\nServer: isotope\r\nContent-Type: {}\r\n"
      "X-Content-Type-Options: nosniff\r\nX-Request-Id: {}\r\n",
      status, reason_phrase(status), content_type, current_.id);
  // Anthropic's clients look for theirs.
  if (current_.error_form == ErrorForm::anthropic)
    text += fmt::format("request-id: {}\r\n", current_.id);
  if (current_.trace) text += fmt::format("traceresponse: {}\r\n", current_.trace->response());
  for (const auto& [name, value] : cors_headers(host_.options.cors, current_.origin))
    text += fmt::format("{}: {}\r\n", name, value);
  return text;
}

asio::awaitable<bool> Connection::refuse_unreadable(boost::system::error_code error,
                                                    const Parser& parser) {
  current_.keep_alive = false;
  const bool started = parser.got_some();
  if (error == http::error::body_limit)
    co_return co_await send_error(
        ApiError(413, fmt::format("body: larger than {} bytes", host_.options.max_body_bytes)));
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    co_return co_await send_error(
        ApiError(431, fmt::format("the header is larger than {} bytes", kMaxHeaderBytes)));
  // Everything else that the parser says about a request; the rest is the network's end.
  if (started && is_http_error(error) && error != http::error::end_of_stream &&
      error != http::error::partial_message)
    co_return co_await send_error(
        ApiError(400, fmt::format("not a valid HTTP request: {}", error.message())));
  co_return false;
}

asio::awaitable<bool> Connection::read_body(Parser& parser) {
  if (beast::iequals(parser.get()[http::field::expect], "100-continue"))
    if (!co_await write("HTTP/1.1 100 Continue\r\n\r\n")) co_return false;
  stream_.expires_after(kBodyTimeout);
  const auto [error, bytes] = co_await http::async_read(stream_, buffer_, parser, kTuple);
  if (error) co_return co_await refuse_unreadable(error, parser);
  co_return true;
}

asio::awaitable<bool> Connection::answer(const Route& route, std::string body) {
  std::optional<ApiError> refusal;
  Response shown;
  if (!route.handle) {
    try {
      shown = route.tell ? route.tell(host_.state) : route.show(*host_.service);
    } catch (...) {
      refusal = to_api_error(std::current_exception());
    }
    if (refusal) co_return co_await send_error(*refusal);
    if (is_known(shown, current_.if_none_match)) shown.status = 304;
    co_return co_await send(shown);
  }
  if (host_.stopping) co_return co_await send_error(ApiError(503, "the server is shutting down"));
  const auto job = std::make_shared<Job>();
  job->body = std::move(body);
  const bool large = job->body.size() > kLargeBody;
  asio::post(
      large ? host_.large_body_workers : host_.workers,
      [job, handle = route.handle, &service = *host_.service, id = current_.id, wake = waker()] {
        try {
          job->exchange = handle({service, job->body, id});
        } catch (...) {
          job->error = std::current_exception();
        }
        job->body = {};
        job->done.store(true, std::memory_order_release);
        wake();
      });
  watch_peer();
  while (!job->done.load(std::memory_order_acquire)) co_await wait();
  if (job->error) co_return co_await send_error(to_api_error(job->error));
  // Whatever way this ends, what still runs for it ends with it.
  const std::unique_ptr<Exchange> exchange_owner = std::move(job->exchange);
  co_return co_await exchange(*exchange_owner);
}

asio::awaitable<bool> Connection::exchange(Exchange& exchange) {
  struct Registration {
    Exchange*& slot;
    ~Registration() { slot = nullptr; }
  } const registration{exchange_ = &exchange};
  exchange.on_ready(waker());
  if (cancelled_) exchange.cancel();
  if (exchange.streams()) co_return co_await send_stream(exchange);
  for (;;) {
    if (peer_gone_) {
      log(499, exchange.log_fields());
      co_return false;
    }
    std::optional<ApiError> failure;
    std::optional<Response> response;
    try {
      response = exchange.response();
    } catch (...) {
      failure = to_api_error(std::current_exception());
    }
    if (failure) co_return co_await send_error(*failure);
    if (response) co_return co_await send(*response, exchange.log_fields());
    co_await wait();
  }
}

asio::awaitable<bool> Connection::send_stream(Exchange& exchange) {
  std::string start = head(200, "text/event-stream; charset=utf-8") +
                      "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";
  // Before HTTP/1.1 the end of the connection is the end of the stream.
  if (!current_.chunked) current_.keep_alive = false;
  if (current_.chunked) start += "Transfer-Encoding: chunked\r\n";
  if (!current_.keep_alive) start += "Connection: close\r\n";
  unsent_ = start + "\r\n";
  write_failed_ = false;
  begin_silence();
  json::object ending;
  bool last = false;
  for (;;) {
    if (!last) {
      const StreamPart part = exchange.next();
      last = part.last;
      append_chunk(part);
      if (ping_due_ && !writing_ && unsent_.empty())
        append_chunk({.bytes = std::string(exchange.ping())});
    }
    flush();
    if (last && !writing_) break;
    if (peer_gone_ || write_failed_) break;
    if (unsent_.size() > host_.options.max_stream_buffer) {
      host_.service->model.stats->note_slow_reader();
      ending["error"] = fmt::format("the client has left {} bytes unread", unsent_.size());
      break;
    }
    co_await wait();
  }
  silence_.cancel();
  // A client may go away as soon as it has everything.
  const bool sent = last && !writing_ && !write_failed_ && unsent_.empty();
  for (const auto& [key, value] : exchange.log_fields()) ending[key] = value;
  log(sent ? 200 : 499, ending);
  co_await stop_writing();
  if (!sent || peer_gone_) co_return false;
  co_await stop_watching();
  co_return current_.keep_alive && !host_.stopping;
}

void Connection::append_chunk(const StreamPart& part) {
  if (!part.bytes.empty()) {
    last_bytes_ = std::chrono::steady_clock::now();
    if (std::exchange(ping_due_, false)) watch_silence();
  }
  if (!current_.chunked) {
    unsent_ += part.bytes;
    return;
  }
  if (!part.bytes.empty()) unsent_ += fmt::format("{:x}\r\n{}\r\n", part.bytes.size(), part.bytes);
  if (part.last) unsent_ += "0\r\n\r\n";
}

void Connection::begin_silence() {
  last_bytes_ = std::chrono::steady_clock::now();
  ping_due_ = false;
  watch_silence();
}

/// Until a stream has said nothing for so long that proxies might take it for dead. Each part only
/// notes its time; the timer goes on from the last.
void Connection::watch_silence() {
  if (host_.options.ping_seconds <= 0) return;
  using Clock = std::chrono::steady_clock;
  const auto longest = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(host_.options.ping_seconds));
  silence_.expires_at(last_bytes_ + longest);
  silence_.async_wait([weak = weak_from_this(), longest](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self) return;
    if (Clock::now() < self->last_bytes_ + longest) return self->watch_silence();
    self->ping_due_ = true;
    self->wake();
  });
}

/// Writes what a stream has to send, beside everything else: answers go on while a client reads
/// slowly.
void Connection::flush() {
  if (writing_ || write_failed_ || unsent_.empty()) return;
  sending_ = unsent_.substr(0, kWriteBytes);
  unsent_.erase(0, kWriteBytes);
  writing_ = true;
  stream_.expires_after(kWriteTimeout);
  asio::async_write(stream_, asio::buffer(sending_),
                    [self = shared_from_this()](boost::system::error_code error, std::size_t) {
                      self->writing_ = false;
                      self->write_failed_ = bool(error);
                      self->wake();
                    });
}

asio::awaitable<void> Connection::stop_writing() {
  while (writing_) {
    stream_.cancel();
    co_await wait();
  }
  unsent_ = sending_ = {};
}

asio::awaitable<bool> Connection::send(const Response& response, json::object log_fields) {
  log(response.status, log_fields);
  const bool keep_alive = current_.keep_alive && !host_.stopping;
  std::string bytes = head(response.status, response.content_type);
  for (const auto& [name, value] : response.headers)
    bytes += fmt::format("{}: {}\r\n", name, value);
  bytes += fmt::format("Content-Length: {}\r\n", response.body.size());
  bytes += keep_alive ? "\r\n" : "Connection: close\r\n\r\n";
  if (current_.method != "HEAD" && response.status != 304) bytes += response.body;
  const bool sent = co_await write(bytes);
  co_await stop_watching();
  if (sent && !keep_alive) co_await linger();
  co_return sent&& keep_alive;
}

asio::awaitable<bool> Connection::send_error(ApiError error) {
  const Response response{.status = error.status(),
                          .body = error_body(error, current_.error_form, current_.id),
                          .headers = error.headers()};
  json::object fields;
  fields["error"] = printable(error.what(), 300);
  co_return co_await send(response, std::move(fields));
}

asio::awaitable<bool> Connection::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, kWriteBytes);
    stream_.expires_after(kWriteTimeout);
    const auto [error, written] =
        co_await asio::async_write(stream_, asio::buffer(part.data(), part.size()), kTuple);
    if (error) co_return false;
    bytes.remove_prefix(written);
  }
  co_return true;
}

/// Reads what the client still sends before closing: closing with unread data would reset the
/// connection and could take the answer away from the client.
asio::awaitable<void> Connection::linger() {
  boost::system::error_code ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  stream_.expires_after(kLingerTimeout);
  buffer_.clear();
  for (std::size_t total = 0; total < 2 * host_.options.max_body_bytes;) {
    const auto [error, bytes] = co_await stream_.async_read_some(buffer_.prepare(64 << 10), kTuple);
    if (error) co_return;
    total += bytes;
  }
}

void Connection::log(int status, const json::object& fields) const {
  const auto elapsed = std::chrono::steady_clock::now() - current_.begin;
  const auto level = current_.probe && status < 400 ? LogLevel::debug : LogLevel::info;
  if (level < log_level()) return;
  json::object all{{"status", status},
                   {"ms", std::chrono::duration<double, std::milli>(elapsed).count()},
                   {"request_id", current_.id}};
  if (current_.trace) {
    all["trace_id"] = current_.trace->trace_id;
    all["span_id"] = current_.trace->span_id;
    all["parent_span_id"] = current_.trace->parent_id;
    if (!current_.trace->state.empty()) all["tracestate"] = current_.trace->state;
  }
  for (const auto& [key, value] : fields) all[key] = value;
  log_event(level, "server",
            fmt::format("{} {}", printable(current_.method, 20), printable(current_.target, 100)),
            all);
}

/// A function for other threads. Calls that come before the I/O thread has seen the last one are
/// merged.
std::function<void()> Connection::waker() {
  return [weak = weak_from_this(), &io = host_.io,
          posted = std::make_shared<std::atomic<bool>>(false)] {
    if (posted->exchange(true)) return;
    asio::post(io, [weak, posted] {
      posted->store(false);
      if (const auto self = weak.lock()) self->wake();
    });
  };
}

void Connection::wake() {
  signalled_ = true;
  event_.cancel();
}

asio::awaitable<void> Connection::wait() {
  while (!signalled_) co_await event_.async_wait(kTuple);
  signalled_ = false;
}

/// Reads ahead while an answer is under way: that is how the end of the client shows.
void Connection::watch_peer() {
  if (watching_ || peer_gone_ || buffer_.size() >= kMaxEarlyBytes) return;
  watching_ = true;
  stream_.expires_never();
  stream_.async_read_some(
      buffer_.prepare(4096),
      [self = shared_from_this()](boost::system::error_code error, std::size_t bytes) {
        self->watching_ = false;
        self->buffer_.commit(bytes);
        if (!error) {
          self->watch_peer();
        } else if (error != asio::error::operation_aborted) {
          self->peer_gone_ = true;
        }
        self->wake();
      });
}

asio::awaitable<void> Connection::stop_watching() {
  while (watching_) {
    stream_.cancel();
    co_await wait();
  }
  if (peer_gone_) close();
}

}  // namespace isotope::server
