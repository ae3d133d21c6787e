// The endpoints that tell about the server itself.
#include <fmt/chrono.h>

#include <boost/json/serialize.hpp>

#include "server/endpoints.h"
#include "server/request_fields.h"

namespace isotope::server {
namespace {

/// OpenAI's fields, vLLM's, and those that Anthropic's clients look for.
json::object model_card(const Service& service, std::string_view name) {
  json::object card;
  card["id"] = name;
  card["object"] = "model";
  card["created"] = service.started;
  card["owned_by"] = "isotope";
  card["root"] = service.model.root;
  card["parent"] = nullptr;
  card["max_model_len"] = service.limits.context_tokens;
  card["type"] = "model";
  card["display_name"] = name;
  card["created_at"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(service.started));
  return card;
}

}  // namespace

Response list_models(const Service& service) {
  json::array cards;
  for (const std::string& name : service.limits.names) cards.push_back(model_card(service, name));
  const json::object body{{"object", "list"},
                          {"data", std::move(cards)},
                          {"first_id", service.limits.names.front()},
                          {"last_id", service.limits.names.back()},
                          {"has_more", false}};
  return {.body = json::serialize(body)};
}

Response show_model(const Service& service, std::string_view name) {
  check_model(name, service.limits);
  return {.body = json::serialize(model_card(service, name))};
}

Response show_health(const ServerState&) { return {.body = R"({"status":"ok"})"}; }

Response show_ready(const ServerState& state) {
  switch (state.phase) {
    case ServerState::Phase::loading:
      return {.status = 503, .body = R"({"status":"loading"})"};
    case ServerState::Phase::serving:
      return {.body = R"({"status":"ready"})"};
    case ServerState::Phase::draining:
      break;
  }
  return {.status = 503, .body = R"({"status":"shutting down"})"};
}

Response show_version(const ServerState& state) {
  return {.body = json::serialize(json::object{{"version", state.version}})};
}

}  // namespace isotope::server
