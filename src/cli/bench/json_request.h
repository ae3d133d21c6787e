// Exchanges with a server whose answers are JSON, each as a whole.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "cli/bench/http_client.h"

namespace isotope::cli {

/// What is asked, of the server that `url` names.
struct JsonRequest {
  std::string_view method, endpoint, body;
  std::string_view advice = {};  ///< what to do if it fails, for the error; may be empty
};

/// Sends it and reads the answer. The arguments must outlive it. Errors, which name method and URL:
/// unavailable if no answer came or its status is not 200, corrupt_data if it is no JSON or too
/// long.
asio::awaitable<json::value> request_json(HttpClient& client, const Url& url,
                                          const JsonRequest& request);

/// Sends it and waits for the answer.
json::value await_json(asio::io_context& io, HttpClient& client, const Url& url,
                       const JsonRequest& request);

/// Runs `work`, which asks through `client`, to its end. The first exception interrupts all of it
/// and is thrown on.
void run_exchanges(asio::io_context& io, HttpClient& client,
                   std::vector<asio::awaitable<void>> work);

/// One of those that a server lists.
struct ListedModel {
  std::string id;
  std::int64_t max_model_len = 0;  ///< 0: the server does not say
};

/// Asks GET /v1/models for the model `name`, or for the first if that is empty. A name that is not
/// listed may be an alias, and is kept. Errors: as request_json, and unavailable if none is listed.
ListedModel find_listed_model(const Url& url, const HttpClient::Options& options,
                              std::string_view name);

}  // namespace isotope::cli
