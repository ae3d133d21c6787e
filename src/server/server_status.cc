// GET /v1/status: what the chat page shows of the server, in one request.
#include <boost/json/serialize.hpp>

#include "server/api_error.h"
#include "server/endpoints.h"
#include "server/web_page.h"

namespace isotope::server {
namespace {

/// What requests get that are silent about sampling.
json::object defaults(const engine::SamplingParams& sampling) {
  return {{"temperature", sampling.temperature},
          {"top_p", sampling.top_p},
          {"top_k", sampling.top_k},
          {"min_p", sampling.min_p}};
}

}  // namespace

Response show_status(const Service& service) {
  const engine::EngineInfo& info = service.model.engine->info();
  const engine::EngineStats stats = service.model.engine->stats();
  json::array names;
  for (const std::string& name : service.limits.names) names.emplace_back(name);
  const json::object body{
      {"object", "status"},
      {"models", std::move(names)},
      {"version", service.state.version},
      {"family", info.family},
      {"device", info.device},
      {"max_model_len", service.limits.context_tokens},
      {"default_sampling", defaults(service.limits.default_sampling)},
      {"thinking_switch", service.thinking_switch},
      {"kv_cache", json::object{{"tokens_total", info.num_kv_blocks * info.block_size},
                                {"tokens_held", stats.kv_blocks_held * info.block_size}}},
      {"requests", json::object{{"running", stats.running}, {"waiting", stats.waiting}}},
  };
  return {.body = json::serialize(body), .headers = {{"Cache-Control", "no-store"}}};
}

Response show_web_page(const ServerState& state, std::string_view path) {
  if (!state.web_page)
    throw ApiError(404, "the server was started with --no-web-page; its API is under /v1");
  if (std::optional<Response> file = web_page_file(path)) return *std::move(file);
  throw ApiError(404, fmt::format("the chat page has no {}", path.substr(0, 100)));
}

}  // namespace isotope::server
