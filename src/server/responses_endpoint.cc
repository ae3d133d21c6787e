// POST /v1/responses: OpenAI's newer protocol, without what needs a server that remembers.
#include <algorithm>
#include <boost/json/serialize.hpp>

#include "server/block_exchange.h"
#include "server/endpoints.h"
#include "server/logprobs_json.h"
#include "server/responses_request.h"
#include "server/turn.h"

namespace isotope::server {
namespace {

class ResponsesExchange final : public BlockExchange {
 public:
  ResponsesExchange(const Service& service, const ResponsesRequest& request, std::string_view id,
                    std::vector<TokenId> prompt)
      : BlockExchange(service.model, request.chat.answer, fmt::format("resp_{}", id),
                      std::move(prompt)),
        request_id_(id),
        echo_(request.echo),
        created_(unix_time()),
        logprobs_(*service.model.tokenizer, request.chat.answer.tokens_as_token_ids) {}

 private:
  json::object answer() override {
    json::object response = frame(cut_off() ? "incomplete" : "completed");
    if (cut_off()) response["incomplete_details"] = json::object{{"reason", "max_output_tokens"}};
    response["completed_at"] = unix_time();
    for (std::size_t i = 0; i < blocks_.size(); ++i)
      response["output"].as_array().push_back(item(i, item_status(i)));
    response["usage"] = usage_so_far();
    return response;
  }

  void write_begin(std::string& out) override {
    event("response.created", {{"response", frame("in_progress")}}, out);
    event("response.in_progress", {{"response", frame("in_progress")}}, out);
  }

  void begin_block(std::string& out) override {
    item_logprobs_.emplace_back();
    event("response.output_item.added",
          {{"output_index", last()}, {"item", item(last(), "in_progress")}}, out);
    if (blocks_.back().kind != Block::Kind::call)
      part_event("response.content_part.added", {{"part", part(last())}}, out);
  }

  void extend_block(std::string_view text, std::string& out) override {
    switch (blocks_.back().kind) {
      case Block::Kind::reasoning:
        part_event("response.reasoning_text.delta", {{"delta", text}}, out);
        break;
      case Block::Kind::text:
        part_event("response.output_text.delta", {{"delta", text}, {"logprobs", take_logprobs()}},
                   out);
        break;
      case Block::Kind::call:
        item_event("response.function_call_arguments.delta", {{"delta", text}}, out);
        break;
    }
  }

  void end_block(std::string& out) override {
    const Block& block = blocks_.back();
    if (block.kind == Block::Kind::reasoning) {
      part_event("response.reasoning_text.done", {{"text", block.text}}, out);
    } else if (block.kind == Block::Kind::text) {
      take_logprobs();
      part_event("response.output_text.done",
                 {{"text", block.text}, {"logprobs", item_logprobs_.back()}}, out);
    } else {
      item_event("response.function_call_arguments.done",
                 {{"name", block.name}, {"arguments", block.text}}, out);
    }
    if (block.kind != Block::Kind::call)
      part_event("response.content_part.done", {{"part", part(last())}}, out);
    event("response.output_item.done",
          {{"output_index", last()}, {"item", item(last(), item_status(last()))}}, out);
  }

  void end_answer(std::string& out) override {
    event(cut_off() ? "response.incomplete" : "response.completed", {{"response", answer()}}, out);
  }

  void write_error(const ApiError& error, std::string& out) override {
    json::object response = frame("failed");
    for (std::size_t i = 0; i < blocks_.size(); ++i)
      response["output"].as_array().push_back(item(i, "incomplete"));
    response["error"] = json::object{{"code", "server_error"}, {"message", error.what()}};
    event("response.failed", {{"response", std::move(response)}}, out);
  }

  /// Tokens that made up reasoning are not the text's.
  void note_tokens(const std::vector<engine::TokenOutput>& tokens) override {
    if (fields_.options.sampling.logprobs)
      tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  }

  /// Entries for the tokens that have come since the last call, also added to the text's.
  json::array take_logprobs() {
    json::array entries;
    for (std::size_t i = std::max(taken_, std::size_t(generation().reasoning_tokens()));
         i < tokens_.size(); ++i)
      entries.push_back(logprobs_.chat_entry(tokens_[i], *fields_.options.sampling.logprobs));
    taken_ = tokens_.size();
    for (const json::value& entry : entries) item_logprobs_.back().push_back(entry);
    return entries;
  }

