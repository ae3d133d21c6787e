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

/// What there is to tell with or without a model.
struct ServerState {
  enum class Phase { loading, serving, draining };
  std::string version;
  bool web_page = true;
  std::atomic<Phase> phase = Phase::loading;
};

/// What all endpoints know once the model is loaded; constant from then on.
struct Service {
  ServedModel& model;
  const ServerState& state;
  ModelLimits limits;
  std::string fingerprint;       ///< of what makes equal seeds give equal answers
  std::int64_t started = 0;      ///< Unix time, the model's "created"
  bool thinking_switch = false;  ///< the chat template heeds enable_thinking
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
/// Prometheus text with vLLM's names.
Response show_metrics(const Service& service);

/// Errors: ApiError 404 if there is no such file, or no page.
Response show_web_page(const ServerState& state, std::string_view path);
/// Whether the process lives; and whether requests should be sent to it.
Response show_health(const ServerState& state);
Response show_ready(const ServerState& state);
Response show_version(const ServerState& state);

}  // namespace isotope::server
