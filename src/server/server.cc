#include "server/server.h"

#include <sys/resource.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <csignal>
#include <future>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "base/sha256.h"
#include "server/access.h"
#include "server/connection.h"
#include "server/prompt.h"
#include "server/usage.h"

namespace isotope::server {
namespace {

using asio::ip::tcp;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
/// Threads that parse and tokenize; more would take cores from the engine. Large bodies have one of
/// their own, so that no number of them holds up the small ones.
constexpr std::size_t kWorkers = 2, kLargeBodyWorkers = 1;
/// What a cancelled answer may take to reach its client.
constexpr std::chrono::seconds kFarewell(2);

tcp::acceptor listen(asio::io_context& io, const std::string& host, std::uint16_t port) {
  try {
    const auto endpoints =
        tcp::resolver(io).resolve(host, std::to_string(port), tcp::resolver::passive);
    return tcp::acceptor(io, *endpoints.begin(), /*reuse_addr=*/true);
  } catch (const boost::system::system_error& error) {
    fail(ErrorCode::invalid_argument,
         "cannot listen on {}:{}: {}; choose another --host or --port, or stop what uses it", host,
         port, error.code().message());
  }
}

/// Changes with whatever may change answers: the program, the device, the numbers' formats.
std::string fingerprint_of(const engine::Engine& engine, const std::string& version) {
  const engine::EngineInfo& info = engine.info();
  const std::string parts = fmt::format("{} {} {} {} {}", version, info.family, info.device,
                                        info.kv_dtype, info.weight_bytes);
  return "fp_" + hex(sha256(std::as_bytes(std::span(parts)))).substr(0, 10);
}

/// As many file descriptors as the system lets this process have; the number.
std::int64_t raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = before;
  return std::int64_t(std::min<rlim_t>(limit.rlim_cur, 1 << 30));
}

ServerOptions checked(ServerOptions options) {
  check_cors_options(options.cors);
  options.root_path = normal_root(options.root_path);
  constexpr std::int64_t kOtherDescriptors = 64;  // files, the engine's, those that come and go
  const std::int64_t possible =
      std::max<std::int64_t>(raise_descriptor_limit() - kOtherDescriptors, 1);
  if (possible < options.max_connections) {
    log_warning("server", "at most {} connections, not {}: the limit of open files (ulimit -n)",
                possible, options.max_connections);
    options.max_connections = possible;
  }
  return options;
}

ModelLimits limits_of(const ServedModel& model, const ServerOptions& options) {
  ModelLimits limits = limits_of(model);
  limits.request_timeout = options.request_timeout;
  return limits;
}

/// Lets one warning a second through and counts the others.
class RareWarning {
 public:
  void operator()(std::string_view what) {
    ++count_;
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    log_warning("server", "{} ({} times)", what, count_);
    next_ = now + std::chrono::seconds(1);
    count_ = 0;
  }

 private:
  std::chrono::steady_clock::time_point next_{};
  std::int64_t count_ = 0;
};

}  // namespace

class Server::Impl {
 public:
  explicit Impl(ServerOptions options)
      : options_(checked(std::move(options))),
        host_{.state = state_,
              .options = options_,
              .io = io_,
              .workers = workers_,
              .large_body_workers = large_body_workers_,
              .connections = {},
              .on_connection_closed = [this] { finish_if_done(); }},
        acceptor_(listen(io_, options_.host, options_.port)),
        port_(acceptor_.local_endpoint().port()),
        signals_(io_),
        deadline_(io_),
        workers_(kWorkers),
        large_body_workers_(kLargeBodyWorkers) {
    state_.version = options_.version;
    state_.web_page = options_.web_page;
    asio::co_spawn(io_, accept(), asio::detached);
    io_thread_ = std::async(std::launch::async, [this] { io_.run(); });
  }

  ~Impl() {
    io_.stop();
    if (io_thread_.valid()) io_thread_.wait();
    host_.on_connection_closed = nullptr;
  }

  std::uint16_t port() const { return port_; }