  std::size_t last() const { return blocks_.size() - 1; }
  bool cut_off() const { return generation().finish_reason() == engine::FinishReason::length; }

  /// Only the last block can have been cut off: those before it have ended.
  std::string_view item_status(std::size_t index) const {
    const bool cut = index == last() && generation().finished() && cut_off();
    return cut ? "incomplete" : "completed";
  }

  void event(std::string_view type, json::object members, std::string& out) {
    members["sequence_number"] = sequence_number_++;
    append_event(type, std::move(members), out);
  }
  void item_event(std::string_view type, json::object members, std::string& out) {
    members["item_id"] = item_id(last());
    members["output_index"] = last();
    event(type, std::move(members), out);
  }
  /// Every item with text has one part.
  void part_event(std::string_view type, json::object members, std::string& out) {
    members["content_index"] = 0;
    item_event(type, std::move(members), out);
  }

  std::string item_id(std::size_t index) const {
    const Block::Kind kind = blocks_[index].kind;
    const std::string_view prefix = kind == Block::Kind::reasoning ? "rs"
                                    : kind == Block::Kind::text    ? "msg"
                                                                   : "fc";
    return fmt::format("{}_{}_{}", prefix, request_id_, index);
  }

  json::object part(std::size_t index) const {
    const Block& block = blocks_[index];
    if (block.kind == Block::Kind::reasoning)
      return {{"type", "reasoning_text"}, {"text", block.text}};
    return {{"type", "output_text"},
            {"text", block.text},
            {"annotations", json::array()},
            {"logprobs", item_logprobs_[index]}};
  }

  json::object item(std::size_t index, std::string_view status) const {
    const Block& block = blocks_[index];
    json::object result{{"id", item_id(index)}, {"status", status}};
    // An item is announced before its part.
    const json::array content =
        block.text.empty() ? json::array() : json::array{json::value(part(index))};
    switch (block.kind) {
      case Block::Kind::reasoning:
        result["type"] = "reasoning";
        result["summary"] = json::array();
        result["content"] = content;
        break;
      case Block::Kind::text:
        result["type"] = "message";
        result["role"] = "assistant";
        result["content"] = content;
        break;
      case Block::Kind::call:
        result["type"] = "function_call";
        result["call_id"] = block.call_id;
        result["name"] = block.name;
        result["arguments"] = block.text;
        break;
    }
    return result;
  }

  json::object frame(std::string_view status) const {
    json::object response{{"id", id_},
                          {"object", "response"},
                          {"created_at", created_},
                          {"completed_at", nullptr},
                          {"status", status},
                          {"error", nullptr},
                          {"incomplete_details", nullptr},
                          {"model", fields_.model},
                          {"output", json::array()},
                          {"usage", nullptr}};
    for (const auto& [name, value] : echo_) response[name] = value;
    return response;
  }

  json::object usage_so_far() const {
    const Usage spent = usage();
    return {{"input_tokens", spent.prompt_tokens},
            {"input_tokens_details",
             json::object{{"cached_tokens", spent.cached_tokens}, {"cache_write_tokens", 0}}},
            {"output_tokens", spent.completion_tokens},
            {"output_tokens_details", json::object{{"reasoning_tokens", spent.reasoning_tokens}}},
            {"total_tokens", spent.prompt_tokens + spent.completion_tokens},
            {"ttft_ms", spent.ttft_ms},
            {"tpot_ms", spent.tpot_ms}};
  }

  const std::string request_id_;
  const json::object echo_;
  const std::int64_t created_;
  LogprobsWriter logprobs_;
  std::vector<engine::TokenOutput> tokens_;  ///< if their logprobs are wanted
  std::size_t taken_ = 0;                    ///< of tokens_
  std::vector<json::array> item_logprobs_;   ///< of each block
  std::int64_t sequence_number_ = 0;
};

}  // namespace

std::unique_ptr<Exchange> respond(const Call& call) {
  const Service& service = call.service;
  ResponsesRequest request = parse_responses_request(parse_body(call.body), service.limits);
  std::vector<TokenId> prompt = prepare_chat(service.model, service.limits, request.chat);
  return std::make_unique<ResponsesExchange>(service, request, call.id, std::move(prompt));
}

}  // namespace isotope::server
