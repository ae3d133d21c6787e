// The endpoints. Each takes a request and gives the exchange that answers it, or throws
// ApiError.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "server/answer_fields.h"
#include "server/exchange.h"

namespace isotope::server {

/// What all endpoints know; constant while the server runs.
struct Service {
  ServedModel& model;
  ModelLimits limits;
  std::string version;
  std::string fingerprint;   ///< of what makes equal seeds give equal answers
  std::int64_t started = 0;  ///< Unix time, the model's "created"
  bool web_page = true;
  bool thinking_switch = false;  ///< the chat template heeds enable_thinking
  /// Becomes true when the server takes no more requests.
  const std::atomic<bool>* draining = nullptr;
};

/// A POST, as an endpoint sees it.
struct Call {
  const Service& service;
  std::string_view body;
  std::string_view id;  ///< the client's X-Request-Id, or one that was made for it
};

std::unique_ptr<Exchange> complete(const Call& call);
std::unique_ptr<Exchange> chat(const Call& call);
std::unique_ptr<Exchange> respond(const Call& call);
std::unique_ptr<Exchange> answer_messages(const Call& call);
std::unique_ptr<Exchange> count_message_tokens(const Call& call);
std::unique_ptr<Exchange> tokenize(const Call& call);
std::unique_ptr<Exchange> detokenize(const Call& call);

Response list_models(const Service& service);
/// Errors: ApiError 404 for another name than the served model's.
Response show_model(const Service& service, std::string_view name);
/// What the server has and how busy it is, for the chat page.
Response show_status(const Service& service);
/// Errors: ApiError 404 if there is no such file, or no page.
Response show_web_page(const Service& service, std::string_view path);
/// Whether the process lives; and whether requests should be sent to it.
Response show_health(const Service& service);
Response show_ready(const Service& service);
Response show_version(const Service& service);
/// Prometheus text with vLLM's names.
Response show_metrics(const Service& service);

}  // namespace isotope::server
