#include "cli/bench/json_request.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/json/array.hpp>
#include <exception>

#include "base/error.h"
#include "cli/bench/answer_event.h"

namespace isotope::cli {
namespace {

/// Much longer than the log-probabilities of the longest context.
constexpr std::size_t kMaxBytes = std::size_t(64) << 20;

/// An answer as a whole.
class WholeAnswer final : public ResponseSink {
 public:
  void head(int status, std::string_view, std::string_view) override { status_ = status; }
  void body(std::string_view bytes, Clock::time_point) override {
    if (bytes.size() > kMaxBytes - text_.size())
      fail(ErrorCode::corrupt_data, "the answer exceeds {} MiB", kMaxBytes >> 20);
    text_ += bytes;
  }
  int status() const { return status_; }
  const std::string& text() const { return text_; }

 private:
  int status_ = 0;
  std::string text_;
};

}  // namespace

asio::awaitable<json::value> request_json(HttpClient& client, const Url& url,
                                          const JsonRequest& request) {
  WholeAnswer answer;
  const std::string target = join_target(url, request.endpoint);
  const std::string wrong = co_await client.exchange(request.method, target, request.body, answer);
  const std::string where = fmt::format("{} http://{}{}", request.method, url.authority(), target);
  const std::string advice = request.advice.empty() ? "" : fmt::format("; {}", request.advice);
  if (!wrong.empty()) fail(ErrorCode::unavailable, "{}: {}{}", where, wrong, advice);
  if (answer.status() != 200)
    fail(ErrorCode::unavailable, "{}: HTTP {}: {}{}", where, answer.status(),
         error_message(answer.text()), advice);
  co_return parse_json(answer.text(), where);
}

json::value await_json(asio::io_context& io, HttpClient& client, const Url& url,
                       const JsonRequest& request) {
  json::value answer;
  const auto ask = [&]() -> asio::awaitable<void> {
    answer = co_await request_json(client, url, request);
  };
  std::vector<asio::awaitable<void>> work;
  work.push_back(ask());
  run_exchanges(io, client, std::move(work));
  return answer;
}

void run_exchanges(asio::io_context& io, HttpClient& client,
                   std::vector<asio::awaitable<void>> work) {
  if (work.empty()) return;
  std::exception_ptr failure;
  std::size_t left = work.size();
  for (asio::awaitable<void>& part : work)
    asio::co_spawn(io, std::move(part), [&](std::exception_ptr error) {
      if (error && !failure) {
        failure = error;
        client.interrupt();
      }
      if (--left == 0) client.stop_watching();
    });
  asio::co_spawn(io, client.watch(), asio::detached);
  io.restart();
  io.run();
  if (failure) std::rethrow_exception(failure);
}

ListedModel find_listed_model(const Url& url, const HttpClient::Options& options,
                              std::string_view name) {
  asio::io_context io(1);
  HttpClient client(io, url, options);
  const JsonRequest request{.method = "GET",
                            .endpoint = "/v1/models",
                            .body = "",
                            .advice = "does the server run, and speak OpenAI's protocol?"};
  const json::value answer = await_json(io, client, url, request);
  const JsonFields body(answer, "/v1/models");
  const json::value* models = body.find("data");
  if (!models || !models->is_array()) body.missing("data");
  for (const json::value& value : models->get_array()) {
    const JsonFields model(value, "/v1/models: data");
    const std::string id = model.string("id");
    if (name.empty() || id == name) return {id, model.integer("max_model_len", 1, INT64_MAX, 0)};
  }
  if (name.empty())
    fail(ErrorCode::unavailable, "http://{}: lists no model; name one by --model", url.authority());
  return {std::string(name), 0};
}

}  // namespace isotope::cli