  void begin(ServedModel& model) {
    model.queue = options_.queue;
    service_.emplace(Service{.model = model,
                             .state = state_,
                             .limits = limits_of(model, options_),
                             .fingerprint = fingerprint_of(*model.engine, options_.version),
                             .started = unix_time(),
                             .thinking_switch = has_thinking_switch(model)});
    asio::post(io_, asio::use_future([this] { begin_service(); })).get();
  }

  void run() {
    io_thread_.get();
    workers_.join();
    large_body_workers_.join();
  }

  void stop() {
    asio::post(io_, [this] { begin_stop(); });
  }

 private:
  asio::awaitable<void> accept() {
    while (acceptor_.is_open()) {
      auto [error, socket] = co_await acceptor_.async_accept(kTuple);
      if (error == asio::error::operation_aborted) break;
      if (error) {
        // Out of file descriptors, most likely: time helps.
        accept_failed_("cannot accept a connection: " + error.message());
        asio::steady_timer pause(io_, std::chrono::milliseconds(100));
        co_await pause.async_wait(kTuple);
      } else if (std::int64_t(host_.connections.size()) >= options_.max_connections) {
        refused_(fmt::format("refused a connection: {} are open", options_.max_connections));
        refuse(socket);
      } else {
        const auto connection = std::make_shared<Connection>(host_, std::move(socket));
        asio::co_spawn(
            io_, [connection] { return connection->run(); }, asio::detached);
      }
    }
  }

  /// An answer, if it can be had without waiting.
  static void refuse(tcp::socket& socket) {
    static constexpr std::string_view kAnswer =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n";
    boost::system::error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(kAnswer), ignored);
  }

  void begin_service() {
    host_.service = &*service_;
    state_.phase = ServerState::Phase::serving;
    // Until here they end the process at once, as nothing can interrupt the loading of a model.
    signals_.add(SIGINT);
    signals_.add(SIGTERM);
    wait_for_signal();
  }

  void wait_for_signal() {
    signals_.async_wait(
        [this](boost::system::error_code error, int signal) { on_signal(error, signal); });
  }

  void on_signal(boost::system::error_code error, int signal) {
    if (error) return;
    if (host_.stopping) return cancel_all();  // asked twice: now
    log_info("server", "{}: finishing {} connections within {} s",
             signal == SIGINT ? "SIGINT" : "SIGTERM", host_.connections.size(),
             options_.shutdown_seconds);
    wait_for_signal();
    begin_stop();
  }

  void begin_stop() {
    if (host_.stopping) return;
    host_.stopping = true;
    state_.phase = ServerState::Phase::draining;
    deadline_.expires_after(std::chrono::seconds(options_.shutdown_seconds));
    deadline_.async_wait([this](boost::system::error_code error) {
      if (!error) cancel_all();
    });
    finish_if_done();
  }

  void cancel_all() {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    for (Connection* connection : host_.connections) connection->cancel();
    deadline_.expires_after(kFarewell);
    deadline_.async_wait([this](boost::system::error_code error) {
      if (error) return;
      for (Connection* connection : host_.connections) connection->close();
    });
    finish_if_done();
  }

  /// With the last connection gone nothing is left that would keep run() from returning.
  void finish_if_done() {
    if (!host_.stopping) return;
    // Those that came during shutdown to ask for /ready and then stayed.
    for (Connection* connection : host_.connections) connection->close_if_idle();
    if (!host_.connections.empty()) return;
    deadline_.cancel();
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    signals_.cancel(ignored);
  }

  const ServerOptions options_;
  ServerState state_;
  std::optional<Service> service_;
  Host host_;  // outlives io_, whose destruction ends the connections that are left
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  const std::uint16_t port_;
  asio::signal_set signals_;
  asio::steady_timer deadline_;
  asio::thread_pool workers_, large_body_workers_;
  RareWarning accept_failed_, refused_;
  std::future<void> io_thread_;  // runs io_
};

Server::Server(ServerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Server::~Server() = default;
std::uint16_t Server::port() const { return impl_->port(); }
void Server::begin(ServedModel& model) { impl_->begin(model); }
void Server::run() { impl_->run(); }
void Server::stop() { impl_->stop(); }

}  // namespace isotope::server
