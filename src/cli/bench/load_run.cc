#include "cli/bench/load_run.h"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>

#include "base/error.h"
#include "cli/bench/answer_stream.h"
#include "cli/bench/statistics.h"

namespace isotope::cli {
namespace {

using namespace std::chrono_literals;
using Clock = ResponseSink::Clock;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr auto kProbeInterval = 5ms;
constexpr auto kProgressInterval = 100ms;

/// An exception in a coroutine here is a bug or a lack of memory: it ends run().
constexpr auto kRethrow = [](std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
};

/// Every stream is a connection; the usual limit is 1024 of them.
void allow_many_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// One run, on one thread: everything below happens in run().
class LoadRun {
 public:
  LoadRun(const LoadOptions& options, const std::vector<std::string>& bodies,
          const std::vector<double>& due)
      : options_(options),
        bodies_(bodies),
        due_(due),
        client_(io_, options.url, options.http),
        target_(join_target(options.url, options.endpoint)),
        wake_(io_),
        probe_timer_(io_),
        progress_timer_(io_),
        signals_(io_, SIGINT) {
    result_.records.resize(bodies.size());
  }

  LoadResult run() {
    began_ = Clock::now();
    signals_.async_wait([this](boost::system::error_code error, int) {
      if (!error) interrupt();
    });
    asio::co_spawn(io_, send_all(), kRethrow);
    asio::co_spawn(io_, client_.watch(), kRethrow);
    asio::co_spawn(io_, probe(), kRethrow);
    asio::co_spawn(io_, show_progress(), kRethrow);
    io_.run();
    std::sort(lags_.begin(), lags_.end());
    if (!lags_.empty()) result_.lag_p99 = percentile(lags_, 99);
    return std::move(result_);
  }

 private:
  double now() const { return std::chrono::duration<double>(Clock::now() - began_).count(); }

  asio::awaitable<void> send_all() {
    for (std::size_t i = 0; i < bodies_.size() && !result_.interrupted; ++i) {
      const auto due = began_ + std::chrono::duration_cast<Clock::duration>(
                                    std::chrono::duration<double>(due_[i]));
      while (Clock::now() < due && !result_.interrupted) {
        wake_.expires_at(due);
        co_await wake_.async_wait(kTuple);
      }
      // Waits for a place: each request that ends wakes this.
      while (is_full() && !result_.interrupted) {
        wake_.expires_at(Clock::time_point::max());
        co_await wake_.async_wait(kTuple);
      }
      if (result_.interrupted) break;
      ++running_;
      asio::co_spawn(io_, send(i), kRethrow);
    }
    all_sent_ = true;
    if (running_ == 0) end();
  }

  bool is_full() const {
    return options_.max_concurrency > 0 && running_ >= options_.max_concurrency;
  }

  asio::awaitable<void> send(std::size_t i) {
    LoadRecord& record = result_.records[i];
    AnswerStream stream(record, began_, options_, tokens_);
    record.due = due_[i];
    record.sent = true;
    record.start = now();
    const std::string wrong = co_await client_.exchange("POST", target_, bodies_[i], stream);
    stream.finish(wrong);
    // What Ctrl-C cut did not fail.
    record.interrupted = result_.interrupted && !record.error.empty();
    --running_;
    ++ended_;
    if (!record.succeeded()) ++failed_;
    wake_.cancel();
    if (all_sent_ && running_ == 0) end();
  }

  void end() {
    if (ended_everything_) return;
    ended_everything_ = true;
    result_.duration = now();
    client_.stop_watching();
    probe_timer_.cancel();
    progress_timer_.cancel();
    signals_.cancel();
  }

  void interrupt() {
    result_.interrupted = true;
    wake_.cancel();
    client_.interrupt();
  }

  /// Wakes up at fixed times and looks how late it is: so late were answers read, too.
  asio::awaitable<void> probe() {
    while (!ended_everything_) {
      const auto due = Clock::now() + kProbeInterval;
      probe_timer_.expires_at(due);
      const auto [error] = co_await probe_timer_.async_wait(kTuple);
      if (!error) lags_.push_back(std::chrono::duration<double>(Clock::now() - due).count());
    }
  }

  asio::awaitable<void> show_progress() {
    while (!ended_everything_ && options_.progress) {
      progress_timer_.expires_after(kProgressInterval);
      co_await progress_timer_.async_wait(kTuple);
      options_.progress(ended_, failed_, running_, tokens_);
    }
  }

  const LoadOptions& options_;
  const std::vector<std::string>& bodies_;
  const std::vector<double>& due_;
  asio::io_context io_{1};
  HttpClient client_;
  std::string target_;
  asio::steady_timer wake_, probe_timer_, progress_timer_;
  asio::signal_set signals_;
  Clock::time_point began_;
  LoadResult result_;
  std::vector<double> lags_;
  std::int64_t running_ = 0, ended_ = 0, failed_ = 0, tokens_ = 0;
  bool all_sent_ = false, ended_everything_ = false;
};

}  // namespace

LoadResult run_load(const LoadOptions& options, const std::vector<std::string>& bodies,
                    const std::vector<double>& due) {
  ISOTOPE_ASSERT(bodies.size() == due.size());
  allow_many_files();
  return LoadRun(options, bodies, due).run();
}

}  // namespace isotope::cli
