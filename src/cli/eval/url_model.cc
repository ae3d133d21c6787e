#include "cli/eval/url_model.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "base/error.h"
#include "cli/bench/json_request.h"

namespace isotope::cli {
namespace {

/// The first of "choices".
const json::value& first_choice(const JsonFields& body) {
  const json::value* choices = body.find("choices");
  if (!choices || !choices->is_array() || choices->get_array().empty())
    fail(ErrorCode::corrupt_data, "{}: holds no choices", body.name());
  return choices->get_array().front();
}

Completion read_completion(const json::value& answer) {
  const JsonFields body(answer, "/v1/completions");
  const JsonFields choice(first_choice(body), "/v1/completions: choices[0]");
  constexpr std::int64_t kMax = std::int64_t(1) << 40;
  Completion result{choice.string("text"), choice.string("finish_reason", "")};
  if (body.has("usage")) {
    const JsonFields usage = body.child("usage");
    result.prompt_tokens = usage.integer("prompt_tokens", 0, kMax, 0);
    result.completion_tokens = usage.integer("completion_tokens", 0, kMax, 0);
  }
  return result;
}

/// vLLM's prompt_logprobs: null, then {"token id": {"logprob": …}} for each token.
std::vector<double> read_prompt_logprobs(const json::value& answer,
                                         const std::vector<TokenId>& tokens) {
  const JsonFields choice(first_choice(JsonFields(answer, "/v1/completions")),
                          "/v1/completions: choices[0]");
  const json::value* entries = choice.find("prompt_logprobs");
  if (!entries || !entries->is_array())
    fail(ErrorCode::unsupported,
         "the server gives no prompt_logprobs (a field of vLLM's and of this program's "
         "/v1/completions), which perplexity needs; evaluate with --model DIR instead");
  const json::array& list = entries->get_array();
  if (list.size() != tokens.size())
    fail(ErrorCode::corrupt_data, "the server gives prompt_logprobs for {} of {} tokens",
         list.size(), tokens.size());
  std::vector<double> result(tokens.size());
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    const JsonFields entry(list[i], fmt::format("prompt_logprobs[{}]", i));
    result[i] = entry.child(std::to_string(tokens[i])).number("logprob", -1e6, 0.01);
  }
  return result;
}

class UrlModel final : public EvaluatedModel {
 public:
  explicit UrlModel(const UrlModelOptions& options)
      : options_(options),
        url_(parse_url(options.base_url)),
        http_{.api_key = options.api_key, .silence = std::chrono::seconds(options.timeout_seconds)},
        model_(find_listed_model(url_, http_, options.model)),
        client_(io_, url_, http_) {}

  json::object describe() const override {
    return {{"model", model_.id}, {"by", options_.base_url}};
  }

  std::int64_t max_model_len() const override { return model_.max_model_len; }

  void complete(const std::vector<std::string>& prompts, const CompletionSettings& settings,
                const Completed& done) override {
    const auto body = [&](std::size_t i) {
      return json::object{{"model", model_.id},
                          {"prompt", prompts[i]},
                          {"max_tokens", settings.max_tokens},
                          {"temperature", 0},
                          {"stop", json::array(settings.stop.begin(), settings.stop.end())},
                          {"seed", 1234}};
    };
    post_all(prompts.size(), body,
             [&](std::size_t i, const json::value& answer) { done(i, read_completion(answer)); });
  }

  std::vector<TokenId> encode(const std::string& text, bool add_special_tokens) override {
    const std::string body = json::serialize(json::object{
        {"model", model_.id}, {"prompt", text}, {"add_special_tokens", add_special_tokens}});
    const JsonRequest request{.method = "POST",
                              .endpoint = "/tokenize",
                              .body = body,
                              .advice = "perplexity needs this endpoint, or --model DIR"};
    const json::value answer = await_json(io_, client_, url_, request);
    const JsonFields fields(answer, "/tokenize");
    const json::value* tokens = fields.find("tokens");
    if (!tokens || !tokens->is_array()) fields.missing("tokens");
    std::vector<TokenId> ids;
    for (const json::value& token : tokens->get_array()) {
      if (!token.is_int64() || token.get_int64() < 0 || token.get_int64() > INT32_MAX)
        fields.wrong("tokens", token, "token ids");
      ids.push_back(TokenId(token.get_int64()));
    }
    return ids;
  }

  void score(const std::vector<std::vector<TokenId>>& sequences, const Scored& done) override {
    const auto body = [&](std::size_t i) {
      // Servers differ in whether they can generate nothing; one token is right everywhere.
      return json::object{{"model", model_.id},
                          {"prompt", json::array(sequences[i].begin(), sequences[i].end())},
                          {"max_tokens", 1},
                          {"temperature", 0},
                          {"prompt_logprobs", 0}};
    };
    post_all(sequences.size(), body, [&](std::size_t i, const json::value& answer) {
      done(i, read_prompt_logprobs(answer, sequences[i]));
    });
  }

 private:
  /// POSTs `body(i)` for all i < count, so many at a time as was asked for. The first failure ends
  /// all.
  void post_all(std::size_t count, const std::function<json::object(std::size_t)>& body,
                const std::function<void(std::size_t, const json::value&)>& done) {
    std::size_t next = 0;
    const auto work = [&]() -> asio::awaitable<void> {
      while (next < count) {
        const std::size_t i = next++;
        // In steps of their own: GCC 12 frees a temporary of a co_await's argument twice.
        const std::string text = json::serialize(body(i));
        const JsonRequest request{.method = "POST", .endpoint = "/v1/completions", .body = text};
        const json::value answer = co_await request_json(client_, url_, request);
        done(i, answer);
      }
    };
    std::vector<asio::awaitable<void>> workers;
    for (std::size_t k = 0; k < std::min(count, std::size_t(options_.concurrency)); ++k)
      workers.push_back(work());
    run_exchanges(io_, client_, std::move(workers));
  }

  UrlModelOptions options_;
  Url url_;
  HttpClient::Options http_;
  ListedModel model_;
  asio::io_context io_;
  HttpClient client_;
};

}  // namespace

std::unique_ptr<EvaluatedModel> open_url_model(const UrlModelOptions& options) {
  return std::make_unique<UrlModel>(options);
}

}  // namespace isotope::cli
