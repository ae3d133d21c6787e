// POST /v1/messages and /v1/messages/count_tokens: Anthropic's protocol.
#include <boost/json/serialize.hpp>

#include "server/block_exchange.h"
#include "server/endpoints.h"
#include "server/messages_request.h"
#include "server/prompt.h"
#include "server/turn.h"

namespace isotope::server {
namespace {

/// Clients parse a call's input; one that was cut off is handed over as Anthropic advises.
json::value input_of(const Block& block) {
  if (block.text.empty()) return json::object();
  try {
    json::value parsed = parse_body(block.text);
    if (parsed.is_object()) return parsed;
  } catch (const ApiError&) {
    // As it stands, then.
  }
  return json::object{{"INVALID_JSON", block.text}};
}

class MessagesExchange final : public BlockExchange {
 public:
  MessagesExchange(const Service& service, const AnswerFields& fields, std::string_view id,
                   std::vector<TokenId> prompt)
      : BlockExchange(service.model, fields, fmt::format("msg_{}", id), std::move(prompt)),
        request_id_(id) {}

 private:
  json::object answer() override {
    json::array content;
    for (const Block& block : blocks_) content.push_back(content_block(block));
    json::object message = frame(std::move(content));
    put_stop(message);
    message["usage"] = usage_so_far();
    return message;
  }

  void write_begin(std::string& out) override {
    json::object message = frame(json::array());
    message["stop_reason"] = message["stop_sequence"] = nullptr;
    message["usage"] = json::object{{"input_tokens", prompts_.front().size()},
                                    {"cache_creation_input_tokens", 0},
                                    {"cache_read_input_tokens", 0},
                                    {"output_tokens", 0}};
    append_event("message_start", {{"message", std::move(message)}}, out);
    out += ping();
  }

  std::string_view ping() const override { return "event: ping\ndata: {\"type\":\"ping\"}\n\n"; }

  void begin_block(std::string& out) override {
    append_event("content_block_start",
                 {{"index", blocks_.size() - 1}, {"content_block", content_block(blocks_.back())}},
                 out);
  }

  void extend_block(std::string_view text, std::string& out) override {
    json::object delta;
    switch (blocks_.back().kind) {
      case Block::Kind::reasoning:
        delta = {{"type", "thinking_delta"}, {"thinking", text}};
        break;
      case Block::Kind::text:
        delta = {{"type", "text_delta"}, {"text", text}};
        break;
      case Block::Kind::call:
        delta = {{"type", "input_json_delta"}, {"partial_json", text}};
        break;
    }
    append_event("content_block_delta",
                 {{"index", blocks_.size() - 1}, {"delta", std::move(delta)}}, out);
  }

  void end_block(std::string& out) override {
    append_event("content_block_stop", {{"index", blocks_.size() - 1}}, out);
  }

  void end_answer(std::string& out) override {
    json::object delta;
    put_stop(delta);
    append_event("message_delta", {{"delta", std::move(delta)}, {"usage", usage_so_far()}}, out);
    append_event("message_stop", {}, out);
  }

  void write_error(const ApiError& error, std::string& out) override {
    out += fmt::format("event: error\ndata: {}\n\n",
                       error_body(error, ErrorForm::anthropic, request_id_));
  }

  json::object frame(json::array content) const {
    return {{"id", id_},
            {"type", "message"},
            {"role", "assistant"},
            {"model", fields_.model},
            {"content", std::move(content)}};
  }

  static json::object content_block(const Block& block) {
    switch (block.kind) {
      case Block::Kind::reasoning:  // nothing here needs to prove where thoughts come from
        return {{"type", "thinking"}, {"thinking", block.text}, {"signature", ""}};
      case Block::Kind::text:
        return {{"type", "text"}, {"text", block.text}};
      case Block::Kind::call:
        break;
    }
    return {{"type", "tool_use"},
            {"id", block.call_id},
            {"name", block.name},
            {"input", input_of(block)}};
  }

  void put_stop(json::object& out) const {
    out["stop_reason"] = stop_reason();
    out["stop_sequence"] = nullptr;
    if (const std::string* stop = generation().matched_stop()) out["stop_sequence"] = *stop;
  }

  std::string_view stop_reason() const {
    if (generation().called_tools()) return "tool_use";
    if (generation().matched_stop()) return "stop_sequence";
    if (generation().finish_reason() == engine::FinishReason::stop) return "end_turn";
    const bool as_asked = fields_.options.sampling.max_tokens == fields_.max_tokens;
    return as_asked ? "max_tokens" : "model_context_window_exceeded";
  }

  json::object usage_so_far() const {
    const Usage spent = usage();
    return {{"input_tokens", spent.prompt_tokens - spent.cached_tokens},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", spent.cached_tokens},
            {"output_tokens", spent.completion_tokens},
            {"output_tokens_details", json::object{{"thinking_tokens", spent.reasoning_tokens}}},
            {"ttft_ms", spent.ttft_ms},
            {"tpot_ms", spent.tpot_ms}};
  }

  const std::string request_id_;
};

}  // namespace

std::unique_ptr<Exchange> answer_messages(const Call& call) {
  const Service& service = call.service;
  ChatRequest request =
      parse_messages_request(parse_body(call.body), service.limits, MessagesFor::answering);
  std::vector<TokenId> prompt = prepare_chat(service.model, service.limits, request);
  return std::make_unique<MessagesExchange>(service, request.answer, call.id, std::move(prompt));
}

std::unique_ptr<Exchange> count_message_tokens(const Call& call) {
  const Service& service = call.service;
  ChatRequest request =
      parse_messages_request(parse_body(call.body), service.limits, MessagesFor::counting);
  const std::string text = render(service.model, std::move(request.conversation));
  const std::vector<TokenId> prompt =
      service.model.tokenizer->encode(text, {.add_special_tokens = false});
  const json::object body{{"input_tokens", prompt.size()}};
  return std::make_unique<ReadyExchange>(Response{.body = json::serialize(body)});
}

}  // namespace isotope::server
