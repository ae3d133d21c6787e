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

/// One sample with its description, as Prometheus' text format wants it.
void put_metric(std::string& out, std::string_view type, std::string_view name,
                std::string_view help, const std::string& model, double value) {
  out += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n{0}{{model_name=\"{3}\"}} {4}\n", name, help,
                     type, model, value);
}

/// Escapes what a label value may not hold.
std::string label(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\n') {
      result += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result;
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

Response show_health(const Service&) { return {.body = R"({"status":"ok"})"}; }

Response show_version(const Service& service) {
  return {.body = json::serialize(json::object{{"version", service.version}})};
}

Response show_metrics(const Service& service) {
  const engine::EngineStats stats = service.model.engine->stats();
  const std::string model = label(service.limits.names.front());
  std::string body;
  const auto gauge = [&](std::string_view name, std::string_view help, double value) {
    put_metric(body, "gauge", name, help, model, value);
  };
  const auto counter = [&](std::string_view name, std::string_view help, std::uint64_t value) {
    put_metric(body, "counter", name, help, model, double(value));
  };
  const double blocks = double(std::max<std::int64_t>(stats.kv_blocks_total, 1));
  gauge("vllm:num_requests_running", "Requests in the batch.", double(stats.running));
  gauge("vllm:num_requests_waiting", "Requests waiting to be scheduled.", double(stats.waiting));
  gauge("vllm:kv_cache_usage_perc", "KV blocks in use (1 = all).",
        double(stats.kv_blocks_held) / blocks);
  counter("vllm:prompt_tokens_total", "Prompt tokens, computed or cached.",
          stats.prompt_tokens_computed + stats.prompt_tokens_cached);
  counter("vllm:generation_tokens_total", "Tokens generated.", stats.generated_tokens);
  counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.",
          stats.prompt_tokens_computed + stats.prompt_tokens_cached);
  counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.",
          stats.prompt_tokens_cached);
  counter("vllm:num_preemptions_total", "Requests preempted for lack of KV blocks.",
          stats.preemptions);
  counter("isotope:requests_submitted_total", "Requests submitted.", stats.requests_submitted);
  counter("isotope:requests_finished_total", "Requests finished.", stats.requests_finished);
  counter("isotope:requests_cancelled_total", "Requests cancelled.", stats.requests_cancelled);
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = std::move(body)};
}

}  // namespace isotope::server
