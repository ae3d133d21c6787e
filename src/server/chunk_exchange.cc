#include "server/chunk_exchange.h"

#include <boost/json/serialize.hpp>

namespace isotope::server {
namespace {

constexpr std::string_view kDone = "data: [DONE]\n\n";

void append_event(const json::object& object, std::string& out) {
  out += "data: ";
  out += json::serialize(object);
  out += "\n\n";
}

}  // namespace

ChunkExchange::ChunkExchange(const Service& service, const AnswerFields& fields, std::string id)
    : GenerationExchange(service.model, fields, std::move(id)),
      logprobs_(*service.model.tokenizer, fields.tokens_as_token_ids),
      created_(unix_time()),
      fingerprint_(service.fingerprint) {}

json::object ChunkExchange::whole() {
  json::object result = body();
  result["usage"] = usage().to_json();
  return result;
}

void ChunkExchange::write_piece(Choice& choice, std::int64_t index, Piece piece, std::string& out) {
  for (json::object& chunk : chunks(choice, index, std::move(piece))) {
    json::object event = frame(chunk_object());
    event["choices"] = json::array{std::move(chunk)};
    if (fields_.continuous_usage) {
      event["usage"] = usage().to_json();
    } else if (fields_.include_usage) {
      event["usage"] = nullptr;
    }
    append_event(event, out);
  }
}

void ChunkExchange::write_end(std::string& out) {
  if (fields_.include_usage) {
    json::object event = frame(chunk_object());
    event["choices"] = json::array();
    event["usage"] = usage().to_json();
    append_event(event, out);
  }
  out += kDone;
}

void ChunkExchange::write_error(const ApiError& error, std::string& out) {
  out += "data: " + error_body(error) + "\n\n";
  out += kDone;
}

json::object ChunkExchange::frame(std::string_view object) const {
  json::object result;
  result["id"] = id_;
  result["object"] = object;
  result["created"] = created_;
  result["model"] = fields_.model;
  result["system_fingerprint"] = fingerprint_;
  if (fields_.names_service_tier) result["service_tier"] = "default";
  return result;
}

void ChunkExchange::put_finish(const Generation& generation, json::object& out) {
  out["finish_reason"] = nullptr;
  out["stop_reason"] = nullptr;
  if (!generation.finished()) return;
  const bool stopped = generation.finish_reason() == engine::FinishReason::stop;
  out["finish_reason"] = generation.called_tools() ? "tool_calls" : stopped ? "stop" : "length";
  if (const std::string* stop = generation.matched_stop()) {
    out["stop_reason"] = *stop;
  } else if (const auto id = generation.matched_stop_token()) {
    out["stop_reason"] = *id;
  }
}

json::array ChunkExchange::ids_of(const std::vector<engine::TokenOutput>& tokens) {
  json::array ids;
  ids.reserve(tokens.size());
  for (const engine::TokenOutput& token : tokens) ids.push_back(token.id);
  return ids;
}

}  // namespace isotope::server
