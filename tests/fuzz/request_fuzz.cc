// Any bytes as what a client sends: parsed as HTTP, routed, answered by the endpoint that they
// reach, and the answer taken whole or as a stream. A model of 512 tokens with Qwen3's chat
// template; the engine is a fake (fake_engine.cc).
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/file.h"
#include "base/log.h"
#include "server/access.h"
#include "server/cors.h"
#include "server/endpoints.h"
#include "server/grammar_cache.h"
#include "server/router.h"

namespace {

using namespace isotope;
using namespace isotope::server;
namespace http = boost::beast::http;

ServedModel make_model() {
  set_log_level(LogLevel::off);
  const std::filesystem::path data = ISOTOPE_TEST_DATA;
  const auto chat_template = data / "chat-templates/qwen3/chat_template-2025-04.jinja";
  ServedModel model;
  model.name = "model";
  model.tokenizer = text::Tokenizer::load(data / "stories260K");
  model.chat_template = text::ChatTemplate::parse(
      read_file(chat_template, 1 << 20), "fuzz",
      {.steps = 200'000, .output_bytes = 1 << 20, .memory_bytes = 16 << 20});
  model.dialect = text::dialect_of(*model.tokenizer, &*model.chat_template);
  model.engine = std::make_unique<engine::Engine>(engine::EngineOptions{});
  model.grammars = std::make_unique<GrammarCache>(*model.tokenizer, model.tokenizer->vocab_size());
  return model;
}

void answer(const Route& route, const Service& service, std::string_view body) {
  if (route.tell || route.show) {
    route.tell ? route.tell(service.state) : route.show(service);
    return;
  }
  const auto exchange = route.handle({.service = service, .body = body, .id = "fuzz"});
  exchange->on_ready([] {});
  if (!exchange->streams()) {
    if (!exchange->response()) std::abort();  // the engine has answered
    return;
  }
  // Everything is there from the start, so the stream has an end.
  for (int parts = 0; !exchange->next().last; ++parts)
    if (parts > 1000) std::abort();
}

void serve(const http::request<http::string_body>& request, const Service& service) {
  const std::string_view target = without_root(request.target(), "/llm");
  const ErrorForm form = error_form(target);
  std::string id;
  try {
    id = request_id(request["X-Request-Id"]);
    if (request.method() == http::verb::options)
      answer_preflight({.allowed_origins = {"*"}},
                       {.origin = request[http::field::origin],
                        .method = request[http::field::access_control_request_method],
                        .headers = request[http::field::access_control_request_headers]});
    const Route route = find_route(request.method_string(), target);
    answer(route, service, request.body());
  } catch (...) {
    const ApiError error = to_api_error(std::current_exception());
    if (error.status() == 500) std::abort();  // a fault of ours, not of the request
    error_body(error, form, id);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static ServedModel model = make_model();
  static const ServerState state{.version = "fuzz", .phase = ServerState::Phase::serving};
  static const Service service{
      .model = model, .state = state, .limits = limits_of(model), .fingerprint = "fp_fuzz"};
  boost::asio::const_buffer rest(data, size);
  // Several requests on one connection, as with pipelining.
  for (int i = 0; i < 4 && rest.size() > 0; ++i) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(64 << 10);
    parser.body_limit(1 << 20);
    parser.eager(true);
    boost::system::error_code error;
    while (!parser.is_done() && !error && rest.size() > 0) {
      const std::size_t used = parser.put(rest, error);
      if (used == 0 && !error) return 0;  // wants more than there is
      rest += used;
    }
    if (error || !parser.is_done()) return 0;
    serve(parser.get(), service);
  }
  return 0;
}
